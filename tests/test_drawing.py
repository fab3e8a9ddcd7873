from xml.etree import ElementTree

from app import drawing
from model.config import CodecConfig


def test_the_drawing_follows_the_configuration():
    config = CodecConfig(com_widths=(5, 77, 4), rec_widths=(9, 3))
    text = drawing.networks(config)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for width in (5, 77, 4, 9, 3):
        assert str(width) in words
    assert words.count("4 bits per pixel") == 2
    assert "3 convolutions" in root.get("aria-label")
    assert not any(word.startswith("folded") for word in words if word)
    assert "#" not in text  # drawn in the text's own colour, whatever it is


def test_the_drawing_of_the_light_shape_has_its_folds_planes_and_shortcuts():
    config = CodecConfig.light(downscale=4, planes=64, width=96, com_blocks=3, rec_blocks=2)
    root = ElementTree.fromstring(drawing.networks(config))  # noqa: S314 - our own text
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("folded 4 × 4") == 2
    assert words.count("64 planes") == words.count("4 bits per pixel") == 2
    arcs = [path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path") if "-14" in path.get("d")]
    assert sum("q" in d for d in arcs) == 5
    assert "folded 4 × 4" in root.get("aria-label")
