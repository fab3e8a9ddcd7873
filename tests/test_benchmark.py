import contextlib
import itertools
from collections.abc import Callable

import pytest
import torch

from app import benchmark


def each_takes(seconds: float) -> Callable[[], float]:
    """A clock by which whatever is timed takes so long."""
    return itertools.count(step=seconds).__next__


def test_the_median_ignores_the_first_call():
    now = 0
    waits = iter([100, 3, 1, 2])

    def action() -> None:
        nonlocal now
        now += next(waits)

    assert benchmark.median_seconds(action, repeats=3, clock=lambda: now) == 2
    assert list(waits) == []


def test_both_ways_of_calling_the_codec_are_timed(codec):
    speeds = benchmark.codec_speeds(codec, torch.device("cpu"), count=4, clock=each_takes(0.5))
    assert speeds == (8, 8)


def test_every_defence_is_timed():
    found = benchmark.defence_milliseconds(torch.device("cpu"), count=2, clock=each_takes(0.5))
    assert {"comdefend-cifar10", "comdefend-cifar10-purify", "jpeg-75", "median-3"} <= set(found)
    assert set(found.values()) == {250}


def test_the_table_has_every_row(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "served", lambda device: contextlib.nullcontext("http://nowhere"))
    monkeypatch.setattr(benchmark, "interaction_seconds", lambda address: {"choosing": 0.012})
    monkeypatch.setattr(benchmark, "codec_speeds", lambda codec, device: (300.0, 100.0))
    monkeypatch.setattr(
        benchmark, "photograph_seconds", lambda codec, device: 1.5 if codec.config.downscale == 1 else 0.06
    )
    monkeypatch.setattr(benchmark, "run_seconds", lambda lab, picture, scenario: 0.5)
    monkeypatch.setattr(benchmark, "defence_milliseconds", lambda device: {"jpeg-75": 0.25})
    assert benchmark.main("cpu") == 0
    printed = capsys.readouterr().out
    for part in (
        "the page answers | 0.0 s |", "choosing | 12 ms |", "CIFAR-10 run, PGD-10, grey-box | 0.50 s",
        "Photograph run, FGSM, adaptive | 0.50 s", "Photograph run, BIM-10, grey-box | 0.50 s",
        "light shape, the same | 60 ms", "| 25.0 |", "| 300 pictures/s", "| 3.00 |",
        "Defence `jpeg-75`, 32x32 | 0.25 ms/picture",
    ):  # fmt: skip
        assert part in printed


@pytest.mark.server
def test_what_needs_no_model_is_timed_on_a_page_with_a_run(server):
    seconds = benchmark.interaction_seconds(server, clock=each_takes(0.5))
    actions = ("choosing a picture", "choosing an attack", "comparing two other pictures")
    assert seconds == dict.fromkeys(actions, 0.5)


@pytest.mark.processes
def test_a_page_that_does_not_start_says_why():
    with (
        pytest.raises(RuntimeError, match="the device 'nonsense' cannot be used"),
        benchmark.served("nonsense"),
    ):
        pass
