"""Memory that a tensor leaves is taken by the next one."""

import os
import subprocess
import sys

import pytest

from model import memory

PROGRAM = """
import resource, torch
from model import memory
torch.set_num_threads(1)

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.empty(16 * 1024**2).fill_(1)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

left_alone = pages()
kept = memory.keep_freed()
pages()
print(kept, left_alone, pages())
"""
PAGES = 16 * 1024  # of 4 kB in 64 MB


def run(**environment: str) -> tuple[str, int, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={n: v for n, v in os.environ.items() if n not in memory.VARIABLES} | environment,
    )
    kept, before, after = done.stdout.split()
    return kept, int(before), int(after)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
@pytest.mark.processes
def test_a_tensor_takes_the_memory_that_another_has_left():
    kept, before, after = run()
    assert kept == "True"
    if before < PAGES:
        pytest.skip("pages are large here, or another malloc is at work")
    assert after < PAGES / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
@pytest.mark.processes
def test_who_has_tuned_malloc_from_outside_is_left_alone():
    kept, before, after = run(MALLOC_MMAP_THRESHOLD_="1000000")
    assert kept == "False"
    assert after > before / 2


@pytest.mark.parametrize("at_most", [memory.KEPT, memory.ALL])
def test_so_much_is_kept_as_is_wanted(monkeypatch, at_most):
    told = {}

    class Library:
        @staticmethod
        def mallopt(option: int, value: int) -> int:
            told[option] = value
            return 1

    monkeypatch.setattr(memory.os, "environ", {})
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: Library)
    assert memory.keep_freed(at_most)
    assert told[memory.M_TRIM_THRESHOLD] == at_most
    assert told[memory.M_MMAP_MAX] == 0


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.os, "environ", {})
    monkeypatch.setattr(memory.os, "name", "nt")
    assert memory.keep_freed() is False
    monkeypatch.setattr(memory.os, "name", "posix")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed() is False
