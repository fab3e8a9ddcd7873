"""A run in progress: what it has come to, what is kept of it, and which of its weights count."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.data import ImageSet
from model.device import channels_last
from model.recipes import Recipe, Settings, Step, Task, stage_at
from model.train import checkpoint

if TYPE_CHECKING:  # their imports take longer than all else here, and the page does without them
    from accelerate import Accelerator
    from timm.utils import ModelEmaV3

SHOW_EVERY_STEPS = 10
AVERAGED_SHARE = 50
"""A moving average reaches back over about one part in so many of the run, where its decay allows it."""
Clock = Callable[[], float]
"""Tells seconds."""


class TrainingError(RuntimeError):
    """The run cannot go on or got nowhere; the message says why and what remains."""


def diverged(step: int) -> str:
    """What is said of a run whose loss is no finite number."""
    return (
        f"the loss is no finite number after {step} steps: the run has diverged. A lower --lr may "
        f"help; the weights in use are untouched."
    )


class Objective(nn.Module):
    """A task's loss as a forward pass: what can be spread over several processes."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.task = task
        self.model = task.model  # so that its parameters are this module's, too

    def forward(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        return self.task.step(images, labels, progress, generator)


def prepared(
    kind: type[Task[Any]], data: ImageSet, settings: Settings, seed: int, device: torch.device, compiled: bool
) -> Task[Any]:
    """A task whose model is on the device, as training wants it there."""
    torch.manual_seed(seed)
    task = kind(data, settings)
    channels_last(task.model).to(device)
    if compiled:
        task.compile()
    return task


def moving_average(model: nn.Module, decay: float, total_steps: int) -> "ModelEmaV3":
    """An average of a model's whole state, batch norm's statistics among it; counters are copied."""
    from timm.utils import ModelEmaV3

    share = max(0.0, min(decay, 1 - AVERAGED_SHARE / total_steps))
    return ModelEmaV3(model, decay=share).requires_grad_(False)


@dataclass
class Best:
    """The weights of the epoch that scored best on pictures held out of the training."""

    module: nn.Module
    figures: dict[str, float]


@dataclass
class Run:
    """One run in progress: the task, and what a checkpoint keeps besides its model's tensors."""

    task: Task[Any]
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    path: Path
    """Where the checkpoint is."""
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
    clock: Clock = field(default=time.perf_counter, kw_only=True)
    started: float = field(kw_only=True)
    """When this process began with it, by the clock."""
    saved: float = field(init=False)
    objective: nn.Module = field(init=False)
    average: "ModelEmaV3 | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.saved = self.clock()
        self.objective = self.accelerator.prepare_model(Objective(self.task), device_placement=False)
        if self.task.decay:
            self.average = moving_average(self.task.model, self.task.decay, self.total_steps)

    @property
    def result(self) -> nn.Module:
        """The model with the weights that count at this point of the run: the averaged ones, if any are."""
        return self.task.model if self.average is None else self.average.module

    @property
    def leads(self) -> bool:
        """Whether this is the process that measures, saves and speaks."""
        return bool(self.accelerator.is_main_process)

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, over all sittings."""
        return self.seconds + self.clock() - self.started

    def megapixels(self, step: int) -> float:
        """How many millions of pixels a step computes on."""
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
            raise TrainingError(diverged(self.step))
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
        self.saved = self.clock()

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


def evaluate(task: Task[Any], model: nn.Module, data: ImageSet) -> dict[str, float]:
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
