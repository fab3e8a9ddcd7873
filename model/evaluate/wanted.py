"""Which reports a command line asks for."""

import argparse
from pathlib import Path
from typing import NamedTuple

from model.data import DataError
from model.evaluate import seed
from model.evaluate.presets import SEED
from model.evaluate.systems import default_names
from model.zoo import default_classifier


class Wanted(NamedTuple):
    """A report that was asked for."""

    name: str
    classifier: str
    defences: list[str]
    data: Path | None
    data_name: str


def reports_wanted(args: argparse.Namespace) -> list[Wanted]:
    """One for the classifier; of the paper's comparison, one for each classifier that there is for the data.

    Raises:
        DataError: what only one report can have was said of several.
    """
    if args.preset != SEED:
        name = args.classifier or default_classifier("small")
        names = args.defences or default_names(name, args.authors)
        about = args.data_name or ("CIFAR-10" if args.data is None else args.data.resolve().name)
        return [Wanted(name, name, names, args.data, about)]
    found = []
    for data, folder in seed.datasets("" if args.data is None else str(args.data)).items():
        for name in seed.classifiers(data):
            if args.classifier in (None, name):
                names = args.defences or seed.defences(name, args.authors)
                about = args.data_name or folder.resolve().name
                found.append(Wanted(f"{SEED}-{name}", name, names, folder, about))
    if not found:
        raise DataError(f"the preset {SEED} has no classifier {args.classifier} for these data")
    if len(found) > 1 and (args.report or args.publish):
        names = ", ".join(wanted.classifier for wanted in found)
        raise DataError(
            f"--report and --publish NAME are for one report; --classifier chooses one of {names}"
        )
    return found
