"""How an attack tells how far it is, and how it is told to stop."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn


class AttackCancelled(RuntimeError):
    """The progress callback asked to stop."""


@contextlib.contextmanager
def interruptible(model: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Call ``check`` before every layer of ``model``, forwards and backwards.

    It may raise :class:`AttackCancelled`: whatever the model is used for then ends there, which on a
    CPU is a fraction of a second away, where the end of a whole pass may be several. Other threads may use
    the model meanwhile, if they take turns with this one: they are not asked.
    """
    owner = threading.get_ident()

    def before(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if threading.get_ident() != owner:
            return
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
        logits: Tensor = self.model(x)
        return logits
