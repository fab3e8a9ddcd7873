"""What is asked of an attack before its strengths are gone through."""

from app.scenario import Scenario, ScenarioError
from model.attacks import find_attack


def check_strength(scenario: Scenario) -> None:
    """Refuse attacks that have no strength.

    Raises:
        AttackError: there is no such attack.
        ScenarioError: it has no strength.
    """
    if not find_attack(scenario.attack).has_epsilon:
        raise ScenarioError(f"{scenario.attack} has no strength to go through; choose an attack that has one")
