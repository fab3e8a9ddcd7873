"""``python app.py --train``: its options, and a run from its beginning or its checkpoint to its weights."""

import argparse
import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from model import memory
from model.config import ConfigError
from model.data import DataError, ImageSet
from model.device import DeviceError, choose_device, device_name, fast_math, training_precision
from model.files import StorageError, WeightsError
from model.recipes import TASKS, Recipe, SettingError, Task
from model.recipes.settings import as_text
from model.train import checkpoint
from model.train.install import EXIT_KEPT_OLD, check_out, install, places
from model.train.interrupts import Interrupts
from model.train.loop import fit
from model.train.options import given_settings
from model.train.plan import plan_steps
from model.train.run import Clock, Run, TrainingError, prepared
from model.train.schedule import Batches
from model.zoo import UnknownClassifierError

if TYPE_CHECKING:
    from accelerate import Accelerator

EXIT_OK, EXIT_ERROR = 0, 1
PROBE_STEPS = 1000
OTHERS = {
    "out": "holds a run for {}, not for {}",
    "data": "holds a run on other training pictures than these",
}
"""What is said of a run whose identity is another one."""


def main(args: argparse.Namespace, command: str, place: Path, clock: Clock = time.perf_counter) -> int:
    """Train what ``args.train`` names; the exit status.

    Args:
        args: of :func:`model.train.add_arguments`, ``train`` and ``device``.
        command: what the user typed, for the record.
        place: the folder that has ``weights/`` and ``runs/``, or gets them.
        clock: tells seconds.
    """
    try:
        return _train(args, command, place, clock)
    except (
        TrainingError, SettingError, DataError, DeviceError, WeightsError, StorageError,
        UnknownClassifierError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


@dataclass(frozen=True)
class Sitting:
    """What one process of a run has, whether it begins or goes on."""

    args: argparse.Namespace
    kind: type[Task[Any]]
    train: ImageSet
    path: Path
    """Where the checkpoint is."""
    identity: dict[str, str]
    """What a resumed run must have in common with its beginning, besides the recipe."""
    device: torch.device
    accelerator: "Accelerator"
    clock: Clock
    started: float

    def run(self, task: Task[Any], recipe: Recipe, total_steps: int, command: str) -> Run:
        """A run of a task from its first step."""
        optimizer = task.optimizer(recipe.learning_rate)
        return Run(
            task, optimizer, recipe, self.path, self.device, self.accelerator, total_steps, command,
            self.identity, clock=self.clock, started=self.started,
        )  # fmt: skip


def _train(args: argparse.Namespace, command: str, place: Path, clock: Clock) -> int:
    # Imported when used: it takes a second, and whoever only serves the page does without it.
    from accelerate import Accelerator

    started = clock()
    on_cpu = args.device == "cpu" or not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no")
    # Each of several processes has a device of its own.
    device = accelerator.device if accelerator.num_processes > 1 else choose_device(args.device)
    fast_math(device)
    memory.keep_freed(memory.ALL)
    kind = TASKS[args.train]
    given = given_settings(args)
    names = kind.folders(kind.chosen(**given))
    base = args.out or (place / "weights" / names[0] if len(names) == 1 else place / "weights")
    outs = places(base.resolve(), names)
    path = place / "runs" / (args.out.name if args.out else names[0]) / "checkpoint.safetensors"
    check_out(outs, path.parent)
    with accelerator.main_process_first():  # it may have to download them
        train, test = kind.load(args.data)
    if train.classes != test.classes:
        raise DataError(f"train has the classes {train.classes}, test has {test.classes}")
    if train.images.shape[1:] != test.images.shape[1:]:
        sides = " and ".join(f"{part.images.shape[-1]} pixels" for part in (train, test))
        raise DataError(f"the pictures of train and test have sides of {sides}: make them all of one size")
    identity = {"out": str(base.resolve()), "data": train.fingerprint()}
    train, test = train.to(device), test.every(kind.test_images).to(device)

    with Interrupts() as interrupts:
        sitting = Sitting(args, kind, train, path, identity, device, accelerator, clock, started)
        run = _resumed(sitting) if args.resume else _begun(sitting, command, test)
        rest, held_out = train.split_off(run.task.held_out)
        watched = held_out if run.task.held_out else test.every(kind.watched_images)
        stop_at = started + args.stop_after * 60 if args.stop_after else None
        complete = fit(run, rest, watched, interrupts, stop_at)
    status = EXIT_OK
    if not complete:
        if run.leads:
            print(f"Saved step {run.step} of {run.total_steps} in {path}; --resume goes on from it.")
        status = EXIT_OK if interrupts.signal is None else 128 + interrupts.signal
    elif run.leads and not install(run, rest, test, outs, args.force):
        status = EXIT_KEPT_OLD
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return status


def _begun(sitting: Sitting, command: str, test: ImageSet) -> Run:
    args, kind, accelerator = sitting.args, sitting.kind, sitting.accelerator
    recipe = Recipe(
        task=kind.name,
        batch_size=args.batch_size or kind.batch_size,
        micro_batches=args.micro_batches or accelerator.num_processes,
        learning_rate=args.lr or kind.learning_rate,
        epochs=args.epochs or (None if args.max_minutes else float(kind.epochs)),
        max_minutes=args.max_minutes,
        seed=args.seed or 0,
        precision=args.precision or training_precision(sitting.device),
        data=args.data_name or ("CIFAR-10" if args.data is None else args.data.resolve().name),
        settings=kind.chosen(**given_settings(args)).to_dict(),
    )
    task = _task(sitting, recipe)
    batches = Batches(len(sitting.train) - task.held_out, recipe.batch_size, recipe.seed)
    if recipe.max_minutes:
        probe = copy.deepcopy(task)
        if args.compile:
            probe.compile()
        left = recipe.max_minutes - (sitting.clock() - sitting.started) / 60
        total = plan_steps(
            sitting.run(probe, recipe, PROBE_STEPS, command), batches, sitting.train, test, left
        )
        total = _told(total)
    else:
        total = max(1, round((recipe.epochs or 0) * batches.per_epoch))
    if accelerator.is_main_process:
        shared = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
        print(
            f"{total} steps of {recipe.batch_size} pictures on {device_name(sitting.device)}{shared}, "
            f"in {recipe.precision}"
        )
    return sitting.run(task, recipe, total, command)


def _told(steps: int) -> int:
    """The number that the leading process has, in all processes."""
    from accelerate.utils import broadcast_object_list

    number: int = broadcast_object_list([steps])[0]
    return number


def _check_sharing(batch: int, parts: int, processes: int) -> None:
    """Refuse batches that do not come out even, which would weigh some pictures more than others."""
    if batch % parts:
        raise TrainingError(f"a batch of {batch} cannot be cut into {parts} equal micro-batches")
    if parts % processes:
        raise TrainingError(f"{processes} processes cannot share {parts} micro-batches evenly")


def _task(sitting: Sitting, recipe: Recipe) -> Task[Any]:
    """The recipe's task with its model on the device."""
    settings = sitting.kind.settings.from_dict(recipe.settings)
    device, compiled = sitting.device, sitting.args.compile
    task = prepared(sitting.kind, sitting.train, settings, recipe.seed, device, compiled)
    if not 0 <= task.held_out < len(sitting.train):
        raise TrainingError(f"{task.held_out} of {len(sitting.train)} training pictures cannot be held out")
    batch = min(recipe.batch_size, len(sitting.train) - task.held_out)
    _check_sharing(batch, recipe.micro_batches, sitting.accelerator.num_processes)
    return task


def _kept_recipe(kept: dict[str, Any], kind: type[Task[Any]], path: Path) -> Recipe:
    """The recipe of a checkpoint, if it is one of this kind of task as it is today."""
    try:
        recipe = Recipe.from_dict(kept)
        if recipe.task != kind.name:
            raise TrainingError(f"{path} holds a run of {recipe.task!r}, not of {kind.name!r}")
        kind.settings.from_dict(recipe.settings)
    except ConfigError as error:
        raise TrainingError(f"{path} holds a run of another version of this program: {error}") from error
    return recipe


def _resumed(sitting: Sitting) -> Run:
    args, kind, path = sitting.args, sitting.kind, sitting.path
    state = checkpoint.read_run_state(path)
    recipe = _kept_recipe(state["recipe"], kind, path)
    asked: dict[str, Any] = {
        "batch_size": args.batch_size,
        "micro_batches": args.micro_batches,
        "learning_rate": args.lr,
        "epochs": args.epochs,
        "max_minutes": args.max_minutes,
        "seed": args.seed,
        "precision": args.precision,
    }
    given = given_settings(args)
    chosen = kind.chosen(**given).to_dict()
    asked |= {name: chosen[name] for name in given}
    kept = vars(recipe) | recipe.settings
    for name, value in asked.items():
        if value is not None and value != kept[name]:
            raise TrainingError(
                f"{name} is {as_text(kept[name])} in {path} and cannot become {as_text(value)}: "
                f"a resumed run keeps its schedule. Leave the option out, or start anew."
            )
    for what, mine in sitting.identity.items():
        if state["identity"][what] != mine:
            raise TrainingError(f"{path} {OTHERS[what].format(state['identity'][what], mine)}")
    task = _task(sitting, recipe)
    if task.shape() != state["model_config"]:
        raise TrainingError(f"{path} holds a run of another network than today's")
    run = sitting.run(task, recipe, state["total_steps"], state["command"])
    run.restore(state)
    if run.leads:
        print(f"Going on from step {run.step} of {run.total_steps}")
    return run
