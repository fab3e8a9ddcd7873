"""The test pictures of an evaluation, labelled as the classifier labels them, or by itself."""

from dataclasses import replace
from pathlib import Path

import torch

from model import imagenet
from model.classifiers import Classifier
from model.config import ClassifierConfig
from model.data import SUFFIXES, DataError, ImageSet, load_folder, load_photographs, load_split

AGREEMENT = "without labels: right is what the classifier says of the clean picture without a defence"
"""What a report says of pictures from :func:`load_unlabelled`."""


def load_test_pictures(root: Path | None, config: ClassifierConfig) -> ImageSet:
    """Test pictures as a classifier wants them, their labels in its numbering.

    Args:
        root: folder with ``test/CLASS/*`` or ``CLASS/*``, its classes some of the classifier's: by its names
            for them, or by WordNet's ("n01440764"). None means CIFAR-10, downloaded.
        config: the classifier's.

    Raises:
        DataError: there are no pictures, or some are of classes that the classifier does not have.
    """
    if root is None:
        data = load_split(None, "test")
    else:
        folder = root / "test" if (root / "test").is_dir() else root
        data = load_folder(folder, config.image_size, config.crop)
    for known in (config.classes, imagenet.synsets() if len(config.classes) == 1000 else ()):
        if set(data.classes) <= set(known):
            numbers = torch.tensor([known.index(name) for name in data.classes])
            return replace(data, labels=numbers[data.labels], classes=config.classes)
    raise DataError(
        f"the data has classes that the classifier lacks: {', '.join(data.classes[:12])} "
        f"(pictures without labels may lie in a zip archive)"
    )


def have_labels(root: Path) -> bool:
    """Whether pictures lie in folders of their classes: not in an archive, nor all in the folder itself."""
    if not root.is_dir():
        return not root.exists()
    entries = list(root.iterdir())
    return any(entry.is_dir() for entry in entries) or not any(
        entry.suffix.lower() in SUFFIXES for entry in entries
    )


def load_unlabelled(root: Path, classifier: Classifier, count: int) -> ImageSet:
    """Pictures that nobody has labelled, with what a classifier says of them in the place of labels.

    Args:
        root: a folder or a zip archive.
        classifier: it is asked on the device that it is on.
        count: at most so many, evenly spaced.
    """
    config = classifier.config
    data = load_photographs(root, config.image_size, config.crop).every(count)
    device = next(classifier.parameters()).device
    with torch.inference_mode():
        answers = [classifier(x.to(device)).argmax(1).cpu() for x, _ in data.batches(50)]
    return ImageSet(data.images, torch.cat(answers), config.classes)
