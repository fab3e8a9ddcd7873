"""The cost table: that it counts right, and that the command runs, compiled or not."""

import pytest
import torch

from model.train import cost
from tests.conftest import script, ticking


def test_operations_are_counted_forth_and_back():
    """A convolution of 4x4 pixels, 3 to 8 channels, 3x3: a multiply-add is two operations."""
    conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    x = torch.rand(2, 3, 4, 4)
    once = 2 * 2 * 16 * 8 * 3 * 9
    with torch.no_grad():
        assert cost.counted(lambda: conv(x)) == once
    assert cost.counted(lambda: conv(x).sum().backward()) == 2 * once  # nothing wants the picture's gradient
    leaf = x.clone().requires_grad_()
    assert cost.counted(lambda: torch.autograd.grad(conv(leaf).sum(), leaf)) == 2 * once


def test_a_rate_is_operations_over_seconds():
    assert cost.Cost(100.0, 2e9).rate == 2e11


RATE = 2 * 64**3 / 0.5
"""Operations a second of the yardstick, which takes half a second."""
BOTH = {
    "small codec": ("codec", {"com": (4, 12), "rec": (4, 3)}),
    "both": ("robust", {"start": "", "arch": "tiny"}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("measured", "more"), [(BOTH, []), ({"alone": BOTH["small codec"]}, ["--compile"])])
def test_the_command_prints_a_table_and_where_the_time_goes(
    monkeypatch, capsys, tiny_weights, measured, more
):
    monkeypatch.setitem(cost.SIZES, "cpu", cost.Size(64, 4, 1, 1))
    monkeypatch.setattr(cost, "MEASURED", measured)
    assert cost.main("cpu", bool(more), ticking(0.5)) == 0
    out = capsys.readouterr().out
    for name in measured:
        for kind in ("training", "inference"):
            (line,) = (line for line in out.splitlines() if line.startswith(f"| {name} | {kind} |"))
            _, _, _, pictures, gflop, tflops, share, _ = (cell.strip() for cell in line.split("|"))
            assert pictures == "8"  # a batch of four in half a second
            assert float(tflops) == pytest.approx(8 * float(gflop) / 1e3, rel=0.01)
            assert float(share.rstrip("%")) / 100 == pytest.approx(
                float(tflops) * 1e12 / RATE, rel=0.01, abs=0.006
            )
        assert f"- {name}: " in out
    assert (", compiled" in out) == bool(more)


@pytest.mark.parametrize("device", ["nonsense", "meta"])
def test_a_device_that_cannot_be_measured_is_one_sentence(capsys, device):
    assert script().main(["--benchmark", "compute", "--device", device]) == 1
    assert f"'{device}'" in capsys.readouterr().err
