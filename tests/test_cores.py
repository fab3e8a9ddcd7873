"""Threads compute with one core, but for the one whose turn it is."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from model import cores
from tests.conftest import until

T = TypeVar("T")
pytestmark = pytest.mark.skipif(cores._library is None, reason="torch has no libgomp here")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def in_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def names() -> set[str]:
    """The numbers of this process's threads."""
    return {path.name for path in Path("/proc/self/task").iterdir()}


def compute() -> torch.Tensor:
    """Work that is worth several cores."""
    return torch.nn.functional.conv2d(torch.ones(1, 16, 64, 64), torch.ones(16, 16, 3, 3))


def test_other_threads_have_one_core_and_whose_turn_it_is_has_all(monkeypatch):
    monkeypatch.setattr(cores, "COUNT", 3)
    cores.one_for_each()

    def seen() -> list[int]:
        found = [torch.get_num_threads()]
        with cores.all_of_them():
            found += [torch.get_num_threads(), in_thread(torch.get_num_threads)]
        return [*found, torch.get_num_threads()]

    assert seen() == in_thread(seen) == [1, 3, 1, 1]


def test_helpers_go_home_at_the_end_and_between(monkeypatch):
    monkeypatch.setattr(cores, "COUNT", 3)
    cores.one_for_each()

    def helpers() -> list[int]:
        before = names()
        found = []

        def left() -> int:
            """How many are there after their dismissal, which does not wait for the end of their threads."""
            until(lambda: not names() - before, seconds=10)
            return len(names() - before)

        with cores.all_of_them():
            wanted = compute()
            found.append(len(names() - before))
            cores.dismiss()
            found.append(left())
            assert torch.equal(compute(), wanted)
            found.append(len(names() - before))
        return [*found, left()]

    thread = threading.Thread(target=lambda: found.append(helpers()))
    found: list[list[int]] = []
    thread.start()
    thread.join()
    assert found == [[2, 0, 2, 0]]


def test_what_goes_wrong_leaves_one_core(monkeypatch):
    monkeypatch.setattr(cores, "COUNT", 3)
    cores.one_for_each()
    with pytest.raises(ZeroDivisionError), cores.all_of_them():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 1


def test_without_that_library_nothing_is_changed(monkeypatch, tmp_path):
    maps = tmp_path / "maps"
    for text in ("7f00-7f01 r-xp 00000000 00:00 0 /lib/libc.so.6\n", "7f00 libgomp.so.1\n"):
        maps.write_text(text)
        monkeypatch.setattr(cores, "MAPS", maps)
        monkeypatch.setattr("ctypes.CDLL", lambda path: object())
        assert cores._openmp() is None
    monkeypatch.setattr(cores, "_library", None)
    before = torch.get_num_threads()
    cores.one_for_each()
    with cores.all_of_them():
        assert torch.get_num_threads() == before
        cores.dismiss()
