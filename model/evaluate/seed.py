"""The paper's own comparison: before which classifiers, and of which defences.

At test time a defence stands before a classifier that knows nothing of it. At training and test time the
classifier was trained for it: that is another one, and the pictures are made against it
(``DEFENCE@CLASSIFIER``).
"""

from pathlib import Path

from model import zoo
from model.config import comma_separated
from model.data import DataError
from model.evaluate.systems import codecs_for

CLASSIFIERS: dict[str, tuple[str, ...]] = {
    "cifar10": ("cifar10", "cifar10-resnet50"),
    "fashion-mnist": ("fashion-mnist",),
    "imagenet": ("imagenet",),
}
"""By the name of the data; those that have no weights yet are left out, but for the first."""
JPEGS = ("jpeg-75", "jpeg-30")


def datasets(text: str) -> dict[str, Path]:
    """Folders by the name of the data, from "cifar10=FOLDER,imagenet=FOLDER".

    Raises:
        DataError: it is not that; the message says what is wanted.
    """
    found = {}
    for part in comma_separated(text) or [""]:
        name, equals, folder = part.partition("=")
        if not equals or not folder or name not in CLASSIFIERS or name in found:
            raise DataError(
                f"this comparison wants --data NAME=FOLDER, with a comma between several; the names are "
                f"{', '.join(CLASSIFIERS)}, each at most once; got {part!r}"
            )
        found[name] = Path(folder)
    return found


def classifiers(data: str) -> list[str]:
    """The classifiers that are attacked with the data of that name."""
    first, *others = CLASSIFIERS[data]
    return [first, *(name for name in others if name in zoo.CLASSIFIERS)]


def defences(classifier: str, authors: Path | None) -> list[str]:
    """The lines of a classifier's table: those whose weights are there.

    None; other trainings of the classifier; denoisers; JPEG; codecs at test time; and at training and test
    time.
    """
    pictures = zoo.find_classifier(classifier).pictures
    with_own_tables = {name for names in CLASSIFIERS.values() for name in names}
    tunings = [
        entry
        for entry in zoo.EVERY_CLASSIFIER
        if entry.compared_with == classifier and entry.has_folder and entry.name not in with_own_tables
    ]
    denoisers = [
        entry.name
        for entry in zoo.DENOISERS.values()
        if zoo.find_classifier(entry.against).pictures == pictures
    ]
    return [
        "none",
        *(f"none@{entry.name}" for entry in tunings if not entry.partner),
        *denoisers,
        *JPEGS,
        *codecs_for(pictures),
        *(["authors"] if authors else []),
        *(f"{entry.partner}@{entry.name}" for entry in tunings if entry.partner),
    ]
