"""Projected gradient descent as an evaluation needs it: losses, momentum, restarts, averaging, early stop.

The attacks of torchattacks know one loss and go on with pictures that fell long ago. Through a codec on
a CPU, where one step of 1,000 pictures takes 20 seconds, that is the difference between an hour and a night.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from model.attacks import round_inside_ball

Loss = Literal["cross-entropy", "margin"]


@dataclass(frozen=True)
class Descent:
    """The hyper-parameters of one attack of the family."""

    steps: int
    loss: Loss = "cross-entropy"
    momentum: float = 0.0
    """Of the gradients, each scaled to an L1 norm of 1 (MI-FGSM; Dong et al. 2018)."""
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
    """Shape (B,3,H,W), multiples of 1/255 inside the ball."""
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


def pgd(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    epsilon: float,
    descent: Descent,
    generator: torch.Generator,
    stop_early: bool = True,
) -> Found:
    """Ascend a loss inside the L-infinity ball around ``x``, away from ``labels``.

    Args:
        model: the attacked system, [0,1] pictures to logits.
        x: shape (B,3,H,W), range [0,1], multiples of 1/255.
        labels: shape (B,), int64.
        epsilon: radius in 1/255.
        descent: steps, loss and so on.
        generator: source of the random starts, on the pictures' device.
        stop_early: a picture is done once its 8-bit version fools the model. For an attacker who will show
            the picture to *another* system (grey-box), the remaining steps make it stronger: pass False.
    """
    radius, size = epsilon / 255, descent.step_size(epsilon / 255)
    best = x.clone()
    no_gradient = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    zeros = torch.zeros(len(x), device=x.device)
    active = torch.arange(len(x), device=x.device)
    for restart in range(descent.restarts):
        start, true = x[active], labels[active]
        now = start.clone()
        if descent.random_start:
            offset = torch.rand(now.shape, generator=generator, device=x.device).mul_(2).sub_(1)
            now = (now + radius * offset).clamp(0, 1)
        velocity = torch.zeros_like(now)
        for step in range(descent.steps):
            gradient, fooled = _gradient(model, now, true, descent)
            if restart == step == 0:
                flat = gradient.flatten(1) == 0
                no_gradient, zeros = flat.all(1), flat.float().mean(1)
            if stop_early and bool(fooled.any()):
                standing = ~_keep_fooling(model, now, start, true, epsilon, fooled, best, active)
                active, start, true = active[standing], start[standing], true[standing]
                now, velocity, gradient = now[standing], velocity[standing], gradient[standing]
                if len(active) == 0:
                    return Found(best, no_gradient, zeros)
            if descent.momentum:
                norm = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
                velocity = gradient = descent.momentum * velocity + gradient / norm
            now = (now + size * gradient.sign()).clamp(start - radius, start + radius).clamp(0, 1)
        rounded = round_inside_ball(now, start, epsilon)
        if restart and not stop_early:  # what fell in an earlier one stays
            with torch.no_grad():
                fell = model(best[active]).argmax(1) != true
            rounded[fell] = best[active][fell]
        best[active] = rounded
        if stop_early:
            with torch.no_grad():
                standing = model(best[active]).argmax(1) == true
            active = active[standing]
            if len(active) == 0:
                break
    return Found(best, no_gradient, zeros)


def _gradient(model: nn.Module, x: Tensor, labels: Tensor, descent: Descent) -> tuple[Tensor, Tensor]:
    """The loss's gradient at ``x``, and which pictures fool the model there."""
    total = torch.zeros_like(x)
    answers: list[Tensor] = []
    for _ in range(descent.draws):
        at = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(at)
            loss = LOSSES[descent.loss](logits, labels).sum()
            if loss.requires_grad:  # not through a threshold without a stand-in
                (gradient,) = torch.autograd.grad(loss, at, allow_unused=True)
                total += 0 if gradient is None else gradient
        answers.append(logits.detach())
    return total, torch.stack(answers).mean(0).argmax(1) != labels


def _keep_fooling(
    model: nn.Module,
    now: Tensor,
    start: Tensor,
    labels: Tensor,
    epsilon: float,
    fooled: Tensor,
    best: Tensor,
    active: Tensor,
) -> Tensor:
    """Of the pictures that fool the model, keep those that do so as 8-bit pictures; which ones do, (B,)."""
    rounded = round_inside_ball(now[fooled], start[fooled], epsilon)
    with torch.no_grad():
        sure = model(rounded).argmax(1) != labels[fooled]
    done = fooled.clone()
    done[fooled] = sure
    best[active[done]] = rounded[sure]
    return done
