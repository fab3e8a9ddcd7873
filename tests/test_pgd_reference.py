"""Our FGSM, BIM, PGD and MI-FGSM beside torchattacks', and what only ours can be told."""

import pytest
import torch
import torchattacks
from torch import Tensor, nn

from model.attacks import AttackCancelled, attack, round_inside_ball
from model.attacks.catalogue import descent_of
from model.attacks.pgd import Descent, Label, OtherAnswers, ascend, pgd

EPSILONS = [1, 2, 8, 16]


def ours(
    name: str, model: nn.Module, x: Tensor, labels: Tensor, epsilon: float, steps: int = 1, **more: object
) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    descent = descent_of(name, steps)
    return pgd(model, x, labels, epsilon, descent, generator, stop_early=False, **more).adversarial


def theirs(name: str, model: nn.Module, epsilon: float, steps: int) -> torchattacks.attack.Attack:
    """The attack of that name as its paper has it: the step of Madry et al., with momentum eps / steps."""
    radius = epsilon / 255
    size = min(radius, 2.5 * radius / steps)
    match name:
        case "FGSM":
            return torchattacks.FGSM(model, eps=radius)
        case "BIM":
            return torchattacks.BIM(model, eps=radius, alpha=size, steps=steps)
        case "PGD":
            return torchattacks.PGD(model, eps=radius, alpha=size, steps=steps, random_start=True)
        case _:
            return torchattacks.MIFGSM(model, eps=radius, alpha=radius / steps, steps=steps, decay=1.0)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize(("name", "steps"), [("FGSM", 1), ("BIM", 10), ("PGD", 10), ("MI-FGSM", 10)])
@pytest.mark.parametrize("aimed", [False, True])
def test_the_same_pictures_as_torchattacks(classifier, pictures, name, steps, epsilon, aimed):
    labels = classifier(pictures).argmax(1)
    target = (labels + 1) % 4 if aimed else None
    reference = theirs(name, classifier, epsilon, steps)
    if aimed:
        reference.set_mode_targeted_by_function(lambda x, labels: target)
    torch.manual_seed(0)  # PGD's start is drawn from the same stream of numbers
    wanted = reference(pictures, labels)
    found = ours(name, classifier, pictures, labels, epsilon, steps, target=target, rounded=False)
    assert torch.allclose(found, wanted, atol=1e-6, rtol=0)
    found, wanted = (round_inside_ball(x, pictures, epsilon) for x in (found, wanted))
    assert torch.equal(found, wanted)
    assert not torch.equal(found, pictures)
    assert torch.equal(ours(name, classifier, pictures, labels, epsilon, steps, target=target), wanted)
    asked = attack(
        name, classifier, pictures, labels, epsilon=epsilon, steps=None if name == "FGSM" else steps
    )
    if not aimed:
        assert torch.equal(asked, wanted)


def test_fgsm_stops_early_at_the_same_pictures(classifier, pictures):
    labels = classifier(pictures).argmax(1)
    found = pgd(classifier, pictures, labels, 8, descent_of("FGSM"), torch.Generator()).adversarial
    assert torch.equal(found, ours("FGSM", classifier, pictures, labels, 8))


def test_a_target_is_reached_and_then_kept(systems, coloured):
    """From each of the colours to the next, where the ball is wider than the margin."""
    classifier = systems[0].classifier
    x = coloured.images[:6].float() / 255
    labels = classifier(x).argmax(1)
    target = (labels + 1) % 3
    shown: list[int] = []

    def counted(pictures: Tensor) -> Tensor:
        if pictures.requires_grad:
            shown.append(len(pictures))
        return classifier(pictures)

    descent = Descent(10, restarts=2)
    found = pgd(counted, x, labels, 8, descent, torch.Generator(), target=target).adversarial
    reached = classifier(found).argmax(1) == target
    assert reached.tolist() == [True, True, True, False, False, False]
    assert shown[0] == 6
    assert shown[-1] == 3
    moved = ((found - x) * 255).abs().amax((1, 2, 3)).round()
    assert moved.tolist() == [2, 6, 8, 8, 8, 8]


def test_progress_is_the_share_of_the_steps_and_can_cancel(classifier, pictures):
    labels = classifier(pictures).argmax(1)
    generator = torch.Generator().manual_seed(0)
    shares: list[float] = []
    descent = Descent(2, random_start=True, restarts=2, draws=3)
    pgd(classifier, pictures, labels, 8, descent, generator, False, on_progress=shares.append)
    assert shares == [0, 0.25, 0.5, 0.75]

    def cancel(share: float) -> None:
        if share:
            raise AttackCancelled

    with pytest.raises(AttackCancelled):
        pgd(classifier, pictures, labels, 8, descent, generator, False, on_progress=cancel)


def test_it_begins_where_it_is_told_and_without_a_ball_goes_as_far_as_it_likes(classifier, pictures):
    labels = classifier(pictures).argmax(1)
    start = (pictures + 16 / 255).clamp(0, 1)
    whole, step = float("inf"), 8 / 255
    found = ascend(classifier, pictures, Label(labels), Descent(1), whole, step, start=start).adversarial
    moved = ((found - start).abs() * 255).round()
    assert set(moved.unique().tolist()) <= set(range(9))
    assert moved.max() == 8
    assert ((found - pictures).abs() * 255).max().round() == 24
    held = ascend(classifier, pictures, Label(labels), Descent(1), step, step, start=start).adversarial
    assert ((held - pictures).abs() * 255).max().round() == 8


def test_other_answers_are_as_far_from_the_wanted_ones_as_can_be(classifier, pictures):
    wanted = classifier(pictures).softmax(1).detach()
    goal = OtherAnswers(wanted)
    assert torch.allclose(goal.losses(classifier(pictures)), torch.zeros(6), atol=1e-6)
    start = (pictures + 4 / 255).clamp(0, 1)
    found = ascend(classifier, pictures, goal, Descent(10), 32 / 255, 8 / 255, start=start).adversarial
    with torch.no_grad():
        assert (goal.losses(classifier(found)) > goal.losses(classifier(start))).all()
    assert goal.reached(classifier(pictures)).tolist() == [False] * 6
    some = torch.tensor([True, False, True, False, False, False])
    assert torch.equal(goal.of(some).wanted, wanted[some])
