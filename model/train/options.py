"""The options of ``python app.py --train``: those of every run, and those that are settings of its recipe."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_origin

from model.recipes import TASKS
from model.recipes.settings import as_text

PREFIX = "setting:"
"""How a setting's name begins among the parsed arguments: the evaluation has options of such names, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a training run.

    Those that are settings of a recipe are not in the parser's own help: several recipes have one of the
    same name. :func:`settings_help` has them, recipe by recipe.
    """
    group = parser.add_argument_group("training")
    group.add_argument("--data", type=Path, help="folder with train/CLASS/* and test/CLASS/*; for photo, and "
                       "an evaluation by agreement, a folder or zip archive of photographs")  # fmt: skip
    group.add_argument("--data-name", help="what the data is, for the model card")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive(float), help="passes over the training pictures")
    length.add_argument("--max-minutes", type=positive(float), help="budget of the whole run")
    group.add_argument("--stop-after", type=positive(float), metavar="MINUTES",
                       help="save and end this process then; --resume goes on")  # fmt: skip
    group.add_argument("--batch-size", type=positive(int))
    group.add_argument("--micro-batches", type=positive(int), metavar="N",
                       help="parts of a batch, computed one after the other or shared out among processes "
                       "(default: one a process)")  # fmt: skip
    group.add_argument("--lr", type=positive(float), help="peak learning rate")
    group.add_argument("--seed", type=_not_negative, default=None)
    group.add_argument("--precision", choices=("float32", "bfloat16"),
                       help="default: bfloat16 on a GPU and on CPUs that are faster in it")  # fmt: skip
    group.add_argument("--compile", action="store_true",
                       help="fuse kernels with torch.compile: slower to start, then faster")  # fmt: skip
    group.add_argument("--out", type=Path, help="folder for the weights (default: weights/...)")
    group.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    group.add_argument("--force", action="store_true", help="replace even better weights")
    for name in sorted({each.name for task in TASKS.values() for each in fields(task.settings)}):
        group.add_argument(
            option(name), dest=PREFIX + name, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def option(name: str) -> str:
    """How a setting is called on the command line."""
    return "--" + name.replace("_", "-")


def given_settings(args: argparse.Namespace) -> dict[str, str]:
    """The settings that the command line has, by name, as text."""
    return {name.removeprefix(PREFIX): value for name, value in vars(args).items() if name.startswith(PREFIX)}


def settings_help() -> str:
    """What each recipe's settings are, with its own choice, as a part of the help."""
    sections = []
    for task in TASKS.values():
        parser = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS)
        group = parser.add_argument_group(f"settings of --train {task.name}")
        for each in fields(task.settings):
            kind = get_args(each.type)[0] if (several := get_origin(each.type) is tuple) else each.type
            word = "NAME" if kind is str else "NUMBER"
            default = as_text(getattr(task.settings, each.name)) or "none"
            names = ": " + ", ".join(each.metadata["names"]) if each.metadata["names"] else ""
            about = f"{each.metadata['about']}{names} (default: {default})".replace("%", "%%")
            group.add_argument(option(each.name), metavar=f"{word},{word}" if several else word, help=about)
        sections.append(parser.format_help())
    return "\n".join(sections)


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A parser of finite numbers above zero, for argparse."""

    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above zero, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def _not_negative(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be from 0 to 2^63 - 1, got {text}")
    return value
