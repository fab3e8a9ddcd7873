"""How many steps fit into some minutes."""

import numpy as np
import torch

from model.data import ImageSet
from model.train.run import Run, evaluate
from model.train.schedule import Batches
from model.train.step import train_step


def plan_steps(probe: Run, batches: Batches, train: ImageSet, test: ImageSet, minutes: float) -> int:
    """How many steps fit into ``minutes``, from measured speed.

    Each stage's step is timed, and what the tests of each epoch and of the end cost is set aside, as is the
    time that the planning itself takes.

    Args:
        probe: a run that is thrown away afterwards, since its model gets trained.
    """
    began = probe.clock()
    probe.task.model.train()
    generator = torch.Generator(train.images.device)
    indices = batches.order(0)[0].to(train.images.device)

    def seconds_at(progress: float) -> float:
        probe.step = int(progress * probe.total_steps)
        times = []
        for _ in range(8):
            start = probe.clock()
            train_step(probe, train, indices, generator)["loss"].item()
            times.append(probe.clock() - start)
        return float(np.median(times[2:]))

    per_step, end = 0.0, 0.0
    for stage in probe.task.stages:
        per_step += stage.share * seconds_at(end + stage.share / 2)
        end += stage.share

    sample = test.every(probe.task.watched_images)
    evaluate(probe.task, probe.result, sample.every(1))  # kernels are compiled at their first use
    start = probe.clock()
    evaluate(probe.task, probe.result, sample)
    test_seconds = probe.clock() - start
    at_the_end = 2 * test_seconds * len(test) / len(sample)  # the new weights and the old ones
    per_step += test_seconds / batches.per_epoch
    planning = probe.clock() - began
    return max(1, int((minutes * 60 - planning - at_the_end) / per_step))
