"""``python app.py --benchmark``: how fast this machine does what a visitor waits for."""

import copy
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from app.images import open_picture
from app.lab import Lab, Scenario
from app.ui import example_pictures
from model.checkpoint import REPOSITORY
from model.comdefend import ComDefend
from model.device import device_name

START_LIMIT_SECONDS = 120
BATCH = 16
"""Larger batches of 32x32 pictures fall out of a CPU's cache: on two cores, 125 pictures/s with 16
became 97 with 64."""


def median_seconds(action: Callable[[], object], repeats: int = 5) -> float:
    """Median duration after one unmeasured call."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def seconds_until_page(device: str) -> float:
    """From ``python app.py`` in a new process until the page answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(REPOSITORY / "app.py"), "--port", str(port), "--device", device]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            while time.perf_counter() - start < START_LIMIT_SECONDS and process.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                        return time.perf_counter() - start
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
            raise RuntimeError("the page did not start; run `python app.py` to see why")
        finally:
            process.terminate()


def run_seconds(lab: Lab, picture: Path, scenario: Scenario) -> float:
    """One run of the lab on an example."""
    image = open_picture(picture)
    return median_seconds(lambda: lab.run(image, scenario))


def codec_speeds(codec: ComDefend, device: torch.device, count: int = 64) -> tuple[float, float]:
    """Pictures per second of compress + reconstruct: (as the lab calls it, naively)."""
    x = torch.rand(count, 3, 32, 32, device=device)
    naive = copy.deepcopy(codec).to(memory_format=torch.contiguous_format)
    batches = x.contiguous(memory_format=torch.channels_last).split(BATCH)

    def wait(result: Tensor) -> None:
        result.sum().item()  # a GPU answers when it is asked for a value

    def one_by_one() -> None:
        for picture in x:
            wait(naive.reconstruct(naive.compress(picture[None])))

    def in_batches() -> None:
        for batch in batches:
            wait(codec.reconstruct(codec.compress(batch)))

    return count / median_seconds(in_batches), count / median_seconds(one_by_one, repeats=3)


def main(device: str = "auto") -> int:
    """Measure, and print a table; the exit status."""
    page = seconds_until_page(device)
    lab = Lab(device)
    picture = Path(example_pictures()[0][0])
    grey = run_seconds(lab, picture, Scenario(threat_model="grey-box"))
    adaptive = run_seconds(lab, picture, Scenario(threat_model="adaptive"))
    fast, naive = codec_speeds(lab.codec(Scenario.codec), lab.device)
    cores = torch.get_num_threads()
    print(f"On {device_name(lab.device)}, {cores} threads, torch {torch.__version__}; medians.\n")
    rows = [
        ("`python app.py` until the page answers", f"{page:.1f} s"),
        ("CIFAR-10 run, PGD-10, grey-box", f"{grey:.2f} s"),
        ("CIFAR-10 run, PGD-10, adaptive", f"{adaptive:.2f} s"),
        (f"Codec, 32x32, batches of {BATCH}, channels-last", f"{fast:.0f} pictures/s"),
        ("The same network, one at a time, contiguous, float32", f"{naive:.0f} pictures/s"),
        ("Ratio of the two", f"{fast / naive:.2f}"),
    ]
    print("| what | measured |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    return 0
