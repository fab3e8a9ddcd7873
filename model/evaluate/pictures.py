"""The test pictures of an evaluation, labelled as the classifier labels them."""

from dataclasses import replace
from pathlib import Path

import torch

from model import imagenet
from model.config import ClassifierConfig
from model.data import DataError, ImageSet, load_folder, load_split


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
    raise DataError(f"the data has classes that the classifier lacks: {', '.join(data.classes[:12])}")
