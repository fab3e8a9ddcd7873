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
    assert "#" not in text  # drawn in the text's own colour, whatever it is
