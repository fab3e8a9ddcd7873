"""Attacks by name, on top of torchattacks: what each can be told, and how to run it safely."""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torchattacks.attack import Attack

ThreatModel = Literal["grey-box", "adaptive"]
THREAT_MODELS: tuple[ThreatModel, ...] = get_args(ThreatModel)
"""``grey-box``: the attacker knows the classifier, not the codec (the paper's setting).
``adaptive``: the attacker knows both and differentiates through the codec."""

MIN_EPSILON, MAX_EPSILON = 1.0, 64.0
"""In 1/255; an 8-bit picture knows no smaller step than 1."""


class AttackError(ValueError):
    """An attack was asked for what it cannot do; the message says what it can."""


class AttackCancelled(RuntimeError):
    """The progress callback asked to stop."""


@dataclass(frozen=True)
class AttackSpec:
    """One attack: its parameters and how torchattacks builds it.

    ``build(model, epsilon, steps, seed)`` takes epsilon in [0,1]; attacks ignore what they lack.
    ``forwards(steps)`` is how many forward passes it makes, for the progress bar.
    """

    name: str
    about: str
    build: Callable[[nn.Module, float, int, int], "Attack"]
    has_epsilon: bool = True
    default_steps: int | None = None
    max_steps: int = 1
    steps_label: str = "Steps"
    targetable: bool = True
    seeded: bool = False
    carlini_wagner: bool = False
    best_classes: int | None = None
    """It goes backwards once for each class: only so many of the most probable ones are shown to it."""
    forwards: Callable[[int], int] = lambda steps: max(1, steps)

    @property
    def has_steps(self) -> bool:
        return self.default_steps is not None

    def check(self, epsilon: float | None, steps: int | None, target: int | None) -> None:
        """Refuse parameters that the attack does not have or that are out of range."""
        if self.has_epsilon:
            if epsilon is None or not MIN_EPSILON <= epsilon <= MAX_EPSILON:  # also refuses NaN
                raise AttackError(
                    f"{self.name} needs an epsilon from {MIN_EPSILON:g} to {MAX_EPSILON:g} (in 1/255), "
                    f"got {epsilon}"
                )
        elif epsilon is not None:
            raise AttackError(f"{self.name} has no epsilon")
        if self.has_steps:
            if steps is None or steps != int(steps) or not 1 <= steps <= self.max_steps:
                raise AttackError(
                    f"{self.name} needs a whole number of {self.steps_label.lower()} from 1 to "
                    f"{self.max_steps}, got {steps}"
                )
        elif steps is not None:
            raise AttackError(f"{self.name} has no steps")
        if target is not None and not self.targetable:
            raise AttackError(f"{self.name} cannot be aimed at a target")


def _torchattacks() -> Any:
    # Imported when used: training and the Python API do without it.
    import torchattacks

    return torchattacks


def _iterative(name: str, **fixed: Any) -> Callable[[nn.Module, float, int, int], "Attack"]:
    """BIM or PGD with a step of 2.5 eps / steps (Madry et al. 2018), so that any count arrives."""

    def build(model: nn.Module, epsilon: float, steps: int, _seed: int) -> "Attack":
        alpha = min(epsilon, 2.5 * epsilon / steps)
        return getattr(_torchattacks(), name)(model, eps=epsilon, alpha=alpha, steps=steps, **fixed)

    return build


def _apgd(name: str, about: str, loss: str) -> AttackSpec:
    """APGD on one of its losses, as torchattacks names them."""
    return AttackSpec(
        name,
        about,
        lambda model, epsilon, steps, seed: _torchattacks().APGD(
            model, eps=epsilon, steps=steps, seed=seed, loss=loss
        ),
        default_steps=20,
        max_steps=200,
        targetable=False,
        seeded=True,
        forwards=lambda steps: steps + 2,
    )


ATTACKS: dict[str, AttackSpec] = {
    spec.name: spec
    for spec in (
        AttackSpec(
            "FGSM",
            "One step along the gradient's sign (Goodfellow et al. 2015).",
            lambda model, epsilon, steps, seed: _torchattacks().FGSM(model, eps=epsilon),
        ),
        AttackSpec(
            "BIM",
            "FGSM repeated in small steps; the paper calls it I-FGSM (Kurakin et al. 2017).",
            _iterative("BIM"),
            default_steps=10,
            max_steps=200,
        ),
        AttackSpec(
            "PGD",
            "BIM from a random start (Madry et al. 2018).",
            _iterative("PGD", random_start=True),
            default_steps=10,
            max_steps=200,
            seeded=True,
        ),
        AttackSpec(
            "MI-FGSM",
            "BIM with momentum 1; transfers well (Dong et al. 2018).",
            lambda model, epsilon, steps, seed: _torchattacks().MIFGSM(
                model, eps=epsilon, alpha=epsilon / steps, steps=steps, decay=1.0
            ),
            default_steps=10,
            max_steps=200,
        ),
        AttackSpec(
            "DeepFool",
            "The nearest decision boundary in L2; has no epsilon (Moosavi-Dezfooli et al. 2016).",
            lambda model, epsilon, steps, seed: _torchattacks().DeepFool(model, steps=steps, overshoot=0.02),
            has_epsilon=False,
            default_steps=50,
            max_steps=100,
            targetable=False,
            best_classes=10,
        ),
        AttackSpec(
            "C&W",
            "A small L2 perturbation by optimisation; has no epsilon (Carlini & Wagner 2017).",
            lambda model, epsilon, steps, seed: _torchattacks().CW(
                model, c=1.0, kappa=0.0, steps=steps, lr=0.01
            ),
            has_epsilon=False,
            default_steps=50,
            max_steps=500,
            carlini_wagner=True,
        ),
        _apgd("APGD", "PGD that sets its own step size, cross-entropy loss (Croce & Hein 2020).", "ce"),
        AttackSpec(
            "Square",
            "Random search that sees only the scores, no gradient (Andriushchenko et al. 2020).",
            lambda model, epsilon, steps, seed: _torchattacks().Square(
                model, eps=epsilon, n_queries=steps, seed=seed
            ),
            default_steps=500,
            max_steps=5000,
            steps_label="Queries",
            seeded=True,
            forwards=lambda steps: steps + 2,
        ),
    )
}


def _auto_attack(model: nn.Module, epsilon: float, steps: int, seed: int) -> "Attack":
    """AutoAttack's four, each on what the ones before it left; torchattacks' own takes ten steps only."""
    lib, classes = _torchattacks(), _count_classes(model)
    return lib.MultiAttack(
        [
            lib.APGD(model, eps=epsilon, steps=steps, seed=seed, loss="ce"),
            lib.APGDT(model, eps=epsilon, steps=steps, seed=seed, n_classes=classes),
            lib.FAB(model, eps=epsilon, steps=steps, seed=seed, multi_targeted=True, n_classes=classes),
            lib.Square(model, eps=epsilon, n_queries=50 * steps, seed=seed),
        ]
    )


def _auto_attack_rand(model: nn.Module, epsilon: float, steps: int, seed: int) -> "Attack":
    """AutoAttack's two for randomised defences."""
    lib = _torchattacks()
    return lib.MultiAttack(
        [
            lib.APGD(model, eps=epsilon, steps=steps, seed=seed, loss=loss, eot_iter=20)
            for loss in ("ce", "dlr")
        ]
    )


def _count_classes(model: nn.Module) -> int:
    with torch.no_grad():
        return model(torch.zeros(1, 3, 32, 32, device=next(model.parameters()).device)).shape[1]


EVALUATION_ATTACKS: dict[str, AttackSpec] = {
    spec.name: spec
    for spec in (
        _apgd(
            "APGD-DLR",
            "APGD on the difference of logits ratio, which no scale of the logits can flatten.",
            "dlr",
        ),
        AttackSpec(
            "AutoAttack",
            "APGD-CE, targeted APGD-DLR, FAB and Square, one after the other (Croce & Hein 2020).",
            _auto_attack,
            default_steps=100,
            max_steps=100,
            targetable=False,
            seeded=True,
        ),
        AttackSpec(
            "AutoAttack-rand",
            "APGD-CE and APGD-DLR, each gradient the mean of 20: for defences that draw random numbers.",
            _auto_attack_rand,
            default_steps=100,
            max_steps=100,
            targetable=False,
            seeded=True,
        ),
    )
}
"""Besides ``ATTACKS``: too slow, or too much alike, to be offered to a visitor."""


def find_attack(name: str) -> AttackSpec:
    """The attack of that name; an unknown one is an error that lists the names."""
    known = ATTACKS | EVALUATION_ATTACKS
    if not isinstance(name, str) or name not in known:
        raise AttackError(f"unknown attack {name!r}; choose from {', '.join(ATTACKS)}")
    return known[name]


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
        logits = self.model(x)  # (B,classes)
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
        return self.model(x)[:, self.classes]  # (B,K)


@contextlib.contextmanager
def interruptible(model: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` before every layer of ``model``, forwards and backwards.

    It may raise :class:`AttackCancelled`: whatever the model is used for then ends there, which on a
    CPU is a fraction of a second away, where the end of a whole pass may be several.
    """

    def before(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        check()
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad:
                x.register_hook(lambda _gradient: check())

    layers = [module for module in model.modules() if not any(module.children())]
    handles = [layer.register_forward_pre_hook(before) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class CountedForwards(nn.Module):
    """A model that reports each forward pass, since torchattacks reports nothing.

    ``on_forward(passes)`` may raise :class:`AttackCancelled` to end the attack.
    """

    def __init__(self, model: nn.Module, on_forward: Callable[[int], None]) -> None:
        super().__init__()
        self.model = model
        self.on_forward = on_forward
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.on_forward(self.passes)
        return self.model(x)


def round_to_8_bits(x: Tensor) -> Tensor:
    """The nearest pictures that a PNG can hold: multiples of 1/255 in [0,1]."""
    return (x * 255).round().clamp(0, 255) / 255


def round_inside_ball(adversarial: Tensor, x: Tensor, epsilon: float | None) -> Tensor:
    """Round to 8 bits without leaving the epsilon ball around ``x``.

    Args:
        adversarial, x: shape (B,3,H,W), range [0,1]; ``x`` already rounded to 8 bits.
        epsilon: radius in 1/255; None for attacks that have none.
    """
    levels = (adversarial * 255).round()
    if epsilon is not None:
        centre = (x * 255).round()
        whole = math.floor(epsilon)
        levels = levels.clamp(centre - whole, centre + whole)
    return levels.clamp(0, 255) / 255


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
        rounded: False leaves the pictures as the attack found them, between the levels of 8 bits.

    Returns:
        Shape (B,3,H,W), multiples of 1/255, at most ``epsilon`` away from ``x``. Where the attack
        fails this may be ``x`` itself: compare predictions to know.

    Raises:
        AttackError: the attack does not exist, lacks a parameter, or one is out of range.
    """
    spec = find_attack(name)
    spec.check(epsilon, steps, target)
    total = spec.forwards(steps or 1)

    def on_forward(passes: int) -> None:
        if on_progress is not None:
            on_progress(min(1.0, (passes - 1) / total))

    def run(attacked: nn.Module, x: Tensor, labels: Tensor, target: int | None) -> Tensor:
        runner = spec.build(
            CountedForwards(attacked, on_forward).eval(), (epsilon or 0) / 255, steps or 1, seed
        )
        if target is not None:
            aim = torch.full_like(labels, target)
            with contextlib.redirect_stdout(io.StringIO()):  # it prints its mode
                runner.set_mode_targeted_by_function(lambda inputs, labels: aim)
        # FAB reshapes gradients in ways that only pictures of the usual order in memory allow.
        return runner(x.contiguous(), labels).detach()

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    gpus = [x.device] if x.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus), torch.enable_grad():
            torch.manual_seed(seed)
            if spec.carlini_wagner and target is not None:
                found = run(CarliniWagnerView(model, target), x, torch.zeros_like(labels), 1)
            elif spec.carlini_wagner:
                found = run(CarliniWagnerView(model, None), x, labels, None)
            elif spec.best_classes is not None:
                found = torch.cat(
                    [
                        run(ChosenClasses(model, classes), x[i : i + 1], classes.new_zeros(1), None)
                        for i, classes in enumerate(_best_classes(model, x, labels, spec.best_classes))
                    ]
                )
            else:
                found = run(model, x, labels, target)
        if not rounded:
            return found
        if epsilon is None:
            return round_and_still_fool(model, x, found, labels, target)
        return round_inside_ball(found, x, epsilon)
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def round_and_still_fool(
    model: nn.Module, x: Tensor, found: Tensor, labels: Tensor, target: int | None
) -> Tensor:
    """Round to 8 bits without losing what was found.

    An attack without an epsilon ends just across the border, and rounding may lead back. There the
    perturbation is made as much larger as it takes, up to 32 times: one of a tenth of a level must grow
    at least fivefold to survive at all.
    """

    def fools(x: Tensor) -> Tensor:
        answers = model(x).argmax(1)
        return answers != labels if target is None else answers == target

    rounded = round_to_8_bits(found)
    lost = fools(found) & ~fools(rounded)
    for factor in (1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        if not lost.any():
            break
        larger = round_to_8_bits((x + factor * (found - x)).clamp(0, 1))
        won = lost & fools(larger)
        rounded[won] = larger[won]
        lost &= ~won
    return rounded


def _best_classes(model: nn.Module, x: Tensor, labels: Tensor, count: int) -> Tensor:
    """Each picture's label, then its most probable other classes, shape (B,count) at most."""
    with torch.no_grad():
        logits = model(x).scatter(1, labels[:, None], math.inf)  # (B,classes)
    return logits.topk(min(count, logits.shape[1]), dim=1).indices
