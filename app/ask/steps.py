"""The steps of long work: each waits for its turn, so that another visitor's run can come in between."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from app.lab import Lab
from app.scenario import Scenario, ScenarioError, Watch
from model.attacks import find_attack, interruptible


@contextmanager
def step(lab: Lab, models: nn.Module, watch: Watch) -> Iterator[None]:
    """One step, which a stop ends at the next layer of ``models``.

    A generator must not yield in it: whoever goes through it may never come back, and others wait.
    """
    with lab.turns.turn(watch.check), interruptible(models, watch.check):
        yield


def check_strength(scenario: Scenario) -> None:
    """Refuse attacks that have no strength.

    Raises:
        AttackError: there is no such attack.
        ScenarioError: it has no strength.
    """
    if not find_attack(scenario.attack).has_epsilon:
        raise ScenarioError(f"{scenario.attack} has no strength to go through; choose an attack that has one")
