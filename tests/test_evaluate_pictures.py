import pytest
from PIL import Image

from model import load_classifier
from model.data import DataError
from model.evaluate.pictures import load_test_pictures


@pytest.mark.parametrize("below", ["", "test"])
def test_labels_are_translated_to_the_classifiers(classifier, tmp_path, below):
    colours = {"star": (250, 0, 0), "circle": (0, 250, 0)}
    for name, colour in colours.items():
        folder = tmp_path / below / name
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(folder / "a.png")
    data = load_test_pictures(tmp_path, classifier.config)
    assert data.images.shape == (2, 3, 16, 16)
    assert data.classes == classifier.classes
    for image, label in zip(data.images, data.labels, strict=True):
        assert tuple(image[:, 0, 0].tolist()) == colours[classifier.classes[label]]


def test_wordnets_names_are_understood(tmp_path):
    classifier = load_classifier("imagenet")
    for synset in ("n07920052", "n01440764"):
        (tmp_path / synset).mkdir()
        Image.new("RGB", (256, 256)).save(tmp_path / synset / "a.png")
    data = load_test_pictures(tmp_path, classifier.config)
    assert [data.classes[label] for label in data.labels] == ["tench", "espresso"]
    assert data.images.shape == (2, 3, 224, 224)


def test_data_of_other_classes_is_refused(classifier, dataset):
    with pytest.raises(DataError, match="classes that the classifier lacks: blue, red"):
        load_test_pictures(dataset, classifier.config)
