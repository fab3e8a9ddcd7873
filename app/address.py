"""The page's address: a query that opens it with a scenario, on an example, with controls hidden for lessons.

``?example=frog&attack=PGD&threat_model=adaptive&epsilon=8&steps=10&seed=3&hide=codec,planes``

Anyone can write an address. What is in it chooses among things that exist, or it is left out: no text of it
is shown, opened or passed on.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from app.scenario import AUTO, BOTH, Scenario, ScenarioError
from app.uploads import EXAMPLE_SUFFIXES, EXAMPLES
from model.attacks import ATTACKS, MAX_EPSILON, MIN_EPSILON, THREAT_MODELS
from model.config import CodecConfig
from model.entries import SMALL, Pictures, kind_of
from model.pretrained import read_config
from model.zoo import CLASSIFIERS, CODECS, classifier_for, codec_for, find_classifier

FIRST = "espresso"
"""The example that the page opens with."""
HIDEABLE = (
    "examples", "image", "attack", "target", "threat_model", "epsilon", "steps", "seed",
    "classifier", "codec", "planes",
)  # fmt: skip
"""What a lesson can hide, by the names of the controls."""
MAX_LENGTH = 200
"""Of a value: the longest there is, all of ``hide``, is half as long."""
ENTRIES = ("attack", "threat_model", "epsilon", "steps", "target", "seed", "classifier", "codec", "planes")
"""The parts of a scenario, in the order in which a query has them."""
MAX_SEED = 2**31 - 1
WHOLE = re.compile("-?[0-9]{1,10}")
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
"""No more than a control holds: Python's own reading knows underscores, other alphabets' digits and "nan"."""


@dataclass(frozen=True)
class Address:
    """What an address opens: all of it exists."""

    scenario: Scenario = field(default_factory=Scenario)
    example: str = FIRST
    both: bool = False
    """Whether both attackers stand next to each other; the scenario names the first one then."""
    hidden: tuple[str, ...] = ()
    """Names of ``HIDEABLE``, in that order."""

    def query(self) -> str:
        """The query that :func:`read` makes this address of, without ``?``.

        It names what is the default today, too: an address is kept for long, and the default may be another
        one day. Only ``auto`` and what there is none of go without saying.
        """
        values: dict[str, Any] = {"example": self.example}
        values |= {name: getattr(self.scenario, name) for name in ENTRIES}
        values |= {"hide": ",".join(self.hidden)} | ({"threat_model": BOTH} if self.both else {})
        said = {name: value for name, value in values.items() if value not in (None, "", AUTO)}
        return urlencode({name: _written(value) for name, value in said.items()}, safe=",", errors="replace")


def _written(value: Any) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@functools.cache
def example_files() -> Mapping[str, Path]:
    """The example pictures by name: photographs, small pictures, garments."""
    paths = [path for path in EXAMPLES.iterdir() if path.suffix in EXAMPLE_SUFFIXES]
    return {path.stem: path for path in sorted(paths, key=lambda path: (_rank(path), path.stem))}


def _rank(path: Path) -> int:
    """Larger pictures come first; all photographs are of one rank."""
    return -min(max(_size(path)), SMALL + 1)


def examples_of(kind: Pictures) -> list[Path]:
    """The example pictures of that kind."""
    return [path for name, path in example_files().items() if kind_of(*size_of(name)) == kind]


def example_of(picture: bytes | str) -> str | None:
    """The name of the example whose file holds just that, or has that path; None for any other picture."""
    if isinstance(picture, str):
        return next((name for name, path in example_files().items() if str(path) == picture), None)
    return next((name for name, path in example_files().items() if path.read_bytes() == picture), None)


def read(query: Mapping[str, str]) -> tuple[Address, tuple[str, ...]]:
    """What a query opens, and the names of its entries that are no choice.

    Such an entry is left out: its control stays as it is by default. Entries of other names, Gradio's
    ``__theme`` among them, are no concern of ours.
    """
    take = _Reader(query)
    example = take.choice("example", example_files()) or FIRST
    spec = ATTACKS[take.choice("attack", ATTACKS) or Scenario.attack]
    classifier = take.choice("classifier", (AUTO, *CLASSIFIERS)) or AUTO
    codec = take.choice("codec", (AUTO, *CODECS)) or AUTO
    attacker = take.choice("threat_model", (*THREAT_MODELS, BOTH)) or Scenario.threat_model
    used = classifier_for(*size_of(example)) if classifier == AUTO else classifier
    classes = find_classifier(used).config().classes
    # Of what the attack does not have no value will do.
    epsilon = take.number("epsilon", MIN_EPSILON, MAX_EPSILON if spec.has_epsilon else 0)
    steps = take.whole("steps", 1, spec.max_steps if spec.has_steps else 0)
    seed = take.whole("seed", -MAX_SEED, MAX_SEED)
    scenario = Scenario(
        classifier=classifier,
        codec=codec,
        attack=spec.name,
        threat_model=Scenario.threat_model if attacker == BOTH else attacker,  # type: ignore[arg-type]
        epsilon=Scenario.epsilon if epsilon is None and spec.has_epsilon else epsilon,
        steps=spec.default_steps if steps is None else steps,
        target=take.choice("target", classes if spec.targetable else ()),
        seed=Scenario.seed if seed is None else seed,
        planes=take.whole("planes", 1, planes_of(codec_for(used) if codec == AUTO else codec)),
    )
    address = Address(scenario, example, attacker == BOTH, take.several("hide", HIDEABLE))
    return address, tuple(take.left_out)


def planes_of(codec: str) -> int:
    """How many planes the code of a codec has, without its weights.

    Raises:
        ScenarioError: no codec has that name.
    """
    if not isinstance(codec, str) or codec not in CODECS:
        raise ScenarioError(f"unknown codec {codec!r}; choose from {', '.join(CODECS)}")
    return read_config(CODECS[codec].folder, CodecConfig)[0].planes


def size_of(example: str) -> tuple[int, int]:
    """Width and height of an example, in pixels."""
    return _size(example_files()[example])


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


class _Reader:
    """Takes the entries of a query one by one; None where there is none, or it will not do."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.left_out: list[str] = []

    def _value(self, name: str, will_do: Callable[[str], bool]) -> str | None:
        value = self._query.get(name)
        if not value:
            return None
        if len(value) <= MAX_LENGTH and will_do(value):
            return value
        self.left_out.append(name)
        return None

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        return self._value(name, lambda value: value in choices)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self._value(name, lambda it: bool(NUMBER.fullmatch(it)) and least <= float(it) <= most)
        if value is None:
            return None
        return float(value) if "." in value else int(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self._value(name, lambda it: bool(WHOLE.fullmatch(it)) and least <= int(it) <= most)
        return None if value is None else int(value)

    def several(self, name: str, choices: Collection[str]) -> tuple[str, ...]:
        """Those of the choices that are named, with commas between them; all of them must be choices."""
        value = self._value(name, lambda it: all(one in choices for one in it.split(",")))
        return tuple(one for one in choices if value is not None and one in value.split(","))
