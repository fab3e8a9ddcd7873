import contextlib

import pytest
import torch

from app import benchmark


def test_the_median_ignores_the_first_call():
    calls = []
    assert benchmark.median_seconds(lambda: calls.append(1), repeats=3) >= 0
    assert len(calls) == 4


def test_both_ways_of_calling_the_codec_are_timed(codec):
    fast, naive = benchmark.codec_speeds(codec, torch.device("cpu"), count=4)
    assert fast > 0
    assert naive > 0


def test_every_defence_is_timed():
    found = benchmark.defence_milliseconds(torch.device("cpu"), count=2)
    assert {"comdefend-cifar10", "comdefend-cifar10-purify", "jpeg-75", "median-3"} <= set(found)
    assert all(milliseconds > 0 for milliseconds in found.values())


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


def test_what_needs_no_model_is_timed_on_a_page_with_a_run(server):
    seconds = benchmark.interaction_seconds(server)
    assert list(seconds) == ["choosing a picture", "choosing an attack", "comparing two other pictures"]
    assert all(value > 0 for value in seconds.values())


def test_a_page_that_does_not_start_says_why():
    with (
        pytest.raises(RuntimeError, match="the device 'nonsense' cannot be used"),
        benchmark.served("nonsense"),
    ):
        pass
