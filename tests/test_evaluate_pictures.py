import zipfile

import pytest
import torch
from PIL import Image

from model import load_classifier
from model.data import DataError
from model.evaluate.pictures import have_labels, load_test_pictures, load_unlabelled


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


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_without_labels_get_the_classifiers_own_answers(classifier, tmp_path, packed):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        Image.effect_noise((20, 20 + number), 90).convert("RGB").save(folder / f"{number}.png")
    root = folder
    if packed:
        root = tmp_path / "pictures.zip"
        with zipfile.ZipFile(root, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"some/topic/{file.name}")
    assert not have_labels(root)
    data = load_unlabelled(root, classifier, 4)
    assert data.images.shape == (4, 3, 16, 16)
    assert data.classes == classifier.classes
    ((x, labels),) = data.batches(4)
    with torch.inference_mode():
        assert torch.equal(labels, classifier(x).argmax(1))


def test_pictures_in_folders_of_their_classes_have_labels(tmp_path):
    (tmp_path / "circle").mkdir()
    assert have_labels(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "about-these.png")
    assert have_labels(tmp_path)
    assert have_labels(tmp_path / "missing")  # so that what is missing is said as of labelled ones
