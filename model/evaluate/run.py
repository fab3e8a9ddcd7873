"""A plan carried out: one job after the other, each with a seed of its own, and its records kept at once."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tqdm import tqdm

from model.evaluate.execute import Executor
from model.evaluate.jobs import Job
from model.evaluate.journal import Journal


def run(
    jobs: Sequence[Job],
    executor: Executor,
    journal: Journal,
    seed: int = 0,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Do what is not done yet.

    Args:
        jobs: of :func:`model.evaluate.plan.plan`, in its order: a cascade goes by what came before.
        executor: who does them.
        journal: where records go, and from where those of earlier runs are taken: a job is done for the
            systems alone that it has none of.
        seed: of everything.
        deadline: on the clock; no job begins after it.
        clock: seconds.

    Returns:
        The keys of the jobs that were left undone.
    """
    layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=sum(job.cost for job in jobs), bar_format=layout, dynamic_ncols=True) as bar:
        for rank, job in enumerate(jobs):
            left = job.without(journal.systems(job.key))
            if left is None:
                bar.total -= job.cost
                continue
            if deadline is not None and clock() > deadline:
                break
            bar.set_postfix_str(job.key)
            began = time.perf_counter()
            before = journal.of(earlier.key for earlier in jobs[:rank])
            records = executor.execute(left, seed_of(job, seed), before)
            seconds = round(time.perf_counter() - began, 2)
            journal.write(job.key, [replace(record, seconds=seconds) for record in records])
            bar.update(job.cost)
    return [job.key for job in jobs if job.without(journal.systems(job.key)) is not None]


def seed_of(job: Job, seed: int) -> int:
    """A job's own seed, whatever came before it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {job.key}".encode()).digest()[:4])
