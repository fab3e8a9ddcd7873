"""The short form of the load test: ten visitors for twenty seconds, none of them refused."""

import csv
import subprocess
import sys

import pytest

from app.benchmark import served
from tests.conftest import ROOT

pytestmark = [pytest.mark.server, pytest.mark.processes, pytest.mark.slow]
LOCUST = [
    sys.executable,
    "-m",
    "locust",
    "--locustfile",
    "tests/load/locustfile.py",
    "--headless",
    "--only-summary",
]


def test_ten_visitors_at_once_are_all_served(tmp_path):
    with served("cpu") as address:
        done = subprocess.run(
            [*LOCUST, "--users", "10", "--spawn-rate", "10", "--run-time", "20s", "--stop-timeout", "60",
             "--csv", str(tmp_path / "load"), "--host", address],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "load_stats.csv").open() as file:
        counts = {
            row["Name"]: (int(row["Request Count"]), int(row["Failure Count"]))
            for row in csv.DictReader(file)
        }
    assert {name: failed for name, (_, failed) in counts.items() if failed} == {}
    assert counts["run, small"][0] >= 5
    assert counts["run, photograph"][0] >= 1


def test_nobody_elses_server_is_visited():
    done = subprocess.run(
        [*LOCUST, "--users", "1", "--run-time", "1s", "--host", "http://192.0.2.1"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "a loopback address only" in done.stdout + done.stderr
