"""FGSM, BIM, PGD and MI-FGSM: one implementation for the page, the evaluation and training.

Projected gradient descent with targets, losses, momentum, restarts, averaging and an early stop. The attacks
of torchattacks know one loss and go on with pictures that fell long ago. Through a codec on a CPU, where one
step of 1,000 pictures takes 20 seconds, that is the difference between an hour and a night. Where both can do
the same, they find the same pictures, and a test says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from model.attacks.rounding import round_inside_ball

Model = Callable[[Tensor], Tensor]
"""The attacked system: pictures in [0,1] to logits."""
Loss = Literal["cross-entropy", "margin"]
OnStep = Callable[[int, Tensor], None]
"""Is told how many steps were taken, and the pictures that are still at work, (B,3,H,W), before rounding."""


@dataclass(frozen=True)
class Descent:
    """The hyper-parameters of one attack of the family: without more than steps, FGSM (one) or BIM."""

    steps: int
    loss: Loss = "cross-entropy"
    momentum: float = 0.0
    """The decay of the sum of gradients, each scaled to an L1 norm of 1 (MI-FGSM; Dong et al. 2018)."""
    random_start: bool = False
    restarts: int = 1
    draws: int = 1
    """Gradients averaged at each step, for a defence that is noisy (EOT; Athalye et al. 2018)."""

    def step_size(self, epsilon: float) -> float:
        """2.5 eps / steps as Madry et al. (2018) have it; with momentum eps / steps."""
        return epsilon / self.steps if self.momentum else min(epsilon, 2.5 * epsilon / self.steps)


class Found(NamedTuple):
    """What an attack came to."""

    adversarial: Tensor
    """Shape (B,3,H,W), inside the ball, and multiples of 1/255 unless these were not wanted."""
    no_gradient: Tensor
    """Shape (B,), bool: the first gradient was zero everywhere, so there was nothing to follow."""
    zeros: Tensor
    """Shape (B,): share of the first gradient's entries that were zero."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Best other logit minus the label's, shape (B,): positive where the label is lost."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (others.amax(1, keepdim=True) - own).squeeze(1)


LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": lambda logits, labels: nn.functional.cross_entropy(logits, labels, reduction="none"),
    "margin": margin,
}


class Goal(Protocol):
    """What an attack wants of the answers to a batch of pictures."""

    def losses(self, logits: Tensor) -> Tensor:
        """What is to rise, shape (B,), of logits, shape (B,classes)."""
        ...

    def reached(self, logits: Tensor) -> Tensor:
        """Which pictures are done, shape (B,), bool, of logits, shape (B,classes)."""
        ...

    def of(self, which: Tensor) -> Self:
        """The goal of some of the pictures: indices, or a mask of shape (B,)."""
        ...


@dataclass(frozen=True)
class Label:
    """Away from a class of each picture's own, or towards it."""

    classes: Tensor
    """Shape (B,), int64."""
    loss: Loss = "cross-entropy"
    towards: bool = False

    def losses(self, logits: Tensor) -> Tensor:
        found = LOSSES[self.loss](logits, self.classes)
        return -found if self.towards else found

    def reached(self, logits: Tensor) -> Tensor:
        answers = logits.argmax(1)
        return answers == self.classes if self.towards else answers != self.classes

    def of(self, which: Tensor) -> "Label":
        return Label(self.classes[which], self.loss, self.towards)


@dataclass(frozen=True)
class OtherAnswers:
    """Answers as far from the wanted ones as can be, by the Kullback-Leibler divergence, in nats (TRADES)."""

    wanted: Tensor
    """Probabilities, shape (B,classes)."""

    def losses(self, logits: Tensor) -> Tensor:
        return nn.functional.kl_div(logits.log_softmax(1), self.wanted, reduction="none").sum(1)

    def reached(self, logits: Tensor) -> Tensor:
        return logits.argmax(1) != self.wanted.argmax(1)

    def of(self, which: Tensor) -> "OtherAnswers":
        return OtherAnswers(self.wanted[which])


def pgd(
    model: Model,
    x: Tensor,
    labels: Tensor,
    epsilon: float,
    descent: Descent,
    generator: torch.Generator,
    stop_early: bool = True,
    *,
    target: Tensor | None = None,
    on_progress: Callable[[float], None] | None = None,
    on_step: OnStep | None = None,
    rounded: bool = True,
) -> Found:
    """Ascend a loss inside the L-infinity ball around ``x``, away from ``labels`` or towards ``target``.

    Args:
        model: the attacked system, [0,1] pictures to logits.
        x: shape (B,3,H,W), range [0,1], multiples of 1/255.
        labels: shape (B,), int64.
        epsilon: radius in 1/255.
        descent: steps, loss and so on.
        generator: source of the random starts, on the pictures' device.
        stop_early: a picture is done once its 8-bit version fools the model. For an attacker who will show
            the picture to *another* system (grey-box), the remaining steps make it stronger: pass False.
        target: shape (B,), int64: the class that each picture is to be taken for; None: any but its label.
        on_progress: called with the share of the steps done before each of them; may raise
            ``AttackCancelled``.
        on_step: called after each step; may raise ``AttackCancelled``, too.
        rounded: False leaves the pictures between the levels of 8 bits.
    """
    goal = Label(labels, descent.loss) if target is None else Label(target, descent.loss, towards=True)
    radius = epsilon / 255
    return ascend(
        model,
        x,
        goal,
        descent,
        radius,
        descent.step_size(radius),
        generator=generator,
        stop_early=stop_early,
        on_progress=on_progress,
        on_step=on_step,
        rounding=(lambda now, x: round_inside_ball(now, x, epsilon)) if rounded else None,
    )


def ascend(
    model: Model,
    x: Tensor,
    goal: Goal,
    descent: Descent,
    radius: float,
    step_size: float,
    *,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    stop_early: bool = False,
    on_progress: Callable[[float], None] | None = None,
    on_step: OnStep | None = None,
    rounding: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Found:
    """What :func:`pgd` is made of, for whoever has another goal, start or step.

    Args:
        model, x, descent, generator, stop_early, on_progress, on_step: as there.
        goal: what is to rise, in the place of the loss of ``descent``.
        radius: of the ball, in [0,1]; infinite where there is none.
        step_size: in [0,1].
        start: shape (B,3,H,W): where it begins; None: at ``x``, or at random where ``descent`` says so.
        rounding: from pictures and the ``x`` that they came of to those that count; None: as they are.
    """
    finish = rounding or (lambda now, x: now)
    best = x.clone()
    no_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    zeros = torch.zeros(len(x), device=x.device)
    active = torch.arange(len(x), device=x.device)
    for restart in range(descent.restarts):
        centre, mine = x[active], goal.of(active)
        now = centre.clone() if start is None else start[active]
        if descent.random_start:
            offset = torch.rand(now.shape, generator=generator, device=x.device).mul_(2).sub_(1)
            now = (now + radius * offset).clamp(0, 1)
        velocity = torch.zeros_like(now)
        for step in range(descent.steps):
            if on_progress is not None:
                on_progress((restart + step / descent.steps) / descent.restarts)
            gradient, fooled = _gradient(model, now, mine, descent.draws)
            if restart == step == 0:
                flat = gradient.flatten(1) == 0
                no_gradient, zeros = flat.all(1), flat.float().mean(1)
            if stop_early and bool(fooled.any()):
                standing = fooled.logical_not()
                certain = finish(now[fooled], centre[fooled])
                sure = _reached(model, certain, mine.of(fooled))
                best[active[fooled][sure]] = certain[sure]
                standing[fooled] = ~sure
                active, centre, mine = active[standing], centre[standing], mine.of(standing)
                now, velocity, gradient = now[standing], velocity[standing], gradient[standing]
                if len(active) == 0:
                    return Found(best, no_gradient, zeros)
            if descent.momentum:
                norm = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
                velocity = gradient = descent.momentum * velocity + gradient / norm
            now = now + step_size * gradient.sign()
            now = now.clamp(centre - radius, centre + radius).clamp(0, 1)
            if on_step is not None:
                on_step(restart * descent.steps + step + 1, now)
        found = finish(now, centre)
        if restart and not stop_early:  # what fell in an earlier one stays
            fell = _reached(model, best[active], mine)
            found[fell] = best[active][fell]
        best[active] = found
        if stop_early:
            active = active[~_reached(model, found, mine)]
            if len(active) == 0:
                break
    return Found(best, no_gradient, zeros)


@torch.no_grad()
def _reached(model: Model, x: Tensor, goal: Goal) -> Tensor:
    return goal.reached(model(x))


def _gradient(model: Model, x: Tensor, goal: Goal, draws: int) -> tuple[Tensor, Tensor]:
    """The gradient of what is to rise at ``x``, and which pictures fool the model there."""
    total = torch.zeros_like(x)
    answers: list[Tensor] = []
    for _ in range(draws):
        at = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(at)
            loss = goal.losses(logits).sum()
            if loss.requires_grad:  # not through a threshold without a stand-in
                (gradient,) = torch.autograd.grad(loss, at, allow_unused=True)
                total += 0 if gradient is None else gradient
        answers.append(logits.detach())
    return total, goal.reached(torch.stack(answers).mean(0))
