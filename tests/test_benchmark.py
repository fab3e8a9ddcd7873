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


def test_the_table_has_every_row(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "seconds_until_page", lambda device: 12.3)
    monkeypatch.setattr(benchmark, "codec_speeds", lambda codec, device: (300.0, 100.0))
    monkeypatch.setattr(benchmark, "run_seconds", lambda lab, picture, scenario: 0.5)
    assert benchmark.main("cpu") == 0
    printed = capsys.readouterr().out
    for part in ("| 12.3 s |", "grey-box | 0.50 s", "adaptive | 0.50 s", "| 300 pictures/s", "| 3.00 |"):
        assert part in printed
