"""A plan carried out: one job after the other, each with a seed of its own, and its records kept at once."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tqdm import tqdm

from model.evaluate.direct import Part
from model.evaluate.execute import Executor
from model.evaluate.jobs import DirectJob, Job
from model.evaluate.journal import Journal
from model.evaluate.record import Record


class _LateError(Exception):
    """The deadline passed while a job was being done."""


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
        deadline: on the clock; after it no job begins, and none goes on beyond the part that it is at.
        clock: seconds.

    Returns:
        The keys of the jobs that were left undone.
    """

    def late() -> bool:
        return deadline is not None and clock() > deadline

    layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=sum(job.cost for job in jobs), bar_format=layout, dynamic_ncols=True) as bar:
        for rank, job in enumerate(jobs):
            left = job.without(journal.systems(job.key))
            if left is None:
                bar.total -= job.cost
                continue
            if late():
                break
            before = journal.of(earlier.key for earlier in jobs[:rank])
            try:
                _do(left, executor, seed_of(job, seed), before, journal, bar, late)
            except _LateError:
                break
    return [job.key for job in jobs if job.without(journal.systems(job.key)) is not None]


def _do(
    job: Job,
    executor: Executor,
    seed: int,
    before: Sequence[Record],
    journal: Journal,
    bar: tqdm,
    late: Callable[[], bool],
) -> None:
    """Do a job, or what is left of it, and keep what it comes to.

    Raises:
        _LateError: it is late, and parts of the job are left.
    """
    bar.set_postfix_str(job.key)
    done = dict(journal.begun.get(job.key, {}))
    shown, began = bar.n, time.perf_counter()

    def on_part(number: int, part: Part, share: float) -> None:
        if not isinstance(job, DirectJob) or share == 1:
            return  # with it the job is done
        journal.write_part(job.key, job.system, number, part)
        bar.update(share * job.cost)
        if late():
            raise _LateError

    records = executor.execute(job, seed, before, done, on_part)
    seconds = time.perf_counter() - began + sum(part.seconds for part in done.values())
    journal.write(job.key, [replace(record, seconds=round(seconds, 2)) for record in records])
    bar.update(shown + job.cost - bar.n)


def seed_of(job: Job, seed: int) -> int:
    """A job's own seed, whatever came before it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {job.key}".encode()).digest()[:4])
