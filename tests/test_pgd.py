import itertools

import pytest
import torch
from torch import nn

from model.attacks import round_to_8_bits
from model.attacks.pgd import LOSSES, Descent, margin, pgd
from model.data import to_float


def run(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, descent: Descent, epsilon: float = 8, **more
):
    return pgd(model, x, labels, epsilon, descent, torch.Generator().manual_seed(0), **more)


class Spy(nn.Module):
    """A model that writes down how many pictures it was shown, with and without a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.steps: list[int] = []
        self.looks: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (self.steps if x.requires_grad else self.looks).append(len(x))
        return self.model(x)


@pytest.fixture
def colours(systems, coloured):
    """The classifier of colours, and its pictures with the labels that it gives them."""
    classifier = systems[0].classifier
    x = to_float(coloured.images)
    return classifier, x, classifier(x).argmax(1)


DESCENTS = [
    Descent(1),
    Descent(5, random_start=True),
    Descent(5, "margin", random_start=True, restarts=2),
    Descent(5, momentum=1.0),
    Descent(3, draws=2),
]


@pytest.mark.parametrize("stop_early", [True, False])
@pytest.mark.parametrize("epsilon", [1, 2.5, 8, 64])
@pytest.mark.parametrize("descent", DESCENTS)
def test_what_is_found_is_an_8_bit_picture_inside_the_ball(
    classifier, pictures, descent, epsilon, stop_early
):
    labels = classifier(pictures).argmax(1)
    copy = pictures.clone()
    found = run(classifier, pictures, labels, descent, epsilon, stop_early=stop_early).adversarial
    assert torch.equal(round_to_8_bits(found), found)
    assert 0 <= found.min() <= found.max() <= 1
    assert 0 < ((found - pictures) * 255).abs().max() <= epsilon + 1e-3
    assert not found.requires_grad
    assert torch.equal(pictures, copy)


def test_the_step_arrives_whatever_the_number_of_steps():
    assert Descent(1).step_size(8) == 8
    assert Descent(2).step_size(8) == 8
    assert Descent(10).step_size(8) == 2
    assert Descent(10, momentum=1.0).step_size(8) == 0.8


def test_the_margin_is_what_the_best_other_class_has_more():
    logits = torch.tensor([[3.0, 1.0, -2.0], [3.0, 1.0, -2.0], [-5.0, -7.0, -7.0]])
    assert margin(logits, torch.tensor([0, 2, 0])).tolist() == [-2, 5, -2]
    assert LOSSES["margin"](logits, torch.tensor([1, 1, 1])).tolist() == [2, 2, 2]
    losses = LOSSES["cross-entropy"](logits, torch.tensor([0, 2, 0]))
    assert losses.tolist() == pytest.approx((-logits.log_softmax(1))[[0, 1, 2], [0, 2, 0]].tolist())


def test_the_loss_decides_the_way(pictures):
    """Against the margin the third class, far from winning, does not count; in the cross-entropy it does."""

    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))
            return torch.stack([left * 0 + 1, left, right - 3], 1)

    labels = torch.zeros(6, dtype=torch.long)
    x = pictures * 0.5 + 0.25
    x = round_to_8_bits(x)
    both = run(Halves(), x, labels, Descent(1), stop_early=False).adversarial - x
    one = run(Halves(), x, labels, Descent(1, "margin"), stop_early=False).adversarial - x
    assert (both > 0).all()
    assert (one[..., :8] > 0).all()
    assert (one[..., 8:] == 0).all()


@pytest.mark.parametrize("descent", [Descent(10), Descent(10, random_start=True), Descent(10, momentum=1.0)])
@pytest.mark.parametrize("stop_early", [True, False])
def test_a_picture_falls_exactly_if_the_ball_is_wider_than_its_margin(colours, descent, stop_early):
    classifier, x, labels = colours
    found = run(classifier, x, labels, descent, stop_early=stop_early).adversarial
    held = classifier(found).argmax(1) == labels
    assert held.tolist() == [False, False, False, True, True, True, True, True]


def test_fallen_pictures_are_left_alone(colours):
    classifier, x, labels = colours
    spy = Spy(classifier)
    found = run(
        spy, x, labels, Descent(10)
    ).adversarial  # 2/255 a step, margins of 1.5, 4.5 and 6.5 are below
    assert spy.steps == [8, 8, 7, 7, 6, 5, 5, 5, 5, 5]
    moved = ((found - x) * 255).abs().amax((1, 2, 3)).round()
    assert moved.tolist() == [2, 6, 8, 8, 8, 8, 8, 8]


def test_what_is_lost_already_is_given_back_as_it_is(colours):
    classifier, x, labels = colours
    wrong = (labels + 1) % 3
    spy = Spy(classifier)
    found = run(spy, x, wrong, Descent(10, restarts=3))
    assert torch.equal(found.adversarial, x)
    assert spy.steps == [8]


def test_without_an_early_stop_every_picture_gets_all_steps(colours):
    classifier, x, labels = colours
    spy = Spy(classifier)
    found = run(spy, x, labels, Descent(10), stop_early=False).adversarial
    assert spy.steps == [8] * 10
    assert spy.looks == []
    assert ((found - x) * 255).abs().amax((1, 2, 3)).round().tolist() == [8] * 8


def test_a_picture_that_falls_only_between_the_levels_of_8_bits_is_attacked_on(colours):
    """Half a level is enough for the model, but there is no picture half a level away."""
    classifier, x, labels = colours

    class Fine(nn.Module):
        """Lost on pictures that are not multiples of 1/255, else the classifier."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            between = ((x * 255).round() / 255 - x).abs().amax((1, 2, 3)) > 1e-3
            return torch.where(between[:, None], classifier(x).flip(1), classifier(x))

    spy = Spy(Fine())
    run(spy, x, labels, Descent(5), epsilon=1)  # half a level a step
    assert spy.steps == [8] * 5


def test_what_falls_with_the_last_step_is_left_alone_by_the_next_restart(colours):
    classifier, x, labels = colours
    spy = Spy(classifier)
    found = run(spy, x, labels, Descent(1, restarts=3)).adversarial
    assert spy.steps == [8, 5, 5]
    assert (classifier(found).argmax(1) != labels).tolist() == [True] * 3 + [False] * 5


class Blind(nn.Module):
    """More red than green or not, without any gradient: the start alone decides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red, green = x.mean((2, 3))[:, :2].unbind(1)
        return torch.stack([red >= green, red < green], 1).float() + 0 * x.sum()


def test_restarts_only_add_to_what_fell():
    x = torch.full((60, 3, 1, 1), 100 / 255)
    x[:, 0] = 109 / 255
    labels = torch.zeros(60, dtype=torch.long)
    fallen = []
    for restarts in (1, 2, 20):
        found = run(Blind(), x, labels, Descent(2, random_start=True, restarts=restarts)).adversarial
        fallen.append(Blind()(found).argmax(1) == 1)
    assert 0 < fallen[0].sum() < fallen[1].sum() < fallen[2].sum()
    for fewer, more in itertools.pairwise(fallen):
        assert (more | ~fewer).all()


def test_restarts_only_add_to_what_fell_without_an_early_stop_too():
    """As against a noisy defence, where the evaluation never stops early."""
    x = torch.full((60, 3, 1, 1), 100 / 255)
    x[:, 0] = 109 / 255
    labels = torch.zeros(60, dtype=torch.long)
    fallen = []
    for restarts in (1, 20):
        descent = Descent(2, random_start=True, restarts=restarts)
        found = run(Blind(), x, labels, descent, stop_early=False).adversarial
        fallen.append(Blind()(found).argmax(1) == 1)
    assert (fallen[1] | ~fallen[0]).all()


def test_gradients_are_averaged_over_the_draws(pictures):
    class Trembling(nn.Module):
        """Brighter is worse, but each pixel says the opposite three times in ten."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            slope = 1 + 2 * torch.randn(x.shape)
            wrong = (x * slope).sum((1, 2, 3))
            return torch.stack([wrong * 0 + 1e6, wrong], 1)

    torch.manual_seed(0)
    x = round_to_8_bits(pictures * 0.5 + 0.25)
    labels = torch.zeros(6, dtype=torch.long)
    shares = []
    for draws in (1, 50):
        model = Trembling()
        found = run(model, x, labels, Descent(1, "margin", draws=draws), stop_early=False).adversarial
        assert model.calls == draws
        shares.append((found > x).float().mean().item())
    assert shares[0] == pytest.approx(0.69, abs=0.03)
    assert shares[1] > 0.99


def test_the_mean_of_the_draws_decides_what_has_fallen(pictures):
    class Wavering(nn.Module):
        """Wrong in one of two passes, but less surely than it is right in the other."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            right = 3.0 if self.calls % 2 else -1.0
            return torch.stack([x.mean((1, 2, 3)) * 0 + right, x.mean((1, 2, 3)) * 0], 1)

    spy = Spy(Wavering())
    run(spy, pictures, torch.zeros(6, dtype=torch.long), Descent(4, draws=2))
    assert spy.steps == [6] * 8


@pytest.mark.parametrize("trainable", [True, False])
def test_a_threshold_without_a_stand_in_is_told_and_does_not_crash(classifier, pictures, trainable):
    classifier.requires_grad_(trainable)

    class Threshold(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return classifier((x > 0.5).float())

    labels = Threshold()(pictures).argmax(1)
    found = run(Threshold(), pictures, labels, Descent(5))
    assert found.no_gradient.tolist() == [True] * 6
    assert found.zeros.tolist() == [1] * 6
    assert torch.equal(found.adversarial, pictures)


def test_a_gradient_of_zero_is_told_for_each_picture(pictures):
    class Half(nn.Module):
        """Bright pictures have no gradient, dark ones on their left half alone."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            dark = (x.mean((1, 2, 3)) < 0.5).float()
            left = x[..., :8].mean((1, 2, 3)) * dark
            return torch.stack([left, -left], 1)

    x = pictures.clone()
    x[:3], x[3:] = round_to_8_bits(x[:3] * 0.4), round_to_8_bits(x[3:] * 0.4 + 0.6)
    found = run(Half(), x, torch.zeros(6, dtype=torch.long), Descent(3), stop_early=False)
    assert found.no_gradient.tolist() == [False] * 3 + [True] * 3
    assert found.zeros.tolist() == [0.5] * 3 + [1] * 3


def test_chance_comes_from_the_generator_alone(classifier, pictures):
    labels = classifier(pictures).argmax(1)
    descent = Descent(2, random_start=True)

    def once(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return pgd(classifier, pictures, labels, 8, descent, generator, stop_early=False).adversarial

    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    first = once(0)
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(once(0), first)
    assert not torch.equal(once(1), first)


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_more_steps_raise_the_loss(classifier, pictures, loss):
    labels = classifier(pictures).argmax(1)

    def reached(x: torch.Tensor) -> float:
        return LOSSES[loss](classifier(x), labels).mean().item()

    found = run(classifier, pictures, labels, Descent(20, loss), 32, stop_early=False).adversarial
    assert reached(found) > reached(run(classifier, pictures, labels, Descent(1, loss), 32).adversarial)
    assert reached(found) > reached(pictures)
