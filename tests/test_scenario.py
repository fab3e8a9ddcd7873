"""What is asked of a run, and how it is watched."""

import pytest

from app.scenario import ScenarioError, Watch, make_scenario, number, whole
from model.attacks import AttackCancelled, AttackError


def test_what_an_attack_lacks_is_dropped():
    fgsm = make_scenario("cifar10", "FGSM", "grey-box", 8, 10, "", 0, "comdefend-cifar10", None)
    assert (fgsm.epsilon, fgsm.steps, fgsm.target) == (8, None, None)
    square = make_scenario("cifar10", "Square", "grey-box", None, None, None, 0, "x", None)
    assert (square.epsilon, square.steps) == (4, 500)
    deepfool = make_scenario("cifar10", "DeepFool", "adaptive", 8, 10, None, 0, "x", None)
    assert (deepfool.epsilon, deepfool.steps) == (None, 10)


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), 1e30])
def test_whole_numbers_only(value):
    with pytest.raises(AttackError, match="Seed must be a whole number"):
        whole(value, "Seed")


@pytest.mark.parametrize("value", ["8", True, [8], {}])
def test_numbers_only(value):
    for read in (number, whole):
        with pytest.raises(AttackError, match="Epsilon must be a number"):
            read(value, "Epsilon")


def test_a_watch_ends_what_takes_longer_than_it_may():
    now = 100.0
    watch = Watch(limit_s=300, clock=lambda: now)
    now = 400.0
    watch.check()
    now = 400.1
    with pytest.raises(ScenarioError, match="took more than 300 s and was ended; choose fewer steps"):
        watch.check()


def test_a_watch_tells_how_far_a_run_is_until_it_is_stopped():
    told: list[tuple[float, str]] = []
    watch = Watch(lambda share, what: told.append((share, what)))
    watch.report(0.5, "PGD at work")
    watch.stop()
    with pytest.raises(AttackCancelled):
        watch.report(0.75, "PGD at work")
    assert told == [(0.5, "PGD at work")]
