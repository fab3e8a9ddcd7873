"""Recipes that take several runs, each from what those before it left."""

from typing import Any, NamedTuple

from model.recipes.classifier import ClassifierTask
from model.recipes.purify import PurifyTask
from model.recipes.task import Task


class Link(NamedTuple):
    """One run of a chain."""

    settings: dict[str, str]
    """What it chooses of its recipe's settings, as on the command line."""
    starts: tuple[int, ...] = ()
    """The numbers of the runs before it, from 1 on, whose weights' mean it begins with (a classifier: only
    one of them); none: as its recipe says."""
    epochs: float | None = None
    """None: as many as its recipe says."""
    learning_rate: float | None = None
    """None: its recipe's."""
    seed: int = 0


class Chain(NamedTuple):
    """A recipe of several runs. What the last one makes is the result."""

    name: str
    task: type[Task[Any]]
    """What each run is; a setting ``start`` names what it begins with."""
    links: tuple[Link, ...]

    @property
    def folder(self) -> str:
        """Where the result lies by itself, under ``weights/``."""
        return self.task.folders(self.task.chosen(**self.links[-1].settings))[0]


_STRONGER: dict[str, str] = {"weakest": "0.12", "strongest": "0.22"}
PURIFY_CHAIN = Chain(
    "purify-chain",
    PurifyTask,
    (
        Link({"guides": "cifar10", "guide_noise": "0"}, epochs=1.5),
        Link({"guides": "cifar10"}, starts=(1,), epochs=2, seed=1),
        Link({}, starts=(2,), epochs=1.3, learning_rate=5e-4, seed=5),
        Link({"dropout": "0.15"}, starts=(3,), epochs=1, learning_rate=5e-4, seed=6),
        Link(
            {"dropout": "0.1", "weakest": "0.13", "strongest": "0.22"},
            starts=(4,),
            epochs=0.35,
            learning_rate=4e-4,
            seed=7,
        ),
        Link({"dropout": "0.15", **_STRONGER}, starts=(3, 4, 5), epochs=0.24, learning_rate=3e-4, seed=8),
        Link(
            {"dropout": "0.15", **_STRONGER},
            starts=(3, 4, 5, 6),
            epochs=0.001,
            learning_rate=1e-6,
            seed=10,
        ),
    ),
)
"""The purifying codec: one run with the first guide seeing clearly, one with noise before its eyes, one with
both guides, one for the dial, two under stronger noise, and two steps at next to no rate for the mean of the
four before."""

_RESNET50: dict[str, str] = {"arch": "resnet50", "cutmix": "0"}
_WHOLE_PICTURES = Link(_RESNET50, starts=(1,), epochs=5, learning_rate=0.05)
RESNET50_CHAIN = Chain(
    "resnet50-chain",
    ClassifierTask,
    (
        Link({**_RESNET50, "progressive": "0.75"}, epochs=12),
        _WHOLE_PICTURES,
        _WHOLE_PICTURES._replace(starts=(2,)),
        _WHOLE_PICTURES._replace(starts=(3,), epochs=6),
    ),
)
"""The ResNet-50 of ten classes, as two CPU cores train it in eight hours: one run that is mostly on small
pictures, and three on whole ones, each of which warms the rate up again."""

CHAINS: dict[str, Chain] = {chain.name: chain for chain in (PURIFY_CHAIN, RESNET50_CHAIN)}


def options(chain: Chain, number: int, folders: list[str]) -> dict[str, Any]:
    """The options of a chain's run, by the names of the command line's.

    Args:
        number: of the run, from 1 on.
        folders: where the runs of the chain leave their weights.
    """
    link = chain.links[number - 1]
    settings = dict(link.settings)
    if link.starts:
        settings["start"] = ",".join(folders[start - 1] for start in link.starts)
    return {"epochs": link.epochs, "lr": link.learning_rate, "seed": link.seed, "settings": settings}
