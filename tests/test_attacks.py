import math

import pytest
import torch

from model import DefendedClassifier
from model.attacks import (
    ATTACKS,
    EVALUATION_ATTACKS,
    THREAT_MODELS,
    AttackCancelled,
    AttackError,
    attack,
    find_attack,
    round_and_still_fool,
    round_inside_ball,
    round_to_8_bits,
)
from model.data import to_float
from tests.evaluations import AUTO_ATTACK


def parameters(name: str, steps: int = 10) -> dict:
    spec = ATTACKS[name]
    return {"epsilon": 8 if spec.has_epsilon else None, "steps": steps if spec.has_steps else None}


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_stays_inside_its_ball_as_an_8_bit_picture(
    name, threat_model, classifier, codec, pictures
):
    model = DefendedClassifier(classifier, codec) if threat_model == "adaptive" else classifier
    labels = model(pictures).argmax(1)
    found = attack(name, model, pictures, labels, **parameters(name))
    assert found.shape == pictures.shape
    assert not found.requires_grad
    assert torch.equal(round_to_8_bits(found), found)
    assert 0 <= found.min() <= found.max() <= 1
    if ATTACKS[name].has_epsilon:
        moved = ((found - pictures) * 255).abs()
        assert moved.max() <= 8 + 1e-3
        least = 0 if name == "Square" else 1  # a level; Square gives back what it did not fool
        assert moved.max() >= least - 1e-3


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_moves_the_loss_against_the_label(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    settings = parameters(name, steps=50) | ({"epsilon": 32} if ATTACKS[name].has_epsilon else {})
    found = attack(name, classifier, pictures, labels, **settings)
    before = torch.nn.functional.cross_entropy(classifier(pictures), labels)
    assert torch.nn.functional.cross_entropy(classifier(found), labels) > before


@pytest.mark.parametrize("name", [n for n, spec in ATTACKS.items() if spec.targetable])
def test_targeted_attacks_move_towards_the_target(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    target = int((labels[0] + 1) % 4)
    settings = parameters(name, steps=100) | ({"epsilon": 32} if ATTACKS[name].has_epsilon else {})
    found = attack(name, classifier, pictures, labels, target=target, **settings)
    away = labels != target
    before = classifier(pictures).softmax(1)[away, target].mean()
    assert classifier(found).softmax(1)[away, target].mean() > before


class Brightness(torch.nn.Module):
    """Dark is class 0, brighter class 1, very bright class 2: on the way to 2 lies 1."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = torch.nn.Parameter(torch.tensor([0.0, 4000.0, 10000.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        brightness = x.mean((1, 2, 3))[:, None]
        return self.slopes * (brightness - torch.tensor([0.0, 0.5, 0.7]))


def test_targeted_cw_ends_at_its_target_and_not_at_the_first_wrong_class():
    x = torch.full((2, 3, 8, 8), 115 / 255)
    labels = torch.zeros(2, dtype=torch.long)
    assert Brightness()(x).argmax(1).tolist() == [0, 0]
    aimed = attack("C&W", Brightness(), x, labels, steps=300, target=2)
    assert Brightness()(aimed).argmax(1).tolist() == [2, 2]
    assert Brightness()(attack("C&W", Brightness(), x, labels, steps=300)).argmax(1).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["DeepFool", "C&W"])
def test_what_just_crosses_the_border_still_does_after_rounding(name):
    """Brightness has its border between two levels of 255, where rounding leads back."""
    model = Brightness()
    x = torch.full((1, 3, 8, 8), 124 / 255)
    label = model(x).argmax(1)
    found = attack(name, model, x, label, steps=100)
    assert torch.equal(round_to_8_bits(found), found)
    assert model(found).argmax(1) != label
    assert ((found - x) * 255).abs().max() <= 12  # made larger, but not without measure


def test_deepfool_sees_the_ten_most_probable_classes(classifier, pictures):
    class Wide(torch.nn.Module):
        """The classifier with a thousand classes, of which it thinks nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.net = classifier

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.net(x)
            return torch.cat([logits, logits.new_full((len(x), 996), -50.0)], 1)

    labels = classifier(pictures).argmax(1)
    wide = attack("DeepFool", Wide(), pictures, labels, steps=100)
    assert torch.equal(wide, attack("DeepFool", classifier, pictures, labels, steps=100))
    assert (classifier(wide).argmax(1) != labels).sum() >= 5


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_seed_gives_the_same_picture(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    torch.manual_seed(1)
    first = attack(name, classifier, pictures, labels, seed=7, **parameters(name))
    torch.manual_seed(2)
    assert torch.equal(first, attack(name, classifier, pictures, labels, seed=7, **parameters(name)))


@pytest.mark.parametrize("name", [n for n, spec in ATTACKS.items() if spec.seeded])
def test_another_seed_gives_another_picture(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    first = attack(name, classifier, pictures, labels, seed=7, **parameters(name))
    assert not torch.equal(first, attack(name, classifier, pictures, labels, seed=8, **parameters(name)))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_global_random_state_and_the_inputs_are_left_alone(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    copies = pictures.clone(), labels.clone()
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    attack(name, classifier, pictures, labels, **parameters(name))
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(pictures, copies[0])
    assert torch.equal(labels, copies[1])


@pytest.mark.parametrize("name", ATTACKS)
def test_progress_is_reported_and_can_cancel(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    shares: list[float] = []
    attack(name, classifier, pictures[:1], labels[:1], on_progress=shares.append, **parameters(name))
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] <= 1

    def cancel(_: float) -> None:
        raise AttackCancelled

    with pytest.raises(AttackCancelled):
        attack(name, classifier, pictures, labels, on_progress=cancel, **parameters(name))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("LBFGS", {}, "unknown attack 'LBFGS'"),
        ("PGD", {"epsilon": -1, "steps": 5}, "from 1 to 64"),
        ("PGD", {"epsilon": 0.5, "steps": 5}, "from 1 to 64"),
        ("PGD", {"epsilon": 1000, "steps": 5}, "from 1 to 64"),
        ("PGD", {"epsilon": math.nan, "steps": 5}, "got nan"),
        ("PGD", {"epsilon": 8, "steps": 0}, "from 1 to 200, got 0"),
        ("PGD", {"epsilon": 8, "steps": 2.5}, "whole number"),
        ("PGD", {"epsilon": 8, "steps": None}, "got None"),
        ("FGSM", {"epsilon": 8, "steps": 3}, "no steps"),
        ("DeepFool", {"epsilon": 8, "steps": 3}, "no epsilon"),
        ("DeepFool", {"steps": 3, "target": 1}, "cannot be aimed"),
        ("APGD", {"epsilon": 8, "steps": 3, "target": 1}, "cannot be aimed"),
    ],
)
def test_impossible_settings_are_refused(name, settings, message, classifier, pictures):
    with pytest.raises(AttackError, match=message):
        attack(name, classifier, pictures, torch.zeros(6, dtype=torch.long), **settings)


def test_rounding_stays_inside_a_ball_that_is_no_whole_number():
    x = torch.tensor([0.0, 100.0, 255.0]).view(1, 1, 1, 3) / 255
    moved = (x + 2.5 / 255).clamp(0, 1)
    assert (round_inside_ball(moved, x, 2.5) * 255).flatten().tolist() == [2, 102, 255]
    assert (round_inside_ball(moved, x, None) * 255).flatten().tolist()[1] in (102, 103)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_modules_mode_is_given_back(name, classifier, codec, pictures):
    defended = DefendedClassifier(classifier, codec).train()
    classifier.eval()
    modes = [module.training for module in defended.modules()]
    assert set(modes) == {True, False}
    attack(name, defended, pictures[:1], torch.zeros(1, dtype=torch.long), **parameters(name, 2))
    assert [module.training for module in defended.modules()] == modes


@pytest.mark.parametrize("name", EVALUATION_ATTACKS)
@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_the_evaluations_own_attacks_stay_inside_their_ball(name, threat_model, classifier, codec, pictures):
    model = DefendedClassifier(classifier, codec) if threat_model == "adaptive" else classifier
    labels = model(pictures).argmax(1)
    epsilon = 8 if name.endswith("(Square)") else 2  # without a gradient it finds nothing so near
    torch.manual_seed(1)
    found = attack(name, model, pictures, labels, epsilon=epsilon, steps=2, seed=5)
    assert torch.equal(round_to_8_bits(found), found)
    assert ((found - pictures) * 255).abs().max() <= epsilon + 1e-3
    if threat_model == "grey-box":
        assert (model(found).argmax(1) != labels).any()
    torch.manual_seed(2)
    assert torch.equal(found, attack(name, model, pictures, labels, epsilon=epsilon, steps=2, seed=5))


def test_the_last_part_of_autoattack_needs_no_gradient():
    """None leads over the edge of this model; Square sees the scores alone."""

    class Edge(torch.nn.Module):
        """Wrong as soon as a corner of the picture is brighter than it was, and flat."""

        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            brighter = (x[:, :, :4, :4].mean((1, 2, 3)) > 0.51).float()
            right = 1 - brighter + 0 * x.sum((1, 2, 3)) + self.unused
            return torch.stack([right, 1 - right, right * 0 - 1, right * 0 - 2], 1)

    x = torch.full((4, 3, 16, 16), 128 / 255)
    labels = torch.zeros(4, dtype=torch.long)
    *before, last = AUTO_ATTACK
    for name in before:
        assert (Edge()(attack(name, Edge(), x, labels, epsilon=8, steps=2)).argmax(1) == labels).all()
    found = attack(last, Edge(), x, labels, epsilon=8, steps=2)
    assert (Edge()(found).argmax(1) != labels).any()  # some of four: Square draws where it looks


@pytest.mark.parametrize("name", AUTO_ATTACK)
def test_autoattack_takes_pictures_whatever_their_order_in_memory(name, systems, coloured):
    x = to_float(coloured.images)[3:5]
    labels = coloured.labels[3:5]
    wanted = attack(name, systems[0].classifier, x.contiguous(), labels, epsilon=8, steps=2)
    assert torch.equal(attack(name, systems[0].classifier, x, labels, epsilon=8, steps=2), wanted)


def test_the_page_does_not_offer_the_evaluations_own_attacks():
    assert not set(ATTACKS) & set(EVALUATION_ATTACKS)
    for name in EVALUATION_ATTACKS:
        assert find_attack(name).name == name
        assert not find_attack(name).targetable
    with pytest.raises(AttackError, match="unknown attack 'LBFGS'") as caught:
        find_attack("LBFGS")
    assert "AutoAttack" not in str(caught.value)


@pytest.mark.parametrize("name", ["DeepFool", "C&W", "PGD"])
def test_pictures_may_be_had_as_the_attack_found_them(name, classifier, pictures):
    labels = classifier(pictures).argmax(1)
    raw = attack(name, classifier, pictures, labels, rounded=False, **parameters(name))
    rounded = attack(name, classifier, pictures, labels, **parameters(name))
    assert not torch.equal(round_to_8_bits(raw), raw)
    if name == "PGD":
        assert torch.equal(round_inside_ball(raw, pictures, 8), rounded)
    else:
        assert torch.equal(round_and_still_fool(classifier, pictures, raw, labels, None), rounded)
