"""A run shared by two processes of a CPU: the same weights as alone, from the same batches."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.processes]

SMALL = {
    "codec": ["--com", "8,12", "--rec", "8,3"],
    "classifier": ["--arch", "preact-resnet20"],
    "adversarial": ["--arch", "preact-resnet20", "--held-out", "8"],
}
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no",
          "--dynamo_backend", "no", "--main_process_port", "0", "--num_processes"]  # fmt: skip


def train(
    dataset: Path, out: Path, what: str, processes: int, *more: str
) -> subprocess.CompletedProcess[str]:
    launch = [*LAUNCH, str(processes)] if processes > 1 else []
    command = [
        sys.executable, *launch, str(ROOT / "app.py"), "--train", what, "--data", str(dataset),
        "--out", str(out), "--device", "cpu", "--batch-size", "8", *SMALL[what], *more,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def tidy():
    """Names of runs whose checkpoints are removed afterwards."""
    names = []
    yield names
    for name in names:
        shutil.rmtree(ROOT / "runs" / name, ignore_errors=True)


@pytest.mark.parametrize("what", list(SMALL))
def test_two_processes_train_what_one_does(dataset, tmp_path, tidy, what):
    found = {}
    for processes in (1, 2):
        out = tmp_path / f"shared-by-{processes}-{what}"
        tidy.append(out.name)
        done = train(dataset, out, what, processes, "--epochs", "2", "--micro-batches", "2", "--force")
        assert out.is_dir(), done.stdout + done.stderr
        found[processes] = load_file(out / "model.safetensors")
        record = json.loads((out / "history.json").read_text())
        assert (record["processes"], record["recipe"]["micro_batches"]) == (processes, 2)
    compared = [name for name in found[1] if not name.endswith("batches_tracked")]
    assert len(compared) > 7
    for name in compared:
        assert torch.allclose(found[1][name], found[2][name], rtol=1e-3, atol=1e-5), name


def test_processes_that_cannot_share_evenly_are_one_sentence(dataset, tmp_path):
    done = train(dataset, tmp_path / "uneven", "codec", 2, "--epochs", "1", "--micro-batches", "1")
    assert "error: 2 processes cannot share 1 micro-batches evenly" in done.stderr
    assert not (tmp_path / "uneven").exists()


def test_processes_stop_together_and_one_may_go_on_alone(dataset, tmp_path, tidy):
    out = tmp_path / "stopped-together"
    tidy.append(out.name)
    done = train(dataset, out, "codec", 2, "--epochs", "9999", "--stop-after", "0.03")
    assert "2 processes" in done.stdout
    assert "--resume goes on from it" in done.stdout
    assert not out.exists()
    again = train(dataset, out, "codec", 1, "--resume", "--stop-after", "0.03")
    assert "Going on from step" in again.stdout
    assert "--resume goes on from it" in again.stdout
