"""``python app.py --benchmark compute``: what training and inference cost, against what the device could do.

The yardstick is the device's own rate of matrix products in bfloat16, measured in the same run: convolutions
are matrix products, too. A share far below one says that something else takes the time, and the profile says
what.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from model.data import ImageSet, to_float
from model.device import DeviceError, choose_device, device_name, fast_math, settle
from model.files import WeightsError
from model.recipes import TASKS, Recipe
from model.train.run import Clock, Run, prepared
from model.train.step import train_step

MEASURED: dict[str, tuple[str, dict[str, Any]]] = {
    "codec": ("codec", {}),
    "purifying codec": ("purify", {}),
    "ResNet-9": ("classifier", {"arch": "resnet9"}),
    "ResNet-50": ("classifier", {"arch": "resnet50"}),
    "ResNet-18, adversarial": ("adversarial", {"arch": "preact-resnet18"}),
    "codec and ResNet-18, adversarial": ("robust", {"start": "", "arch": "preact-resnet18"}),
}
"""What is measured, by a name for the table: the recipe and its settings."""
CLASSES = tuple(f"class {n}" for n in range(10))
PRECISION = torch.bfloat16
TOP = 6
"""Kernels that the profile names."""


@dataclass(frozen=True)
class Size:
    """How much is measured: enough to fill a GPU, or little enough for a CPU to end."""

    matrix: int
    """Side of the matrices of the yardstick."""
    batch: int
    steps: int
    """Between two looks at the clock."""
    repeats: int


SIZES = {"cuda": Size(8192, 512, 10, 5), "cpu": Size(2048, 16, 1, 3)}


@dataclass(frozen=True)
class Cost:
    """One line of the table."""

    pictures_per_second: float
    flop_per_picture: float
    """Floating-point operations of convolutions and matrix products, a multiply-add counted as two."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.pictures_per_second * self.flop_per_picture


def seconds(action: Callable[[], object], size: Size, device: torch.device, clock: Clock) -> float:
    """Median duration of an action that may only queue its work on a GPU, after three unmeasured ones."""

    def once(count: int) -> float:
        start = clock()
        for _ in range(count):
            action()
        settle(device)
        return (clock() - start) / count

    once(3)
    return statistics.median(once(size.steps) for _ in range(size.repeats))


def matrix_rate(device: torch.device, size: Size, clock: Clock) -> float:
    """Operations a second of a product of two random square matrices in bfloat16."""
    a, b = torch.randn(2, size.matrix, size.matrix, device=device, dtype=PRECISION)
    return 2 * size.matrix**3 / seconds(lambda: a @ b, size, device, clock)


def new_run(
    name: str, settings: dict[str, Any], data: ImageSet, batch: int, compiled: bool, clock: Clock
) -> Run:
    """A run of a recipe on made-up pictures, as ``--train`` makes it."""
    device = data.images.device
    kind = TASKS[name]
    if hasattr(kind.settings, "held_out"):
        settings = {**settings, "held_out": 1}
    chosen = kind.chosen(**settings)
    recipe = Recipe(
        task=name, batch_size=batch, micro_batches=1, learning_rate=1e-5, epochs=1.0, max_minutes=None,
        seed=0, precision="bfloat16", data="random", settings=chosen.to_dict(),
    )  # fmt: skip
    task = prepared(kind, data, chosen, recipe.seed, device, compiled)
    task.model.train()
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    run = Run(
        task, task.optimizer(recipe.learning_rate), recipe, Path("unused"), device, accelerator, 1000, "", {},
        clock=clock, started=clock(),
    )  # fmt: skip
    run.step = 900  # in the last stage, of whole pictures
    return run


class Operations(TorchDispatchMode):
    """Counts floating-point operations by torch's own formulas.

    ``FlopCounterMode`` does so, too, but also tells modules apart, and its hooks for that do not bear a
    gradient of the picture alone, as an attack wants it.
    """

    total: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def counted(action: Callable[[], object]) -> int:
    """Floating-point operations of an action."""
    operations = Operations()  # type: ignore[no-untyped-call]  # torch's own, without annotations
    with torch.compiler.set_stance("force_eager"), operations:
        action()
    return operations.total


def costs(run: Run, data: ImageSet, size: Size) -> dict[str, Cost]:
    """What training and inference of a run's model cost."""
    device, batch = run.device, run.recipe.batch_size
    generator = torch.Generator(device)
    indices = torch.arange(batch, device=device)
    x = to_float(data.images[:batch])

    def train() -> None:
        train_step(run, data, indices, generator)

    def infer() -> None:
        with torch.no_grad(), torch.autocast(device.type, PRECISION):
            run.task.infer(x)

    found = {}
    for name, action in (("training", train), ("inference", infer)):
        run.task.model.train(name == "training")
        flop = counted(action)
        found[name] = Cost(batch / seconds(action, size, device, run.clock), flop / batch)
    run.task.model.train()
    return found


def profiled(run: Run, data: ImageSet, size: Size) -> list[str]:
    """What training spends its time on, in lines: the device's idle share, and its longest kernels."""
    device = run.device
    generator = torch.Generator(device)
    indices = torch.arange(run.recipe.batch_size, device=device)
    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if gpu else [ProfilerActivity.CPU]
    warm_up = Size(0, 0, size.steps, 1)
    seconds(lambda: train_step(run, data, indices, generator), warm_up, device, run.clock)
    start = run.clock()
    with profile(activities=activities, acc_events=True) as recorded:
        for _ in range(size.steps):
            train_step(run, data, indices, generator)
        settle(device)
    wall = (run.clock() - start) * 1e6
    kind = "self_device_time_total" if gpu else "self_cpu_time_total"
    events = recorded.key_averages()
    if gpu:
        events = [
            event for event in events
            if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
        ]  # fmt: skip
    total = sum(getattr(event, kind) for event in events)
    longest = sorted(events, key=lambda event: getattr(event, kind), reverse=True)[:TOP]
    lines = [f"{getattr(event, kind) / total:.0%} {event.key[:90]}" for event in longest]
    return [f"the GPU waits {max(0.0, 1 - total / wall):.0%} of the time", *lines] if gpu else lines


def main(device_name_asked: str = "auto", compiled: bool = False, clock: Clock = time.perf_counter) -> int:
    """Measure, and print a table and the profiles; the exit status."""
    try:
        return _measure(choose_device(device_name_asked), compiled, clock)
    except (DeviceError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _measure(device: torch.device, compiled: bool, clock: Clock) -> int:
    if device.type not in SIZES:
        raise DeviceError(f"the cost is measured on {' or '.join(SIZES)}, not on {device.type!r}")
    fast_math(device)
    size = SIZES[device.type]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2 * size.batch, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, len(CLASSES), (2 * size.batch,), generator=generator)
    data = ImageSet(images, labels, CLASSES).to(device)
    yardstick = matrix_rate(device, size, clock)
    print(
        f"On {device_name(device)}, torch {torch.__version__}, batches of {size.batch} pictures of 32x32, "
        f"bfloat16{', compiled' if compiled else ''}; medians.\n"
        f"Matrix products of {size.matrix}x{size.matrix}: {yardstick / 1e12:.3g} TFLOP/s.\n"
    )
    print("| what | | pictures/s | GFLOP a picture | TFLOP/s | of matrix rate |\n|---|---|---|---|---|---|")
    profiles = {}
    for what, (recipe, settings) in MEASURED.items():
        run = new_run(recipe, settings, data, size.batch, compiled, clock)
        for kind, cost in costs(run, data, size).items():
            print(
                f"| {what} | {kind} | {cost.pictures_per_second:,.0f} | {cost.flop_per_picture / 1e9:.3g} "
                f"| {cost.rate / 1e12:.3g} | {cost.rate / yardstick:.0%} |",
                flush=True,
            )
        profiles[what] = profiled(run, data, size)
    print("\nWhere the time of training goes:\n")
    for what, lines in profiles.items():
        print(f"- {what}: {'; '.join(lines)}")
    return 0
