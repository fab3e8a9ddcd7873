import json
from dataclasses import replace

import pytest

from model.attacks import ATTACKS, EVALUATION_ATTACKS, find_attack
from model.attacks.pgd import Descent
from model.defences import BitDepth, GaussianNoise, Nothing
from model.evaluate.presets import FGSM, LARGE, MAIN, MI_FGSM, PRESETS, AttackConfig, Preset, pgd_config
from tests.evaluations import AUTO_ATTACK, AUTO_ATTACK_RAND

SUITE = Preset("tiny", 8, 4, 2, epsilons=(2.0, MAIN), steps=3, restarts=2, suite=True, queries=7)


def names(attacks: list[AttackConfig]) -> list[str]:
    return [attack.name for attack in attacks]


@pytest.fixture
def codec(systems):
    return systems[1].defence


def test_the_presets_grow():
    quick, standard, full = (PRESETS[name] for name in ("quick", "standard", "full"))
    assert all(name == preset.name for name, preset in PRESETS.items())
    for field in ("images", "adaptive_images", "few_images", "steps", "restarts", "queries"):
        assert getattr(quick, field) <= getattr(standard, field) <= getattr(full, field)
    assert quick.images == 200
    assert standard.images == 1000
    assert full.images == 10_000
    assert [(preset.suite, preset.everywhere) for preset in (quick, standard, full)] == [
        (False, False), (True, False), (True, True),
    ]  # fmt: skip
    assert all(MAIN in preset.epsilons for preset in PRESETS.values())


def test_without_the_suite_there_are_three_attacks(codec):
    plain = replace(SUITE, suite=False)
    assert names(plain.grey(MAIN)) == names(plain.direct(codec)) == ["FGSM", "BIM", "PGD"]
    assert plain.cascade(MAIN, codec) == plain.alone(MAIN, codec) == []


def test_the_suite_is_run_at_the_main_strength_or_everywhere(codec):
    assert names(SUITE.grey(MAIN)) == [
        "FGSM", "BIM", "PGD", "MI-FGSM", "APGD", "APGD-DLR",
    ]  # fmt: skip
    assert names(SUITE.cascade(MAIN, codec)) == [
        "PGD", "PGD", "PGD", "MI-FGSM", "APGD", "APGD-DLR", "Square", *AUTO_ATTACK,
    ]  # fmt: skip
    assert names(SUITE.grey(2.0)) == ["FGSM", "BIM", "PGD"]
    assert SUITE.cascade(2.0, codec) == SUITE.alone(2.0, codec) == []
    wide = replace(SUITE, everywhere=True)
    assert wide.cascade(2.0, codec) == wide.cascade(MAIN, codec)
    assert wide.grey(2.0) == wide.grey(MAIN)
    assert wide.alone(2.0, codec) == []


def test_attacks_without_a_strength_are_run_once_and_only_where_asked_for(codec):
    assert SUITE.unbounded is None
    assert SUITE.grey_unbounded() == []
    some = replace(SUITE, unbounded="all")
    assert names(some.grey_unbounded()) == ["DeepFool", "C&W"]
    assert names(replace(some, attacks=("C&W", "PGD")).grey_unbounded()) == ["C&W"]
    assert {one["name"] for one in some.hyper_parameters({})} >= {"DeepFool", "C&W"}
    assert not {one["name"] for one in SUITE.hyper_parameters({})} & {"DeepFool", "C&W"}


def test_the_cascade_tries_another_loss_and_every_other_stand_in(codec):
    first, *others = SUITE.cascade(MAIN, codec)[:3]
    assert first.descent == Descent(3, "margin", random_start=True, restarts=2)
    assert [attack.gradient for attack in others] == ["sigmoid", "identity"]
    assert {attack.descent for attack in others} == {Descent(3, random_start=True)}
    assert all(attack.gradient is None for attack in SUITE.cascade(MAIN, BitDepth(5)))


def test_a_few_pictures_get_every_attack_but_autoattack_alone(codec):
    cascade = [attack for attack in SUITE.cascade(MAIN, codec) if attack.name not in AUTO_ATTACK]
    alone = SUITE.alone(MAIN, codec)
    assert alone[: len(cascade)] == cascade
    assert names(alone[len(cascade) :]) == ["DeepFool", "C&W"]


def test_gradients_are_averaged_where_the_defence_draws_random_numbers():
    noise = GaussianNoise(0.1)
    for attack in SUITE.direct(noise) + SUITE.cascade(MAIN, noise) + SUITE.alone(MAIN, noise):
        assert attack.descent is None or attack.descent.draws == 10
    for attack in SUITE.grey(MAIN) + SUITE.direct(Nothing()) + SUITE.cascade(MAIN, Nothing()):
        assert attack.descent is None or attack.descent.draws == 1
    assert names(SUITE.cascade(MAIN, noise))[-2:] == AUTO_ATTACK_RAND
    assert not set(AUTO_ATTACK_RAND) & set(names(SUITE.alone(MAIN, noise)))


def test_only_attacks_without_a_gradient_are_black_box(codec):
    found = SUITE.direct(codec) + SUITE.cascade(MAIN, codec) + SUITE.alone(MAIN, codec)
    assert {attack.name for attack in found if attack.black_box} == {"Square"}
    assert not any(attack.black_box for attack in SUITE.grey(MAIN))


def test_the_presets_numbers_reach_the_attacks(codec):
    for attacks in (SUITE.cascade(MAIN, codec), SUITE.alone(MAIN, codec)):
        assert {attack.steps for attack in attacks if attack.name == "PGD"} == {3}
        assert {attack.steps for attack in attacks if attack.name == "Square"} == {7}
    assert pgd_config(3) in SUITE.grey(MAIN)
    assert pgd_config(3) in SUITE.direct(codec)


def test_chosen_attacks_are_the_only_ones(codec):
    some = replace(SUITE, attacks=("BIM", "Square"))
    assert names(some.grey(MAIN)) == ["BIM"]
    assert names(some.direct(codec)) == ["BIM"]
    assert names(some.cascade(MAIN, codec)) == names(some.alone(MAIN, codec)) == ["Square"]
    assert names(replace(SUITE, attacks=("AutoAttack",)).cascade(MAIN, codec)) == AUTO_ATTACK


def test_every_attack_is_told_apart_by_its_key(codec):
    for attacks in (SUITE.grey(MAIN), SUITE.cascade(MAIN, codec), SUITE.alone(MAIN, codec)):
        assert len({attack.key for attack in attacks}) == len(attacks)
    assert pgd_config(10, "margin", restarts=5).key == "PGD, 10, margin, 5 restarts"
    assert replace(pgd_config(20), gradient="sigmoid").key == "PGD, 20, sigmoid"
    assert FGSM.key == "FGSM, 1"


def test_every_attack_is_one_that_can_be_run_so(codec):
    grey = SUITE.grey(MAIN) + replace(SUITE, unbounded="few").grey_unbounded()
    for attack in grey + SUITE.cascade(MAIN, codec) + SUITE.alone(MAIN, codec):
        assert attack.name in ATTACKS | EVALUATION_ATTACKS
        spec = find_attack(attack.name)
        spec.check(MAIN if attack.has_epsilon else None, attack.steps, None)
        assert attack.has_epsilon == (attack.name not in ("DeepFool", "C&W"))
        assert attack.passes() >= (attack.steps or 1)


@pytest.mark.parametrize(("preset", "steps"), [("quick", [20, 10]), ("standard", [40, 80, 20])])
def test_the_checks_want_more_steps_and_a_large_strength(preset, steps):
    found = PRESETS[preset].for_the_checks(Nothing())
    assert [attack.steps for attack, _, _ in found] == steps
    assert [epsilon for _, epsilon, _ in found] == [MAIN] * (len(steps) - 1) + [LARGE]


def test_passes_count_backward_ones_twice_over():
    assert FGSM.passes() == 3
    assert MI_FGSM.passes() == 30
    assert AttackConfig("PGD", Descent(5, restarts=2, draws=10), steps=5).passes() == 300
    assert AttackConfig("APGD", steps=100).passes() == 3 * 102
    assert AttackConfig("Square", steps=100, black_box=True).passes() == 102


def test_the_hyper_parameters_name_every_attack_once(systems):
    defences = {system.name: system.defence for system in systems}
    found = list(SUITE.hyper_parameters(defences))
    assert len({json.dumps(one) for one in found}) == len(found)
    for epsilon in SUITE.epsilons:
        attacks = SUITE.grey(epsilon)
        for defence in defences.values():
            attacks += SUITE.direct(defence) + SUITE.cascade(epsilon, defence)
        assert all(attack.to_dict() in found for attack in attacks)
    assert pgd_config(3).to_dict() in found
    assert pgd_config(3).to_dict()["descent"]["random_start"] is True
