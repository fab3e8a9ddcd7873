"""All defences on one picture: what each makes of the same adversarial picture."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from app.events import Progress
from app.images import encode, to_picture
from app.lab import Lab
from app.measure import predictions
from app.scenario import Outcome, Prediction, ScenarioError, Watch
from model.defences import DEFENCES, BitDepth, Codec, Defence, DefenceName, Jpeg, Nothing, load_defence
from model.device import settle
from model.entries import kind_of
from model.evaluate.measure import seeded
from model.zoo import CODECS, DENOISERS

DIAL = (0.25, 0.5)
"""Shares of a codec's planes that have a line of their own, besides all of them."""


@dataclass(frozen=True)
class Row:
    """What one defence makes of the picture."""

    name: DefenceName
    about: str
    clean: Prediction
    """Of the original, through the defence."""
    attacked: Prediction
    """Of the adversarial picture, through the defence."""
    picture: Image.Image
    """What the defence makes of the adversarial picture."""
    bits_per_pixel: float | None
    """How much of the picture comes through; None where nothing is counted."""
    milliseconds: float
    """What the defence takes for one picture, the classifier not counted."""


@dataclass(frozen=True)
class Survey:
    """All that were asked so far, in order."""

    outcome: Outcome
    """The run whose pictures they were shown."""
    rows: tuple[Row, ...]

    def held(self, row: Row) -> bool:
        """Whether the attacked picture is read as the classifier alone reads the original."""
        return row.attacked.label == self.outcome.predictions["original"].label

    def harmless(self, row: Row) -> bool:
        """Whether the defence by itself leaves the label of the original as it is."""
        return row.clean.label == self.outcome.predictions["original"].label


def line_up(lab: Lab, outcome: Outcome) -> list[DefenceName]:
    """The defences that are asked of a run: the registry's, denoisers of the classifier, then the codecs.

    A codec for pictures of this kind is asked at each position of the dial, and at the run's own; one for
    others with as many planes as it is meant to keep; one that was trained together with a classifier, before
    that one alone.
    """
    scenario, (height, width) = outcome.scenario, outcome.original.shape[-2:]
    denoisers = [name for name, entry in DENOISERS.items() if entry.against == scenario.classifier]
    names = [DefenceName.parse(name) for name in (*DEFENCES, *denoisers)]
    for name, entry in CODECS.items():
        if entry.partner not in (None, scenario.classifier):
            continue
        codec = lab.codec(name)
        kept = {codec.kept}  # None: by the picture
        if entry.pictures == kind_of(width, height):
            kept |= {codec.planes} | {round(share * codec.planes) for share in DIAL}
        if name == scenario.codec and scenario.planes is not None:
            kept.add(scenario.planes)
        for planes in sorted(kept - {0}, key=lambda planes: planes or codec.planes + 1):
            text = name if planes == codec.kept else f"{name}:{planes}"
            names.append(DefenceName(text, name, None if text == name else planes))
    return names


def survey(
    lab: Lab, outcome: Outcome, watch: Watch, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Progress | Survey]:
    """Show a run's two pictures to one defence after the other, each a step of its own.

    All of them get the same adversarial picture. It was made against the classifier alone, or, by an adaptive
    attacker, against the codec of the run: no other defence was attacked itself, and one that holds here may
    fall to who aims at it. Noise is drawn from the run's seed.

    Yields:
        A ``Progress`` before each defence, a ``Survey`` after it.

    Raises:
        AttackCancelled, ScenarioError: the watch stopped it.
    """
    names = line_up(lab, outcome)
    classifier = lab.classifier(outcome.scenario.classifier, watch)
    pictures = [x.to(lab.device) for x in (outcome.original, outcome.adversarial)]
    rows: list[Row] = []

    def now() -> float:
        settle(lab.device)
        return clock() - lab.turns.away

    for number, name in enumerate(names):
        yield Progress(number / len(names), name.text)
        watch.check()
        defence = _load(lab, name)
        models = nn.ModuleList((classifier, defence))
        with (
            lab.step(models, watch, pictures[0]),
            torch.inference_mode(),
            seeded(outcome.scenario.seed, lab.device),
        ):
            clean = defence(pictures[0])  # the first pass of a network takes longer: it is not timed
            start = now()
            attacked = defence(pictures[1])
            taken = now() - start
            logits = [classifier(x) for x in (clean, attacked)]  # one at a time, as in a run
            answers = predictions(classifier, torch.cat(logits))
        rows.append(
            Row(
                name=name,
                about=defence.about or f"ComDefend, {CODECS[name.base].about}",
                clean=answers[0],
                attacked=answers[1],
                picture=to_picture(attacked),
                bits_per_pixel=bits_per_pixel(defence, pictures[1]),
                milliseconds=1000 * taken,
            )
        )
        yield Survey(outcome, tuple(rows))


def _load(lab: Lab, name: DefenceName) -> Defence:
    """A defence by its name, codecs as the lab has them."""
    if name.base in CODECS:
        return Codec(lab.codec(name.base), name.planes)
    return load_defence(name).to(lab.device).eval()


def bits_per_pixel(defence: Defence, x: Tensor) -> float | None:
    """How many bits for each pixel of ``x``, (1,3,H,W) in [0,1], pass a defence; None where none are counted.

    A codec's is the size of its code, JPEG's that of its file.
    """
    pixels = x[0, 0].numel()
    if isinstance(defence, Nothing):
        return 24.0
    if isinstance(defence, BitDepth):
        return 3.0 * defence.bits
    if isinstance(defence, Jpeg):
        return 8 * len(encode(to_picture(x), "JPEG", quality=defence.quality)) / pixels
    if isinstance(defence, Codec):
        side = defence.codec.config.downscale
        height, width = (-(-length // side) for length in x.shape[-2:])
        return defence.kept(x) * height * width / pixels
    return None


def find_row(found: Survey | None, number: int) -> Row:
    """A line by its number from 0.

    Raises:
        ScenarioError: there is no such line, or no table.
    """
    if found is None or not 0 <= number < len(found.rows):
        raise ScenarioError("There is no such line: ask all defences once more.")
    return found.rows[number]
