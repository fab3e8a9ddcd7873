"""A training that is killed at twenty moments, in writes and between them, ends as if nothing had been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model import ComDefend
from model.train import checkpoint
from tests.conftest import ROOT
from tests.killed import SLOW_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.processes]

MOMENTS = [*["began"] * 8, *["write"] * 6, *["swap"] * 6]
"""After what each kill comes, within the time that a slow write takes, or a few steps."""


class Trainings:
    """The process that trains in copies of itself."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "killed.py")], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def begin(self, arguments: list[str]) -> int:
        """The number of the process."""
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return int(self.told("began").split()[1])

    def told(self, word: str) -> str:
        """The next line that begins with a word."""
        for line in self.process.stdout:
            if line.startswith(word):
                return line
            assert not line.startswith("ended"), f"no {word}: {self.log.read_text()}"
        raise AssertionError(self.log.read_text())


@pytest.fixture
def trainings(tmp_path) -> Iterator[Trainings]:
    trainings = Trainings(tmp_path)
    yield trainings
    trainings.process.stdin.close()
    trainings.process.stdout.close()
    trainings.process.wait(60)


def test_twenty_kills_lose_nothing(dataset, tmp_path, trainings):
    def options(out: Path, *more: str) -> list[str]:
        return ["--train", "codec", "--data", str(dataset), "--out", str(out), "--batch-size", "8",
                "--device", "cpu", "--precision", "float32", *more]  # fmt: skip

    before, unbroken, out = (tmp_path / name for name in ("before", "unbroken", "out"))
    for made, epochs in ((before, "1"), (unbroken, "8")):
        trainings.begin(options(made, "--epochs", epochs))
        assert trainings.told("ended").split()[1] == "0", trainings.log.read_text()
    shutil.copytree(before, out)
    kept = tmp_path / "runs" / "out" / "checkpoint.safetensors"
    rng = np.random.default_rng(0)
    for moment in [*rng.permutation(MOMENTS[:14]), *MOMENTS[14:]]:
        begin = ["--resume"] if kept.exists() else ["--epochs", "8"]
        number = trainings.begin(options(out, "--force", *begin))
        if moment == "began":
            time.sleep(rng.uniform(0, 5 * SLOW_SECONDS))
        else:
            trainings.told(moment)
            time.sleep(rng.uniform(0, 2 * SLOW_SECONDS))
        os.kill(number, signal.SIGKILL)
        assert trainings.told("ended").split()[1] == str(-signal.SIGKILL), trainings.log.read_text()
        if kept.exists():
            checkpoint.read_run_state(kept)
        ComDefend.from_pretrained(out if out.exists() else tmp_path / ".out.old")
    trainings.begin(options(out, "--force", "--resume"))
    assert trainings.told("ended").split()[1] == "0", trainings.log.read_text()
    one, other, old = (load_file(folder / "model.safetensors") for folder in (unbroken, out, before))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(old[name], other[name]) for name in one)
    assert {path.name for path in tmp_path.iterdir()} == {"before", "unbroken", "out", "runs", "log"}
    left = {path.name for path in kept.parent.iterdir()}
    left -= {name for name in left if name.endswith(".tmp")}  # a later writer's to sweep
    assert left <= {"checkpoint.safetensors", "model"}
