import contextlib
import itertools
from collections.abc import Callable

import pytest
import torch

from app import benchmark, page_client, timing
from app.scenario import Scenario


def each_takes(seconds: float) -> Callable[[], float]:
    """A clock by which whatever is timed takes so long."""
    return itertools.count(step=seconds).__next__


def test_the_median_ignores_the_first_call():
    now = 0
    waits = iter([100, 3, 1, 2])

    def action() -> None:
        nonlocal now
        now += next(waits)

    assert timing.median_seconds(action, repeats=3, clock=lambda: now) == 2
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
    monkeypatch.setattr(benchmark, "shown_ratio", lambda lab, picture, scenario: 1.1)
    monkeypatch.setattr(benchmark, "opening_seconds", lambda address: 0.7)
    monkeypatch.setattr(benchmark, "answer_seconds", lambda *_: (0.3, 1.2))
    monkeypatch.setattr(benchmark, "defence_milliseconds", lambda device: {"jpeg-75": 0.25})
    assert benchmark.main("cpu") == 0
    printed = capsys.readouterr().out
    for part in (
        "the page answers | 0.0 s |", "choosing | 12 ms |", "CIFAR-10 run, PGD-10, grey-box | 0.50 s",
        "Photograph run, FGSM, adaptive | 0.50 s", "Photograph run, BIM-10, grey-box | 0.50 s",
        "light shape, the same | 60 ms", "| 25.0 |", "| 300 pictures/s", "| 3.00 |",
        "first run is there | 0.70 s |",
        "Slider let go, CIFAR-10, PGD-10, grey-box: a picture changes | 0.30 s |",
        "Slider let go, a photograph, BIM-10, adaptive: the verdict | 1.20 s |",
        "The same shown as it goes on, adaptive | 1.10 times |",
        "Defence `jpeg-75`, 32x32 | 0.25 ms/picture",
    ):  # fmt: skip
        assert part in printed


@pytest.mark.server
def test_what_needs_no_model_is_timed_on_a_page_with_a_run(server):
    seconds = page_client.interaction_seconds(server, clock=each_takes(0.5))
    actions = ("choosing a picture", "choosing an attack", "comparing two other pictures")
    assert seconds == dict.fromkeys(actions, 0.5)


@pytest.mark.server
def test_the_opening_and_the_slider_are_timed_on_a_served_page(server):
    assert page_client.opening_seconds(server, clock=each_takes(0.5)) == 0.5
    first, whole = page_client.answer_seconds(
        server, page_client.SMALL_PICTURE, "PGD", "grey-box", clock=each_takes(0.5)
    )
    assert first == 0.5
    assert whole == 1.5  # let go, the picture, and the end


def test_what_it_costs_to_show_a_run_is_compared_with_not_showing_it(monkeypatch):
    class Listened:
        def run(self, picture, scenario):
            now[0] += 2

        def events(self, picture, scenario):
            now[0] += 3
            return iter(())

    now = [0]
    ratio = benchmark.shown_ratio(Listened(), page_client.SMALL_PICTURE, Scenario(), clock=lambda: now[0])
    assert ratio == 1.5


@pytest.mark.processes
def test_a_page_that_does_not_start_says_why():
    with (
        pytest.raises(RuntimeError, match="the device 'nonsense' cannot be used"),
        benchmark.served("nonsense"),
    ):
        pass
