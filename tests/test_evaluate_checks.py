from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.data import ImageSet
from model.defences import Defence
from model.device import frozen
from model.evaluate.checks import Check, checks
from model.evaluate.execute import Executor
from model.evaluate.journal import Journal
from model.evaluate.plan import choose_scopes, plan
from model.evaluate.presets import LARGE, MAIN, Preset
from model.evaluate.record import AttackRecord, Record, Scopes
from model.evaluate.run import run
from model.evaluate.systems import System
from tests.conftest import clean, kept, noise, record

QUICK = Preset("tiny", images=8, adaptive_images=4, few_images=4, epsilons=(2.0, MAIN, 16.0), steps=4)
NAMES = [
    "iterating beats a single step",
    "doubling the steps changes little",
    "accuracy falls with the strength",
    "nothing survives a large strength",
    "random noise is weaker than the attack",
    "black-box attacks are weaker",
    "gradients do not vanish",
]
ONE, DOUBLE, FALLS, LARGEST, NOISE, BLACK_BOX, GRADIENT = NAMES

COUNT = 20
SCOPES = {"all": torch.arange(COUNT + 4), "adaptive": torch.arange(COUNT), "few": torch.arange(4)}


def right(standing: int, count: int = COUNT) -> str:
    return "1" * standing + "0" * (count - standing)


def known(attack: str, standing: int, **changes: object) -> AttackRecord:
    """An adaptive attack on the system "a", after which so many of 20 pictures stand."""
    more = {"threat_model": "adaptive", "scope": "adaptive", "no_gradient": 0.0, "zero_gradient": 0.1}
    return record(**{"system": "a", "attack": attack, "right": right(standing), **more, **changes})


SOUND = {
    "clean": clean("a", right(20, 24)),
    "noise": noise("a", right(18, 24)),
    "fgsm": known("FGSM", 10, steps=None),
    "weak": known("PGD", 12, epsilon=2.0),
    "pgd": known("PGD", 6),
    "twice": known("PGD", 6, steps=20),
    "large": known("PGD", 0, epsilon=LARGE, scope="few", right="0000"),
    "square": record("a", "Square", "1111", threat_model="black-box", scope="few"),
    "transfer": record("a", "transfer", right(15, 24), threat_model="black-box"),
}


def judge(
    changed: dict[str, Record | None] | None = None, extra: tuple[Record, ...] = ()
) -> dict[str, Check]:
    records = SOUND | (changed or {})
    found = checks([r for r in records.values() if r] + list(extra), "a", SCOPES, (2.0, MAIN))
    assert [check.name for check in found] == NAMES
    return {check.name: check for check in found}


def test_a_sound_evaluation_passes_every_check():
    for check in judge().values():
        assert check.passed is True, check
        assert check.to_dict() == {"name": check.name, "passed": True, "detail": check.detail}


@pytest.mark.parametrize(
    ("changed", "failing", "detail"),
    [
        ({"fgsm": known("FGSM", 5, steps=None)}, ONE, "8/255: FGSM 25.0%, PGD 30.0%"),
        ({"twice": known("PGD", 4, steps=20)}, DOUBLE, "10 steps 30.0%, 20 steps 20.0%"),
        ({"weak": known("PGD", 5, epsilon=2.0)}, FALLS, "PGD 25.0% at 2/255, 30.0% at 8/255"),
        ({"large": replace(SOUND["large"], right="0001")}, LARGEST, "25.0% at 64/255"),
        ({"noise": replace(SOUND["noise"], right=right(5, 24))}, NOISE, "8/255: noise 25.0%, PGD 30.0%"),
        (
            {"square": replace(SOUND["square"], right="1110")},
            BLACK_BOX,
            "Square 75.0%, with gradients 100.0%",
        ),
        ({"transfer": replace(SOUND["transfer"], right=right(5, 24))}, BLACK_BOX, "transfer 25.0%"),
        ({"pgd": known("PGD", 6, no_gradient=0.02)}, GRADIENT, "2.0% of the pictures have none"),
    ],
)
def test_each_check_can_fail_alone(changed, failing, detail):
    found = judge(changed)
    assert [check.name for check in found.values() if check.passed is False] == [failing]
    assert detail in found[failing].detail


def test_a_check_of_several_comparisons_names_those_that_fail():
    found = judge(extra=(known("FGSM", 11, epsilon=2.0, steps=None),))
    assert found[ONE].passed is False
    assert found[ONE].detail == "2/255: FGSM 55.0%, PGD 60.0%"


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ("fgsm", ONE), ("twice", DOUBLE), ("weak", FALLS), ("large", LARGEST), ("noise", NOISE),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_neither_passed_nor_failed(missing, name):
    found = judge({missing: None})
    assert found[name] == Check(name, None, "not measured")
    assert {check.passed for other, check in found.items() if other != name} == {True}


def test_nothing_at_all_was_measured():
    assert {check.passed for check in checks([], "a", SCOPES, (2.0, MAIN))} == {None}


def test_a_descent_that_had_nothing_to_attack_says_nothing_of_gradients():
    silent = replace(SOUND["pgd"], no_gradient=None, zero_gradient=None)
    assert judge({"pgd": silent})[GRADIENT].passed is None


def test_a_larger_step_count_may_find_less_by_chance():
    """Only what doubling finds more is a sign that the attack had not arrived."""
    assert judge({"twice": known("PGD", 7, steps=20)})[DOUBLE].passed is True


@pytest.mark.parametrize(("twice", "longest", "passed"), [(3, 3, True), (3, 2, True), (6, 3, False)])
def test_the_longest_two_runs_say_whether_the_attack_has_arrived(twice, longest, passed):
    changed = {"twice": known("PGD", twice, steps=20)}
    check = judge(changed, (known("PGD", longest, steps=40),))[DOUBLE]
    assert check.passed is passed
    assert check.detail == (f"10 steps 30.0%, 20 steps {5 * twice:.1f}%, 40 steps {5 * longest:.1f}%")


def test_grey_box_attacks_and_cascades_and_other_systems_are_no_evidence():
    extra = (
        record("a", "PGD", right(24, 24), steps=20),
        record("a", "FGSM", right(0, 24), steps=None),
        known("PGD", 0, steps=20, cascade=True),
        known("PGD", 0, steps=20, loss="margin", scope="few", right="0000"),
        kept("a", "PGD", right(0), planes=3),
        known("PGD", 0, steps=20, system="b"),
        record("a", "Square", right(0), threat_model="black-box", scope="adaptive", cascade=True),
    )
    found = judge(extra=extra)
    assert {check.passed for check in found.values()} == {True}


def test_black_box_attacks_are_compared_with_the_worst_of_the_others():
    """PGD leaves the first six, FGSM here the last six: between them no picture stands."""
    last = known("FGSM", 0, steps=None, right="0" * 14 + "1" * 6)
    found = judge({"fgsm": last, "square": replace(SOUND["square"], right="0000")})
    assert found[BLACK_BOX].passed is True
    assert "Square 0.0%, with gradients 0.0%" in found[BLACK_BOX].detail


class Steps(Defence):
    """Five levels a channel, and nothing said of a gradient: it is zero everywhere."""

    about = "masked"

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * 4) / 4


class Threshold(Defence):
    """Black or white: autograd knows no way through it."""

    about = "cut off"

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


def measured(systems: list[System], data: ImageSet, preset: Preset) -> tuple[list[Record], Scopes]:
    """All that the preset wants to know of the systems."""
    scopes, journal = choose_scopes(len(data), preset), Journal()
    assert run(plan(systems, preset, scopes), Executor(systems, data, scopes), journal) == []
    return journal.records, scopes


@pytest.mark.slow
@pytest.mark.parametrize("planted", [Steps, Threshold])
def test_a_defence_that_masks_its_gradient_is_caught(systems, coloured, planted):
    masked = System("masked", frozen(planted()), systems[0].classifier, "colours", False, "")
    records, scopes = measured([systems[0], masked], coloured, QUICK)
    found = {c.name: c for c in checks(records, "masked", scopes, QUICK.epsilons)}
    assert found[GRADIENT].passed is False
    assert "100.0% of the pictures have none" in found[GRADIENT].detail
    assert found[LARGEST].passed is False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["comdefend-tiny", "bits-5", "noise-8"])
def test_an_honest_defence_passes(systems, coloured, name):
    chosen = [system for system in systems if system.name in ("none", name)]
    records, scopes = measured(chosen, coloured, QUICK)
    for check in checks(records, name, scopes, QUICK.epsilons):
        assert check.passed is (None if check.name == BLACK_BOX else True), check
