"""The loop: steps, epochs and checkpoints, and how many steps fit into some minutes.

Every random number of a step follows from the seed, the step's number and the part of the batch alone, so a
checkpoint needs no state of any random generator, and it does not matter how many processes share a batch.
"""

import copy
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model import checkpoint
from model.data import ImageSet
from model.recipes import Recipe, Step, Task, learning_rate_factor, stage_at

if TYPE_CHECKING:  # its import takes longer than all else here, and the page does without it
    from accelerate import Accelerator

SAVE_EVERY_SECONDS = 180.0
SHOW_EVERY_STEPS = 10
AVERAGED_SHARE = 50
"""A moving average reaches back over about one part in so many of the run, where its decay allows it."""


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


class Objective(nn.Module):
    """A task's loss as a forward pass: what can be spread over several processes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.model = task.model  # so that its parameters are this module's, too

    def forward(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        return self.task.step(images, labels, progress, generator)


class Average(nn.Module):
    """A moving average of a model's weights, batch norm's statistics among them (EMA).

    ``torch.optim.swa_utils.AveragedModel`` makes the GPU wait for the host at each update; this does not.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move towards the model's weights by a share of ``1 - decay``; counters are copied."""
        pairs = list(zip(self.module.state_dict().values(), model.state_dict().values(), strict=True))
        moving = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        means, news = map(list, zip(*moving, strict=True))
        torch._foreach_lerp_(means, news, 1 - self.decay)
        for mean, new in pairs:
            if not mean.is_floating_point():
                mean.copy_(new)


@dataclass
class Best:
    """The weights of the epoch that scored best on pictures held out of the training."""

    module: nn.Module
    figures: dict[str, float]


@dataclass
class Run:
    """One run in progress: the task, and what a checkpoint keeps besides its model's tensors."""

    task: Task
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    path: Path
    device: torch.device
    accelerator: "Accelerator"
    total_steps: int
    command: str
    identity: dict[str, str]
    """The output folder and the data's fingerprint."""
    step: int = 0
    seconds: float = 0.0
    """Training time of earlier processes."""
    history: list[dict[str, float]] = field(default_factory=list)
    best: Best | None = None
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    objective: nn.Module = field(init=False)
    average: Average | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.objective = self.accelerator.prepare_model(Objective(self.task), device_placement=False)
        if self.task.decay:
            decay = max(0.0, min(self.task.decay, 1 - AVERAGED_SHARE / self.total_steps))
            self.average = Average(self.task.model, decay)

    @property
    def result(self) -> nn.Module:
        """The model with the weights that count at this point of the run: the averaged ones, if any are."""
        return self.task.model if self.average is None else self.average.module

    @property
    def leads(self) -> bool:
        """Whether this is the process that measures, saves and speaks."""
        return self.accelerator.is_main_process

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, over all sittings."""
        return self.seconds + time.monotonic() - self.started

    def cost(self, step: int) -> float:
        """What a step costs, in millions of pixels."""
        stage = stage_at(self.task.stages, step / self.total_steps)
        return self.recipe.batch_size * stage.crops * stage.size**2 / 1e6

    def agreed(self, stop: bool) -> bool:
        """Whether any of the processes wants to stop; several of them ask each other only now and then."""
        if self.accelerator.num_processes == 1:
            return stop
        if self.step % SHOW_EVERY_STEPS:
            return False
        votes = torch.tensor(float(stop), device=self.device)
        return bool(self.accelerator.reduce(votes, reduction="sum") > 0)

    def save(self) -> None:
        """Write the checkpoint, unless the run has diverged: the last good one is worth more."""
        if not all(p.isfinite().all() for p in self.task.model.parameters()):
            raise TrainingError(_diverged(self.step))
        state = {
            "identity": self.identity,
            "recipe": self.recipe.to_dict(),
            "model_config": self.task.shape(),
            "total_steps": self.total_steps,
            "step": self.step,
            "seconds": self.elapsed,
            "command": self.command,
            "before": self.task.before,
            "history": self.history,
            "best": None if self.best is None else self.best.figures,
        }
        if self.leads:
            checkpoint.save_run(self.path, self._modules(), self.optimizer, state)
        self.saved = time.monotonic()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the checkpoint, whose ``state`` was read before."""
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        # What it started from may have been replaced since, by this very run.
        self.task.before = state["before"]
        if state["best"] is not None:
            self.best = Best(copy.deepcopy(self.result), state["best"])
        checkpoint.load_run(self.path, self._modules(), self.optimizer)

    def _modules(self) -> dict[str, nn.Module]:
        found = {"model": self.task.model}
        if self.average is not None:
            found["average"] = self.average
        if self.best is not None:
            found["best"] = self.best.module
        return found

    def measure(self, pictures: ImageSet) -> dict[str, float]:
        """The task's figures of the weights that count now, which are kept where the best ones are wanted."""
        figures = evaluate(self.task, self.result, pictures)
        score = self.task.score
        if self.task.held_out and (self.best is None or figures[score] > self.best.figures[score]):
            self.best = Best(copy.deepcopy(self.result), figures)
        return figures

    def finish(self, train: ImageSet) -> None:
        """Give the task's model the weights that are to be kept."""
        kept = self.result if self.best is None else self.best.module
        self.task.model.load_state_dict(kept.state_dict())
        self.task.finish(train)


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


class RunningStatistics:
    """The running statistics of batch norm in a step of several micro-batches.

    Each micro-batch starts from those at the step's beginning, and their mean is kept. Else they would depend
    on the order of the micro-batches, and on which process computed which; and with them the attacks of
    adversarial training, which see them.
    """

    def __init__(self, run: Run) -> None:
        self.accelerator = run.accelerator
        shared = run.recipe.micro_batches > 1
        self.buffers = [b for b in run.task.model.buffers() if shared and b.is_floating_point()]
        self.start = [buffer.clone() for buffer in self.buffers]
        self.sums = [torch.zeros_like(buffer) for buffer in self.buffers]

    def add(self) -> None:
        """After a micro-batch: note what it made of them, and take them back."""
        if self.buffers:
            torch._foreach_add_(self.sums, self.buffers)
            torch._foreach_copy_(self.buffers, self.start)

    def merge(self, count: int) -> None:
        """After the last of this process's ``count`` micro-batches."""
        if self.buffers:
            mean = torch.cat([total.flatten() for total in self.sums]) / count
            mean = self.accelerator.reduce(mean, reduction="mean")
            parts = mean.split([buffer.numel() for buffer in self.buffers])
            for buffer, part in zip(self.buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))


def train_step(run: Run, data: ImageSet, indices: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """One update of the weights by the pictures at ``indices``, shape (B,), of ``data``.

    The batch is cut into the recipe's micro-batches, each with random numbers of its own. Processes share
    them out; one process computes its own one after the other and adds up their gradients.

    Returns:
        The loss and the task's figures of this process's last micro-batch, still on the device.
    """
    progress = run.step / run.total_steps
    for group in run.optimizer.param_groups:
        group["lr"] = run.recipe.learning_rate * learning_rate_factor(progress)
    run.optimizer.zero_grad(set_to_none=True)
    pieces = indices.chunk(run.recipe.micro_batches)
    own = range(run.accelerator.process_index, len(pieces), run.accelerator.num_processes)
    statistics = RunningStatistics(run)
    for number in own:
        part = pieces[number]
        # The first part's stream is that of a batch in one piece.
        generator.manual_seed(_mix(run.recipe.seed, 1, run.step, *[number] * (number > 0)))
        alone = number != own[-1]  # the processes' gradients meet in the last one
        with run.accelerator.no_sync(run.objective) if alone else nullcontext():
            with torch.autocast(run.device.type, torch.bfloat16, enabled=run.recipe.precision == "bfloat16"):
                loss, shown = run.objective(data.images[part], data.labels[part], progress, generator)
            (loss / len(own)).backward()
        statistics.add()
    statistics.merge(len(own))
    nn.utils.clip_grad_norm_(run.task.model.parameters(), run.task.max_grad_norm)
    run.optimizer.step()
    if run.average is not None:
        run.average.follow(run.task.model)
    return {"loss": loss.detach(), **shown}


def _diverged(step: int) -> str:
    return (
        f"the loss is no finite number after {step} steps: the run has diverged. A lower --lr may "
        f"help; the weights in use are untouched."
    )


def train_one_epoch(
    run: Run, data: ImageSet, batches: Batches, should_stop: Callable[[], bool], bar: tqdm
) -> bool:
    """Train to the end of the current epoch (or of the run), or until ``should_stop``.

    Saves a checkpoint every few minutes.

    Returns:
        Whether it was ``should_stop`` that ended it.

    Raises:
        TrainingError: the loss is not finite. The last checkpoint is untouched.
    """
    epoch, first = divmod(run.step, batches.per_epoch)
    order = batches.order(epoch).to(data.images.device)
    generator = torch.Generator(data.images.device)
    run.task.model.train()
    for indices in order[first : first + run.total_steps - run.step]:
        shown = train_step(run, data, indices, generator)
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
            return True
    return False


def evaluate(task: Task, model: nn.Module, data: ImageSet) -> dict[str, float]:
    """The task's figures of ``model`` on ``data``, in float32 and evaluation mode."""
    training = model.training
    model.eval()
    # An attack's batches shrink as pictures fall: no convolution is worth trying out for each size.
    tried_out, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    with torch.no_grad():
        figures = task.evaluate(model, data)
    torch.backends.cudnn.benchmark = tried_out
    model.train(training)
    return figures


def plan_steps(probe: Run, batches: Batches, train: ImageSet, test: ImageSet, minutes: float) -> int:
    """How many steps fit into ``minutes``, from measured speed.

    Each stage's step is timed, and what the tests of each epoch and of the end cost is set aside, as is the
    time that the planning itself takes.

    Args:
        probe: a run that is thrown away afterwards, since its model gets trained.
    """
    began = time.perf_counter()
    probe.task.model.train()
    generator = torch.Generator(train.images.device)
    indices = batches.order(0)[0].to(train.images.device)

    def seconds_at(progress: float) -> float:
        probe.step = int(progress * probe.total_steps)
        times = []
        for _ in range(8):
            start = time.perf_counter()
            train_step(probe, train, indices, generator)["loss"].item()
            times.append(time.perf_counter() - start)
        return float(np.median(times[2:]))

    per_step, end = 0.0, 0.0
    for stage in probe.task.stages:
        per_step += stage.share * seconds_at(end + stage.share / 2)
        end += stage.share

    sample = test.every(probe.task.watched_images)
    evaluate(probe.task, probe.result, sample.every(1))  # kernels are compiled at their first use
    start = time.perf_counter()
    evaluate(probe.task, probe.result, sample)
    test_seconds = time.perf_counter() - start
    at_the_end = 2 * test_seconds * len(test) / len(sample)  # the new weights and the old ones
    per_step += test_seconds / batches.per_epoch
    planning = time.perf_counter() - began
    return max(1, int((minutes * 60 - planning - at_the_end) / per_step))


def fit(run: Run, train: ImageSet, watched: ImageSet, interrupts: Interrupts, stop_at: float | None) -> bool:
    """Train until the run is complete; False if it was stopped (and saved) before.

    Args:
        watched: pictures that are measured after each epoch.
        stop_at: when to stop, on the clock of ``time.monotonic``.
    """
    batches = Batches(len(train), run.recipe.batch_size, run.recipe.seed)

    def should_stop() -> bool:
        late = stop_at is not None and time.monotonic() >= stop_at
        return run.agreed(late or interrupts.signal is not None)

    # Counted in pixels, since steps of later stages cost more: so the time left is right.
    costs = [run.cost(step) for step in range(run.total_steps)]
    layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(
        total=sum(costs),
        initial=sum(costs[: run.step]),
        bar_format=layout,
        dynamic_ncols=True,
        disable=not run.leads,
    ) as bar:
        while run.step < run.total_steps:
            bar.set_description(f"epoch {run.step // batches.per_epoch + 1}")
            stopped = train_one_epoch(run, train, batches, should_stop, bar)
            at_epoch_end = run.step % batches.per_epoch == 0 or run.step == run.total_steps
            if at_epoch_end and run.leads:
                figures = run.measure(watched)
                run.history.append(
                    {
                        "epoch": round(run.step / batches.per_epoch, 3),
                        "step": run.step,
                        "minutes": round(run.elapsed / 60, 2),
                        **figures,
                    }
                )
                score = run.task.score
                bar.write(f"epoch {run.history[-1]['epoch']:g}: {score} {figures[score]:.4f}")
            if at_epoch_end or stopped:
                run.save()
            if stopped and run.step < run.total_steps:
                return False
    return True
