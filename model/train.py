"""Training: a loop that can be stopped anywhere, resumed bit for bit, and never loses weights.

Every random number of a step follows from the seed and the step's number alone, so a checkpoint
needs no state of any random generator.
"""

import argparse
import copy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model import checkpoint
from model.cards import write_card
from model.checkpoint import REPOSITORY, WEIGHTS, Pretrained, WeightsError
from model.data import DataError, ImageSet, load_split
from model.device import DeviceError, choose_device, device_name
from model.recipes import (
    TASKS,
    ClassifierTask,
    Recipe,
    ReconstructionsTask,
    SettingError,
    Task,
    learning_rate_factor,
    stage_at,
)

SAVE_EVERY_SECONDS = 180.0
SHOW_EVERY_STEPS = 10
EPOCH_TEST_IMAGES = 1000
EXIT_OK, EXIT_ERROR, EXIT_KEPT_OLD = 0, 1, 3


class TrainingError(RuntimeError):
    """The run cannot go on or got nowhere; the message says why and what remains."""


class Interrupts:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that the run can save before it ends."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._catch)
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._previous[number])  # a second one ends the process at once

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@dataclass
class Run:
    """One run in progress: the task, and what a checkpoint keeps besides tensors."""

    task: Task
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    path: Path
    device: torch.device
    total_steps: int
    command: str
    identity: dict[str, str]
    """The output folder and the data's fingerprint."""
    step: int = 0
    seconds: float = 0.0
    """Training time of earlier processes."""
    history: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, over all processes."""
        return self.seconds + time.monotonic() - self.started

    def cost(self, step: int) -> float:
        """What a step costs, in millions of pixels."""
        side = stage_at(self.task.stages, step / self.total_steps).size
        return self.recipe.batch_size * side**2 / 1e6

    def save(self) -> None:
        """Write the checkpoint, unless the run has diverged: the last good one is worth more."""
        if not all(p.isfinite().all() for p in self.task.model.parameters()):
            raise TrainingError(_diverged(self.step))
        state = {
            "identity": self.identity,
            "recipe": self.recipe.to_dict(),
            "model_config": self.task.model.config.to_dict(),
            "total_steps": self.total_steps,
            "step": self.step,
            "seconds": self.elapsed,
            "command": self.command,
            "before": self.task.before,
            "history": self.history,
        }
        checkpoint.save_run(self.path, self.task.model, self.optimizer, state)
        self.saved = time.monotonic()


@dataclass(frozen=True)
class Batches:
    """Which pictures a step sees: a fresh shuffle each epoch, incomplete batches dropped."""

    count: int
    size: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.count // self.size)

    def order(self, epoch: int) -> Tensor:
        """The epoch's batches, int64 indices of shape (per_epoch, size)."""
        generator = torch.Generator().manual_seed(_mix(self.seed, 0, epoch))
        size = min(self.size, self.count)
        indices = torch.randperm(self.count, generator=generator)
        return indices[: self.per_epoch * size].view(self.per_epoch, size)


def _mix(*numbers: int) -> int:
    """One well-spread 32-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def train_step(
    task: Task,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    progress: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """One update of the weights; the loss and the task's figures, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * learning_rate_factor(progress)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss, shown = task.step(images, labels, progress, generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(task.model.parameters(), task.max_grad_norm)
    optimizer.step()
    return {"loss": loss.detach(), **shown}


def _diverged(step: int) -> str:
    return (
        f"the loss is no finite number after {step} steps: the run has diverged. A lower --lr may "
        f"help; the weights in use are untouched."
    )


def train_one_epoch(
    run: Run, data: ImageSet, batches: Batches, should_stop: Callable[[], bool], bar: tqdm
) -> None:
    """Train to the end of the current epoch (or of the run), or until ``should_stop``.

    Saves a checkpoint every few minutes.

    Raises:
        TrainingError: the loss is not finite. The last checkpoint is untouched.
    """
    epoch, first = divmod(run.step, batches.per_epoch)
    order = batches.order(epoch).to(data.images.device)
    generator = torch.Generator(data.images.device)
    run.task.model.train()
    for indices in order[first : first + run.total_steps - run.step]:
        generator.manual_seed(_mix(run.recipe.seed, 1, run.step))
        shown = train_step(
            run.task,
            run.optimizer,
            data.images[indices],
            data.labels[indices],
            run.recipe,
            run.step / run.total_steps,
            generator,
        )
        bar.update(run.cost(run.step))
        run.step += 1
        # Reading a figure waits for the GPU, so it is done only now and then.
        if run.step % SHOW_EVERY_STEPS == 0 or run.step == run.total_steps:
            figures = {name: value.item() for name, value in shown.items()}
            if not np.isfinite(figures["loss"]):
                raise TrainingError(_diverged(run.step))
            bar.set_postfix_str(
                f"step {run.step}/{run.total_steps}, "
                + ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            )
            if time.monotonic() - run.saved > SAVE_EVERY_SECONDS:
                run.save()
        if should_stop():
            return


def evaluate(task: Task, model: Pretrained, data: ImageSet) -> dict[str, float]:
    """The task's figures of ``model`` on ``data``, in float32 and evaluation mode."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        figures = task.evaluate(model, data)
    model.train(training)
    return figures


def plan_steps(
    task: Task, recipe: Recipe, batches: Batches, train: ImageSet, test: ImageSet, minutes: float
) -> int:
    """How many steps fit into ``minutes``, from measured speed.

    Each stage's step is timed on a copy of the model, and what the tests of each epoch and of the
    end cost is set aside, as is the time that the planning itself takes.
    """
    began = time.perf_counter()
    probe = copy.deepcopy(task)
    probe.model.train()
    optimizer = probe.optimizer(recipe.learning_rate)
    generator = torch.Generator(train.images.device)
    indices = batches.order(0)[0].to(train.images.device)

    def seconds_at(progress: float) -> float:
        times = []
        for _ in range(8):
            start = time.perf_counter()
            images, labels = train.images[indices], train.labels[indices]
            step = train_step(probe, optimizer, images, labels, recipe, progress, generator)
            step["loss"].item()
            times.append(time.perf_counter() - start)
        return float(np.median(times[2:]))

    per_step, end = 0.0, 0.0
    for stage in task.stages:
        per_step += stage.share * seconds_at(end + stage.share / 2)
        end += stage.share

    sample = test.every(EPOCH_TEST_IMAGES)
    start = time.perf_counter()
    evaluate(probe, probe.model, sample)
    test_seconds = time.perf_counter() - start
    at_the_end = 2 * test_seconds * len(test) / len(sample)  # the new weights and the old ones
    per_step += test_seconds / batches.per_epoch
    planning = time.perf_counter() - began
    return max(1, int((minutes * 60 - planning - at_the_end) / per_step))


def fit(run: Run, train: ImageSet, test: ImageSet, interrupts: Interrupts, stop_at: float | None) -> bool:
    """Train until the run is complete; False if it was stopped (and saved) before."""
    batches = Batches(len(train), run.recipe.batch_size, run.recipe.seed)

    def should_stop() -> bool:
        late = stop_at is not None and time.monotonic() >= stop_at
        return late or interrupts.signal is not None

    sample = test.every(EPOCH_TEST_IMAGES)
    # Counted in pixels, since steps of later stages cost more: so the time left is right.
    costs = [run.cost(step) for step in range(run.total_steps)]
    layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=sum(costs), initial=sum(costs[: run.step]), bar_format=layout, dynamic_ncols=True) as bar:
        while run.step < run.total_steps:
            bar.set_description(f"epoch {run.step // batches.per_epoch + 1}")
            train_one_epoch(run, train, batches, should_stop, bar)
            at_epoch_end = run.step % batches.per_epoch == 0 or run.step == run.total_steps
            if at_epoch_end:
                figures = evaluate(run.task, run.task.model, sample)
                run.history.append(
                    {
                        "epoch": round(run.step / batches.per_epoch, 3),
                        "step": run.step,
                        "minutes": round(run.elapsed / 60, 2),
                        **figures,
                    }
                )
                score = run.task.score
                bar.write(f"epoch {run.history[-1]['epoch']:g}: test {score} {figures[score]:.4f}")
            if at_epoch_end or should_stop():
                run.save()
            if should_stop() and run.step < run.total_steps:
                return False
    return True


def install(run: Run, train: ImageSet, test: ImageSet, out: Path, force: bool) -> bool:
    """Put the finished run's weights in the place of the old ones, if they deserve it.

    Returns:
        Whether the weights in ``out`` are now the new ones.
    """
    task, score = run.task, run.task.score
    fresh = run.path.parent / "model"
    run.task.finish(train)
    run.task.model.save_pretrained(fresh)
    new = type(task.model).from_pretrained(fresh, map_location=run.device)
    figures = evaluate(task, new, test)
    record = {
        "recipe": run.recipe.to_dict(),
        "command": run.command,
        "device": device_name(run.device),
        "minutes": round(run.elapsed / 60, 1),
        "steps": run.step,
        "parameters": sum(p.numel() for p in new.parameters()),
        "test_images": len(test),
        "test": figures,
        "epochs": run.history,
    }
    if task.before is not None:
        record["before"] = task.before
    checkpoint.write_json(fresh / "history.json", record)
    write_card(fresh, new.config, record)
    print(f"test {score}: {figures[score]:.4f} on {len(test)} pictures")

    reason = None
    if not figures[score] >= task.floor():
        reason = f"the run got nowhere ({score} {figures[score]:.4f}, floor {task.floor():g})"
    elif (out / checkpoint.TENSORS_FILE).exists():
        try:
            old = evaluate(task, type(task.model).from_pretrained(out, map_location=run.device), test)
        except WeightsError as error:
            print(f"the weights in {out} are replaced, for they do not load: {error}")
        else:
            if old[score] > figures[score]:
                reason = f"the old weights are better ({score} {old[score]:.4f} on the same pictures)"
    if reason and not force:
        print(
            f"Kept the weights in {out}: {reason}. The new ones are in {fresh}; "
            f"to install them all the same, repeat the command with --resume --force."
        )
        return False
    checkpoint.replace_folder(fresh, out)
    print(f"New weights in {out}")
    return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a training run."""
    group = parser.add_argument_group("training")
    group.add_argument("--data", type=Path, help="folder with train/CLASS/* and test/CLASS/*")
    group.add_argument("--data-name", help="what the data is, for the model card")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive(float), help="passes over the training pictures")
    length.add_argument("--max-minutes", type=positive(float), help="budget of the whole run")
    group.add_argument("--stop-after", type=positive(float), metavar="MINUTES",
                       help="save and end this process then; --resume goes on")  # fmt: skip
    group.add_argument("--batch-size", type=positive(int))
    group.add_argument("--lr", type=positive(float), help="peak learning rate")
    group.add_argument("--seed", type=_not_negative, default=None)
    group.add_argument("--precision", choices=("float32", "bfloat16"),
                       help="default: bfloat16 on a GPU; also faster on CPUs that have it")  # fmt: skip
    group.add_argument("--out", type=Path, help="folder for the weights (default: weights/...)")
    group.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    group.add_argument("--force", action="store_true", help="replace even better weights")
    group.add_argument("--on-reconstructions", action="store_true",
                       help="with --train classifier: on what the codec makes of the pictures")  # fmt: skip
    group.add_argument("--arch", dest="set", action="append", type="arch={}".format, metavar="NAME",
                       help="with --train classifier: resnet9 or preact-resnet20")  # fmt: skip
    group.add_argument("--set", action="append", metavar="NAME=VALUE",
                       help="a setting of the recipe, e.g. guide=0 (see model/recipes)")  # fmt: skip


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A parser of finite numbers above zero, for argparse."""

    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above zero, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {text}")
    return value


def main(args: argparse.Namespace, command: str) -> int:
    """Train what ``args.train`` names; the exit status."""
    try:
        return _train(args, command)
    except (TrainingError, SettingError, DataError, DeviceError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


def _train(args: argparse.Namespace, command: str) -> int:
    started = time.monotonic()
    device = choose_device(args.device)
    kind = TASKS[task_name(args)]
    out = (args.out or WEIGHTS / kind.folder(args.set or ())).resolve()
    path = REPOSITORY / "runs" / out.name / "checkpoint.safetensors"
    _check_out(out, path.parent)
    train, test = load_split(args.data, "train"), load_split(args.data, "test")
    if train.classes != test.classes:
        raise DataError(f"train has the classes {train.classes}, test has {test.classes}")
    # What a resumed run must have in common with its beginning, besides the recipe.
    identity = {"out": str(out), "data": train.fingerprint()}
    train, test = train.to(device), test.every(kind.test_images).to(device)

    with Interrupts() as interrupts:
        if args.resume:
            run = _resumed(args, identity, path, device, train, started)
        else:
            run = _begun(args, command, identity, path, device, train, test, started)
        stop_at = started + args.stop_after * 60 if args.stop_after else None
        complete = fit(run, train, test, interrupts, stop_at)
    if not complete:
        print(f"Saved step {run.step} of {run.total_steps} in {path}; --resume goes on from it.")
        return EXIT_OK if interrupts.signal is None else 128 + interrupts.signal
    return EXIT_OK if install(run, train, test, out, args.force) else EXIT_KEPT_OLD


def task_name(args: argparse.Namespace) -> str:
    """The task that the command line asks for."""
    if not args.on_reconstructions:
        return args.train
    if args.train not in (ClassifierTask.name, ReconstructionsTask.name):
        raise TrainingError("--on-reconstructions is for --train classifier")
    return ReconstructionsTask.name


def _check_out(out: Path, run: Path) -> None:
    """Refuse a folder that is there already and is neither a model's nor the run's: it would be replaced."""
    if not out.exists() or out == run.resolve():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / checkpoint.TENSORS_FILE).exists()):
        raise TrainingError(f"--out {out} exists and holds no model; name another folder")


def _begun(
    args: argparse.Namespace,
    command: str,
    identity: dict[str, str],
    path: Path,
    device: torch.device,
    train: ImageSet,
    test: ImageSet,
    started: float,
) -> Run:
    kind = TASKS[task_name(args)]
    seed = args.seed or 0
    default_precision = "bfloat16" if device.type == "cuda" else "float32"
    recipe = Recipe(
        task=kind.name,
        batch_size=args.batch_size or kind.batch_size,
        learning_rate=args.lr or kind.learning_rate,
        epochs=args.epochs or (None if args.max_minutes else float(kind.epochs)),
        max_minutes=args.max_minutes,
        seed=seed,
        precision=args.precision or default_precision,
        data=args.data_name or ("CIFAR-10" if args.data is None else args.data.resolve().name),
        settings=kind.spelled_out(args.set or ()),
    )
    torch.manual_seed(seed)
    task = kind(train, recipe.settings)
    task.model.to(memory_format=torch.channels_last).to(device)
    batches = Batches(len(train), recipe.batch_size, seed)
    if recipe.max_minutes:
        left = recipe.max_minutes - (time.monotonic() - started) / 60
        total = plan_steps(task, recipe, batches, train, test, left)
    else:
        total = max(1, round((recipe.epochs or 0) * batches.per_epoch))
    optimizer = task.optimizer(recipe.learning_rate)
    print(f"{total} steps of {recipe.batch_size} pictures on {device_name(device)}")
    return Run(task, optimizer, recipe, path, device, total, command, identity, started=started)


def _resumed(
    args: argparse.Namespace,
    identity: dict[str, str],
    path: Path,
    device: torch.device,
    train: ImageSet,
    started: float,
) -> Run:
    state = checkpoint.read_run_state(path)
    recipe = Recipe.from_dict(state["recipe"])
    asked = {
        "batch_size": args.batch_size,
        "learning_rate": args.lr,
        "epochs": args.epochs,
        "max_minutes": args.max_minutes,
        "seed": args.seed,
        "precision": args.precision,
        "settings": TASKS[task_name(args)].spelled_out(args.set) if args.set else None,
    }
    if recipe.task != task_name(args):
        raise TrainingError(f"{path} holds a run of {recipe.task!r}, not of {task_name(args)!r}")
    for name, value in asked.items():
        if value is not None and value != getattr(recipe, name):
            raise TrainingError(
                f"{name} is {getattr(recipe, name)} in {path} and cannot become {value}: "
                f"a resumed run keeps its schedule. Leave the option out, or start anew."
            )
    if state["identity"]["out"] != identity["out"]:
        raise TrainingError(f"{path} holds a run for {state['identity']['out']}, not for {identity['out']}")
    if state["identity"]["data"] != identity["data"]:
        raise TrainingError(f"{path} holds a run on other training pictures than these")
    task = TASKS[recipe.task](train, recipe.settings)
    if task.model.config.to_dict() != state["model_config"]:
        raise TrainingError(f"{path} holds a run of another network than today's")
    task.model.to(memory_format=torch.channels_last).to(device)
    # What it started from may have been replaced since, by this very run.
    task.before = state.get("before", task.before)
    optimizer = task.optimizer(recipe.learning_rate)
    checkpoint.load_run(path, task.model, optimizer)
    print(f"Going on from step {state['step']} of {state['total_steps']}")
    return Run(
        task, optimizer, recipe, path, device, state["total_steps"], state["command"], identity,
        step=state["step"], seconds=state["seconds"], history=state["history"], started=started,
    )  # fmt: skip
