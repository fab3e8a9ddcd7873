"""Small evaluations for the tests: presets, weak attacks, another classifier, and all that runs a plan."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torchattacks
from torch import Tensor, nn

from model.attacks import EVALUATION_ATTACKS
from model.attacks.adapters import Adapter
from model.attacks.catalogue import family
from model.classifiers import Classifier
from model.data import ImageSet
from model.evaluate.execute import Executor
from model.evaluate.jobs import Job
from model.evaluate.journal import Journal
from model.evaluate.plan import choose_scopes, plan
from model.evaluate.presets import MAIN, Preset
from model.evaluate.record import Record, ScopeRecord
from model.evaluate.run import run, seed_of
from model.evaluate.systems import System

QUICK = Preset("tiny", images=8, adaptive_images=4, few_images=2, epsilons=(2.0, MAIN, 16.0), steps=2)
WHOLE = replace(QUICK, unbounded="few", suite=True, queries=9, few_images=4)
SOME = replace(WHOLE, attacks=("PGD", "MI-FGSM", "APGD", "Square"), epsilons=(MAIN,))
AUTO_ATTACK = [f"AutoAttack ({part})" for part in ("APGD-CE", "APGD-T", "FAB-T", "Square")]
AUTO_ATTACK_RAND = [f"AutoAttack-rand ({part})" for part in ("APGD-CE", "APGD-DLR")]
DEFENCES = ("none", "comdefend-tiny", "bits-5", "noise-8")


def weak_autoattack(patch: pytest.MonkeyPatch) -> None:
    """Parts of two steps instead of a hundred."""

    def build(model: nn.Module, epsilon: float, steps: int, seed: int) -> object:
        return torchattacks.APGD(model, eps=epsilon, steps=2, seed=seed)

    for name in (name for name in EVALUATION_ATTACKS if family(name) != name):
        patch.setitem(EVALUATION_ATTACKS, name, replace(EVALUATION_ATTACKS[name], method=Adapter(build)))


class Tilted(nn.Module):
    """Another classifier of colours: it sees the upper half alone."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.config = classifier.config

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x[:, :, :8])


class Evaluation:
    """A plan with all that carries it out."""

    def __init__(
        self,
        systems: list[System],
        data: ImageSet,
        preset: Preset,
        *,
        source: bool = False,
        journal: Journal | None = None,
        seed: int = 0,
    ) -> None:
        other = ("tilted", Tilted(systems[0].classifier)) if source else None
        self.scopes = choose_scopes(len(data), preset)
        self.jobs = plan(systems, preset, self.scopes, "tilted" if source else None)
        self.executor = Executor(systems, data, self.scopes, other)
        self.journal = journal or Journal()
        self.seed = seed

    def run(self, deadline: float | None = None, clock: Callable[[], float] = time.monotonic) -> list[str]:
        return run(self.jobs, self.executor, self.journal, self.seed, deadline, clock)

    def do(self, job: Job) -> Sequence[Record]:
        """One job after those that are done, kept in the journal."""
        records = self.executor.execute(job, seed_of(job, self.seed), self.journal.records)
        self.journal.write(job.key, list(records))
        return records

    @property
    def keys(self) -> list[str]:
        return [job.key for job in self.jobs]

    @property
    def records(self) -> list[Record]:
        return self.journal.records

    def of(self, kind: type[ScopeRecord] = ScopeRecord, **wanted: object) -> list[ScopeRecord]:
        """The records of a kind with these values."""
        return [
            record
            for record in self.records
            if isinstance(record, kind) and all(getattr(record, n) == value for n, value in wanted.items())
        ]

    def the(self, kind: type[ScopeRecord] = ScopeRecord, **wanted: object) -> ScopeRecord:
        """The only one of them."""
        (record,) = self.of(kind, **wanted)
        return record
