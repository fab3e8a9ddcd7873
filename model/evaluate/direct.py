"""An attack on a defended system, some pictures at a time, so that an interruption costs these alone."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from torch import Tensor

from model.evaluate import measure
from model.evaluate.jobs import DirectJob
from model.evaluate.presets import AttackConfig
from model.evaluate.record import AttackRecord, ThreatModel, from_bits, to_bits
from model.evaluate.systems import System

PART_PASSES = 75_000
"""About so many passes of one picture through the system are a part: ten minutes of a ResNet-18 on a core."""


@dataclass(frozen=True)
class Part:
    """What an attack left of some pictures."""

    right: str
    """As a record has it, of these pictures."""
    no_gradient: float | None = None
    """Share of them whose first gradient was zero everywhere; None where nobody looked."""
    zero_gradient: float | None = None
    """Share of the first gradients' entries that were zero."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The part that :meth:`to_json` made these values of.

        Raises:
            TypeError, ValueError: they are of no part.
        """
        part = cls(**values)
        numbers = [
            part.seconds,
            *(share for share in (part.no_gradient, part.zero_gradient) if share is not None),
        ]
        if set(part.right) - {"0", "1"} or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError("it is no part of a job")
        return part


OnPart = Callable[[int, Part, float], None]
"""Told of each new part: its number, what it came to, and the share of the pictures that it was."""


def attack_system(
    system: System,
    x: Tensor,
    labels: Tensor,
    standing: Tensor,
    job: DirectJob,
    seed: int,
    done: Mapping[int, Part],
    on_part: OnPart,
) -> AttackRecord:
    """What an attack on a system leaves of a scope's pictures.

    Args:
        system: whose gradient passes by the attack's stand-in meanwhile.
        x: shape (N,3,H,W), range [0,1], multiples of 1/255.
        labels: shape (N,), int64.
        standing: which pictures are attacked; the others count as fallen; shape (N,), bool.
        job: its attack has an epsilon.
        seed: of the first part; each other has the next number.
        done: parts of an earlier run, by their number, which are not attacked again.
        on_part: may raise, to end it; what it was told of need not be done again.
    """
    attack = job.attack
    x, labels = x[standing], labels[standing]
    most = max(1, PART_PASSES // attack.passes())
    batches = measure.batches(x, labels, system.module, most) if len(x) else ()
    parts = []
    for number, (images, true) in enumerate(batches):
        part = done.get(number)
        if part is None or len(part.right) != len(true):
            part = _attack_some(system, images, true, attack, job.epsilon, seed + number)
            on_part(number, part, len(true) / len(x))
        parts.append(part)
    right = standing.clone()
    right[standing] = from_bits("".join(part.right for part in parts))
    who: ThreatModel = "black-box" if attack.black_box else "adaptive"
    record = measure.attack_record(system, who, attack, job.epsilon, job.scope, right)
    return replace(
        record,
        cascade=job.cascade,
        no_gradient=_mean([(part.no_gradient, len(part.right)) for part in parts]),
        zero_gradient=_mean([(part.zero_gradient, len(part.right)) for part in parts]),
    )


def _attack_some(
    system: System, x: Tensor, labels: Tensor, attack: AttackConfig, epsilon: float, seed: int
) -> Part:
    began = time.perf_counter()
    with measure.stand_in(system, attack.gradient):
        found = measure.craft(
            system.module, x, labels, attack, epsilon, seed, stop_early=not system.defence.noisy
        )
    right = measure.correct(system.module, found.pictures, labels, seed)
    seconds = round(time.perf_counter() - began, 2)
    return Part(to_bits(right), found.no_gradient, found.zero_gradient, seconds)


def _mean(shares: Sequence[tuple[float | None, int]]) -> float | None:
    """Of shares, each of so many pictures; None where there are none."""
    known = [(share, count) for share, count in shares if share is not None]
    total = sum(count for _, count in known)
    return sum(share * count for share, count in known) / total if total else None
