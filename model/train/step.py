"""A step: one update of the weights by one batch, in micro-batches that processes may share.

Every random number of a step follows from the seed, the step's number and the part of the batch alone, so a
checkpoint needs no state of any random generator, and it does not matter how many processes share a batch.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from model.data import ImageSet
from model.train.run import Run
from model.train.schedule import learning_rate_factor, mixed_seed


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
        rate = run.recipe.learning_rate * learning_rate_factor(progress)
        group["lr"] = rate * group.get("lr_scale", 1.0)  # as timm calls it
    run.optimizer.zero_grad(set_to_none=True)
    pieces = indices.chunk(run.recipe.micro_batches)
    own = range(run.accelerator.process_index, len(pieces), run.accelerator.num_processes)
    statistics = RunningStatistics(run)
    for number in own:
        part = pieces[number]
        # The first part's stream is that of a batch in one piece.
        part_number = [number] if number else []
        generator.manual_seed(mixed_seed(run.recipe.seed, 1, run.step, *part_number))
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
        run.average.update(run.task.model)
    return {"loss": loss.detach(), **shown}
