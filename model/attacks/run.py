"""An attack by its name, on some pictures."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.attacks.adapters import Adapter
from model.attacks.catalogue import find_attack
from model.attacks.pgd import OnStep, pgd
from model.attacks.rounding import round_and_still_fool, round_inside_ball


def attack(
    name: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    target: int | None = None,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
    on_step: OnStep | None = None,
    rounded: bool = True,
) -> Tensor:
    """Adversarial versions of ``x`` against ``model``, as 8-bit pictures.

    Args:
        name: a key of ``ATTACKS``.
        model: the attacked system, [0,1] pictures to logits; it must have a parameter. Pass the
            classifier for ``grey-box`` and a ``DefendedClassifier`` for ``adaptive``.
        x: shape (B,3,H,W), range [0,1], rounded to 8 bits.
        labels: shape (B,), int64: what to lead away from.
        epsilon: L-infinity radius in 1/255, from 1 to 64; None for attacks that have none.
        steps: iterations, or queries for Square; None for attacks that have none.
        target: class to lead to; None for untargeted.
        seed: of the attack's randomness. The global random state is left as it was.
        on_progress: called with the share done, in [0,1]; may raise ``AttackCancelled``.
        on_step: called after each step of FGSM, BIM, PGD and MI-FGSM with how many were taken and the
            pictures so far, as they would be rounded; may raise ``AttackCancelled``. The others are
            torchattacks', which show nothing before their end.
        rounded: False leaves the pictures as the attack found them, between the levels of 8 bits.

    Returns:
        Shape (B,3,H,W), multiples of 1/255, at most ``epsilon`` away from ``x``. Where the attack
        fails this may be ``x`` itself: compare predictions to know.

    Raises:
        AttackError: the attack does not exist, lacks a parameter, or one is out of range.
    """
    spec = find_attack(name)
    spec.check(epsilon, steps, target)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    gpus = [x.device] if x.device.type == "cuda" else []
    report = on_progress or (lambda share: None)
    radius, count = (epsilon or 0) / 255, steps or 1

    def show(step: int, now: Tensor) -> None:
        if on_step is not None:
            on_step(step, round_inside_ball(now, x, epsilon))

    try:
        with torch.random.fork_rng(devices=gpus), torch.enable_grad():
            torch.manual_seed(seed)
            if isinstance(spec.method, Adapter):
                found = spec.method.run(
                    model, x, labels,
                    epsilon=radius, steps=count, target=target, seed=seed, on_progress=report,
                )  # fmt: skip
            else:
                # Every step is taken, also by a picture that fools the model already: its answer is to be as
                # sure as the attack can make it, also behind a codec that the attack does not know.
                found = pgd(
                    model, x.contiguous(), labels, epsilon or 0, spec.method(count),
                    torch.Generator(x.device).manual_seed(seed), stop_early=False,
                    target=None if target is None else torch.full_like(labels, target),
                    on_progress=report, on_step=show, rounded=False,
                ).adversarial  # fmt: skip
        if not rounded:
            return found
        if epsilon is None:
            return round_and_still_fool(model, x, found, labels, target)
        return round_inside_ball(found, x, epsilon)
    finally:
        for module, training in modes:
            module.training = training
