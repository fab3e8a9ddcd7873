"""torchattacks' attacks, run as their papers have them: DeepFool, C&W, APGD, Square and AutoAttack."""

import contextlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.attacks.interrupt import CountedForwards

if TYPE_CHECKING:
    from torchattacks.attack import Attack

Build = Callable[[nn.Module, float, int, int], "Attack"]
"""From a model, an epsilon in [0,1], steps and a seed; attacks ignore what they lack."""


@dataclass(frozen=True)
class Adapter:
    """One of torchattacks' attacks, as it is built and what has to be done around it."""

    build: Build
    forwards: Callable[[int], int] = lambda steps: steps
    """How many forward passes a number of steps makes, about, for the progress bar."""
    backward: bool = True
    """Whether each of these comes with a way back, which costs two."""
    share_taken: float = 1.0
    """Share of its steps that it takes, about, where it ends with each picture that falls."""
    carlini_wagner: bool = False
    best_classes: int | None = None
    """It goes backwards once for each class: only so many of the most probable ones are shown to it."""

    def passes(self, steps: int) -> int:
        """About how many passes through the attacked system it takes, backward ones counted as two."""
        passes = (3 if self.backward else 1) * self.forwards(steps) * (self.best_classes or 1)
        return round(self.share_taken * passes)

    def run(
        self,
        model: nn.Module,
        x: Tensor,
        labels: Tensor,
        *,
        epsilon: float,
        steps: int,
        target: int | None,
        seed: int,
        on_progress: Callable[[float], None],
    ) -> Tensor:
        """What the attack finds, shape (B,3,H,W), not rounded.

        Args:
            model: the attacked system; it must have a parameter.
            x: shape (B,3,H,W), range [0,1].
            labels: shape (B,), int64.
            epsilon: radius, in [0,1]; 0 for attacks that have none.
            steps: iterations, or queries.
            target: class to lead to; None for untargeted.
            seed: of those attacks that set one of their own.
            on_progress: called with the share done before each forward pass.
        """
        total = max(1, self.forwards(steps))

        def once(attacked: nn.Module, x: Tensor, labels: Tensor, target: int | None) -> Tensor:
            counted = CountedForwards(
                attacked, lambda passes: on_progress(min(1.0, (passes - 1) / total))
            ).eval()
            runner = self.build(counted, epsilon, steps, seed)
            if target is not None:
                aim = torch.full_like(labels, target)
                with contextlib.redirect_stdout(io.StringIO()):  # it prints its mode
                    runner.set_mode_targeted_by_function(lambda inputs, labels: aim)
            # FAB reshapes gradients in ways that only pictures of the usual order in memory allow.
            found: Tensor = runner(x.contiguous(), labels)
            return found.detach()

        if self.carlini_wagner and target is not None:
            return once(CarliniWagnerView(model, target), x, torch.zeros_like(labels), 1)
        if self.carlini_wagner:
            return once(CarliniWagnerView(model, None), x, labels, None)
        if self.best_classes is None:
            return once(model, x, labels, target)
        shown = _best_classes(model, x, labels, self.best_classes)
        return torch.cat(
            [
                once(ChosenClasses(model, classes), x[i : i + 1], classes.new_zeros(1), None)
                for i, classes in enumerate(shown)
            ]
        )


class CarliniWagnerView(nn.Module):
    """Logits as torchattacks 3.3.0's C&W must see them to do what its paper says.

    - It masks the label's logit with a zero, which then passes for the best of the others if those
      are negative, and the attack stops short. So each row is shifted to a minimum of 0, which
      changes no difference of logits.
    - It takes any wrong class for a success, also when it has a target. So with a target there are
      two logits, "another class" (the best of them) and "the target": the loss is the same, and
      success is the target reached.
    """

    def __init__(self, model: nn.Module, target: int | None) -> None:
        super().__init__()
        self.model = model
        self.target = target

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)  # (B,classes)
        if self.target is not None:
            aim = logits[:, self.target]
            others = torch.cat([logits[:, : self.target], logits[:, self.target + 1 :]], dim=1)
            logits = torch.stack([others.amax(1), aim], dim=1)  # (B,2)
        return logits - logits.detach().amin(1, keepdim=True)


class ChosenClasses(nn.Module):
    """A model that knows only some of its classes: ``classes``, shape (K,), indices of logits."""

    def __init__(self, model: nn.Module, classes: Tensor) -> None:
        super().__init__()
        self.model = model
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)  # (B,classes)
        return logits[:, self.classes]  # (B,K)


def _best_classes(model: nn.Module, x: Tensor, labels: Tensor, count: int) -> Tensor:
    """Each picture's label, then its most probable other classes, shape (B,count) at most."""
    with torch.no_grad():
        logits: Tensor = model(x).scatter(1, labels[:, None], math.inf)  # (B,classes)
    return logits.topk(min(count, logits.shape[1]), dim=1).indices


def _torchattacks() -> Any:
    # Imported when used: training and the Python API do without it.
    import torchattacks

    return torchattacks


def _apgd(loss: str, draws: int = 1) -> Build:
    """APGD on one of its losses, as torchattacks names them, each gradient the mean of ``draws``."""
    return lambda model, epsilon, steps, seed: _torchattacks().APGD(
        model, eps=epsilon, steps=steps, seed=seed, loss=loss, eot_iter=draws
    )


def _aims(model: nn.Module) -> int:
    """How many classes torchattacks is told that there are: it leads to each but the label's own."""
    with torch.no_grad():
        logits: Tensor = model(torch.zeros(1, 3, 32, 32, device=next(model.parameters()).device))
    return min(logits.shape[1], TARGETS + 1)


DEEPFOOL = Adapter(
    lambda model, epsilon, steps, seed: _torchattacks().DeepFool(model, steps=steps, overshoot=0.02),
    share_taken=0.1,  # few pictures need more than five of fifty
    best_classes=10,
)
CARLINI_WAGNER = Adapter(
    lambda model, epsilon, steps, seed: _torchattacks().CW(model, c=1.0, kappa=0.0, steps=steps, lr=0.01),
    carlini_wagner=True,
)
APGD, APGD_DLR = (Adapter(_apgd(loss), forwards=lambda steps: steps + 2) for loss in ("ce", "dlr"))
SQUARE = Adapter(
    lambda model, epsilon, steps, seed: _torchattacks().Square(
        model, eps=epsilon, n_queries=steps, seed=seed
    ),
    forwards=lambda steps: steps + 2,
    backward=False,
)
TARGETS = 9
"""To how many other classes AutoAttack's targeted parts lead, the most probable ones: its authors' number."""
SQUARE_QUERIES = 50
"""Queries of AutoAttack's Square for each step of its other parts."""
DRAWS = 20
"""Gradients of which AutoAttack's parts for randomised defences take the mean."""
AUTO_ATTACK = {
    "APGD-CE": APGD,
    "APGD-T": Adapter(
        lambda model, epsilon, steps, seed: _torchattacks().APGDT(
            model, eps=epsilon, steps=steps, seed=seed, n_classes=_aims(model)
        ),
        forwards=lambda steps: TARGETS * (steps + 2),
    ),
    "FAB-T": Adapter(
        lambda model, epsilon, steps, seed: _torchattacks().FAB(
            model,
            eps=epsilon,
            steps=steps,
            seed=seed,
            multi_targeted=True,
            n_classes=_aims(model),
        ),
        forwards=lambda steps: 2 * TARGETS * steps,
    ),
    "Square": Adapter(
        lambda model, epsilon, steps, seed: SQUARE.build(model, epsilon, SQUARE_QUERIES * steps, seed),
        forwards=lambda steps: SQUARE_QUERIES * steps,
        backward=False,
    ),
}
"""AutoAttack's four, each meant for what the ones before it left."""
AUTO_ATTACK_RAND = {
    f"APGD-{loss.upper()}": Adapter(_apgd(loss, DRAWS), forwards=lambda steps: DRAWS * (steps + 2))
    for loss in ("ce", "dlr")
}
"""Its two for randomised defences."""
