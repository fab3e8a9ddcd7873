"""Adversarial pictures, and what a model makes of pictures: batch by batch, and repeatable."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.attacks import attack as run_attack
from model.attacks import round_and_still_fool
from model.attacks.pgd import pgd
from model.comdefend import ComDefend
from model.defences import Codec
from model.evaluate.presets import AttackConfig
from model.evaluate.record import AttackRecord, Distances, Scope, ThreatModel, to_bits
from model.evaluate.systems import System

BATCH_PIXELS, BATCH_PICTURES = 100 * 32 * 32, 100
"""At most in one batch. A gradient through the paper's codec needs about 12 kB a pixel: 1.2 GB so."""
LIGHT = 4
"""How many times more pixels where no codec of the paper's shape is in the way."""


class Crafted(NamedTuple):
    """What an attack came to."""

    pictures: Tensor
    """Shape (N,3,H,W), range [0,1], multiples of 1/255 inside the ball."""
    no_gradient: float | None
    """Share of the pictures whose first gradient was zero everywhere; None of attacks that are not ours."""
    zero_gradient: float | None
    """Share of the first gradients' entries that were zero."""


def craft(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    attack: AttackConfig,
    epsilon: float,
    seed: int,
    stop_early: bool,
) -> Crafted:
    """Adversarial pictures against ``model``.

    Args:
        model: the attacked system, [0,1] pictures to logits.
        x: shape (N,3,H,W), range [0,1], multiples of 1/255.
        labels: shape (N,), int64.
        attack: one that has an epsilon.
        epsilon: L-infinity radius in 1/255.
        seed: of the first batch; each other has the next number.
        stop_early: see :func:`model.attacks.pgd.pgd`.
    """
    found, silent, zeros = [], [], []
    for index, (images, true) in enumerate(batches(x, labels, model)):
        if attack.descent is None:
            found.append(
                run_attack(
                    attack.name, model, images, true, epsilon=epsilon, steps=attack.steps, seed=seed + index
                )
            )
            continue
        generator = torch.Generator(x.device).manual_seed(seed + index)
        with seeded(seed + index, x.device):
            result = pgd(model, images, true, epsilon, attack.descent, generator, stop_early)
        found.append(result.adversarial)
        silent.append(result.no_gradient)
        zeros.append(result.zeros)
    return Crafted(
        torch.cat(found),
        torch.cat(silent).float().mean().item() if silent else None,
        torch.cat(zeros).mean().item() if zeros else None,
    )


def craft_unbounded(
    model: nn.Module, x: Tensor, labels: Tensor, attack: AttackConfig, seed: int
) -> tuple[Tensor, Tensor]:
    """Pictures of an attack without an epsilon, as it found them, and rounded to 8 bits, (N,3,H,W) each."""
    raw = torch.cat(
        [
            run_attack(attack.name, model, images, true, steps=attack.steps, seed=seed + i, rounded=False)
            for i, (images, true) in enumerate(batches(x, labels, model))
        ]
    )
    pairs = zip(batches(x, labels, model), batches(raw, labels, model), strict=True)
    with seeded(seed, x.device):
        rounded = torch.cat(
            [round_and_still_fool(model, images, found, true, None) for (images, true), (found, _) in pairs]
        )
    return raw, rounded


def correct(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Which pictures the model classifies rightly, shape (N,), bool, on the CPU."""
    # Not the random numbers that the attack was made under.
    with torch.no_grad(), seeded(seed ^ 0x5EED, images.device):
        return torch.cat([model(x).argmax(1) == y for x, y in batches(images, labels, model)]).cpu()


def distances(change: Tensor, before: Tensor, after: Tensor) -> Distances:
    """How far pictures had to move to fall.

    Args:
        change: of each picture, shape (N,3,H,W).
        before, after: which were classified rightly, shape (N,), bool.
    """
    fell = before & ~after
    moved = change[fell.to(change.device)]
    l2 = moved.square().sum((1, 2, 3)).sqrt()
    linf = 255 * moved.abs().amax((1, 2, 3))
    return Distances(
        success=int(fell.sum()) / max(1, int(before.sum())),
        median_l2=l2.median().item() if len(moved) else None,
        median_linf_255=linf.median().item() if len(moved) else None,
    )


def batches(
    x: Tensor, labels: Tensor, model: nn.Module, most: int = BATCH_PICTURES
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures with their labels, as many at a time as memory allows ``model``, at most ``most``."""
    heavy = any(isinstance(m, ComDefend) and m.config.downscale == 1 for m in model.modules())
    pixels = BATCH_PIXELS * (1 if heavy else LIGHT)
    size = min(BATCH_PICTURES, most, max(1, pixels // x[0, 0].numel())) if len(x) else 1
    return zip(x.split(size), labels.split(size), strict=True)


def flipped(system: System, x: Tensor, changed: Tensor) -> float | None:
    """Share of a code's bits that differ between pictures, shape (N,3,H,W) each, of the planes that both
    keep; None of what is no codec of the report's classifier."""
    if not isinstance(system.defence, Codec) or system.own_classifier:
        return None
    codec, planes = system.defence.codec, system.defence.planes
    kept = torch.minimum(*(torch.as_tensor(codec.kept_of(y, planes)) for y in (x, changed)))  # () or (N)
    before, after = codec.compress(x, kept), codec.compress(changed, kept)
    return ((before != after).float().mean((1, 2, 3)) * codec.planes / kept).mean().item()


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers, which noisy defences draw, from a seed; afterwards as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def stand_in(system: System, gradient: str | None) -> Iterator[None]:
    """Let a defence's gradient pass by one of its stand-ins (None: its first), for a while."""
    before = system.defence.gradient
    system.defence.gradient = gradient or system.defence.gradients[0]
    try:
        yield
    finally:
        system.defence.gradient = before


def attack_record(
    system: System,
    threat_model: ThreatModel,
    attack: AttackConfig,
    epsilon: float,
    scope: Scope,
    right: Tensor,
) -> AttackRecord:
    """What an attack left of a scope's pictures.

    Args:
        threat_model: as it is called where there is a defence.
        right: which were classified rightly, shape (count,), bool.
    """
    descent = attack.descent
    return AttackRecord(
        system=system.name,
        threat_model=system.threat_model(threat_model),
        attack=attack.name,
        epsilon=epsilon,
        steps=attack.steps,
        gradient=attack.gradient or (system.defence.gradients[0] if descent else None),
        loss=descent.loss if descent else None,
        restarts=descent.restarts if descent else 1,
        scope=scope,
        right=to_bits(right),
    )
