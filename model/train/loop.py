"""The loop: steps, epochs and checkpoints."""

from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

from model.data import ImageSet
from model.train.interrupts import Interrupts
from model.train.run import SHOW_EVERY_STEPS, Run, TrainingError, diverged
from model.train.schedule import Batches
from model.train.step import train_step

SAVE_EVERY_SECONDS = 180.0


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
        bar.update(run.megapixels(run.step))
        run.step += 1
        # Reading a figure waits for the GPU, so it is done only now and then.
        if run.step % SHOW_EVERY_STEPS == 0 or run.step == run.total_steps:
            figures = {name: value.item() for name, value in shown.items()}
            if not np.isfinite(figures["loss"]):
                raise TrainingError(diverged(run.step))
            bar.set_postfix_str(
                f"step {run.step}/{run.total_steps}, "
                + ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            )
            # At an epoch's end it is measured first: a run that went on from there would lack the figures.
            if not ends_epoch(run, batches) and run.clock() - run.saved > SAVE_EVERY_SECONDS:
                run.save()
        if should_stop():
            return True
    return False


def ends_epoch(run: Run, batches: Batches) -> bool:
    """Whether an epoch, or the whole run, ends with the last step."""
    return run.step % batches.per_epoch == 0 or run.step == run.total_steps


def fit(run: Run, train: ImageSet, watched: ImageSet, interrupts: Interrupts, stop_at: float | None) -> bool:
    """Train until the run is complete; False if it was stopped (and saved) before.

    Args:
        watched: pictures that are measured after each epoch.
        stop_at: when to stop, by the run's clock.
    """
    batches = Batches(len(train), run.recipe.batch_size, run.recipe.seed)

    def should_stop() -> bool:
        late = stop_at is not None and run.clock() >= stop_at
        return run.agreed(late or interrupts.signal is not None)

    # Counted in pixels, since steps of later stages cost more: so the time left is right.
    megapixels = [run.megapixels(step) for step in range(run.total_steps)]
    layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(
        total=sum(megapixels),
        initial=sum(megapixels[: run.step]),
        bar_format=layout,
        dynamic_ncols=True,
        disable=not run.leads,
    ) as bar:
        while run.step < run.total_steps:
            bar.set_description(f"epoch {run.step // batches.per_epoch + 1}")
            stopped = train_one_epoch(run, train, batches, should_stop, bar)
            at_epoch_end = ends_epoch(run, batches)
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
