"""``python app.py --benchmark``: how fast this machine does what a visitor waits for."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
from torch import Tensor

from app import views
from app.events import Frame
from app.images import open_picture
from app.lab import Lab
from app.page_client import (
    PHOTOGRAPH,
    SMALL_PICTURE,
    answer_seconds,
    interaction_seconds,
    opening_seconds,
)
from app.scenario import Scenario
from app.timing import Clock, median_seconds
from model import cores, files
from model.attacks import THREAT_MODELS
from model.comdefend import ComDefend
from model.defences import DEFENCES, Defence, load_defence
from model.device import device_name, frozen
from model.zoo import CODECS, FAITHFUL, default_codec

START_LIMIT_SECONDS = 120
BATCH = 16
"""Larger batches of 32x32 pictures fall out of a CPU's cache: on two cores, 125 pictures/s with 16
became 97 with 64."""


SLIDES = (("CIFAR-10, PGD-10", SMALL_PICTURE, "PGD"), ("a photograph, BIM-10", PHOTOGRAPH, "BIM"))


@contextmanager
def served(
    device: str, program: list[str] | None = None, folder: Path | None = None, log: Path | None = None
) -> Iterator[str]:
    """The address of the lab, served by a new process, once its page answers.

    Args:
        device: to compute on.
        program: the command without its options, if not the ``python app.py`` of this very code.
        folder: where to start it. By default not the repository's, since nothing may depend on that.
        log: where to put what it prints, if anybody wants to read it.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    if program is None:
        script = [str(files.REPOSITORY / "app.py")] if files.IN_CLONE else ["-P", "-m", "app.cli"]
        program = [sys.executable, *script]
    command = [*program, "--device", device]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    start = time.perf_counter()
    folder = folder or Path(tempfile.gettempdir())
    with (
        tempfile.TemporaryFile() if log is None else log.open("w+b") as printed,
        subprocess.Popen(command, stdout=printed, stderr=printed, env=environment, cwd=folder) as process,
    ):
        try:
            while not _answers(address):
                if process.poll() is not None or time.perf_counter() - start > START_LIMIT_SECONDS:
                    printed.seek(0)
                    raise RuntimeError(f"the page did not start:\n{printed.read().decode()}")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.TransportError:
        return False


def run_seconds(lab: Lab, picture: Path, scenario: Scenario) -> float:
    """One run of the lab on an example."""
    image = open_picture(picture)
    return median_seconds(lambda: lab.run(image, scenario), repeats=3)


def shown_ratio(lab: Lab, picture: Path, scenario: Scenario, clock: Clock = time.perf_counter) -> float:
    """How much longer a run takes that is shown as it goes on, its frames drawn: 1.2 is a fifth longer."""
    image = open_picture(picture)

    def shown() -> None:
        for event in lab.events(image, scenario):
            if isinstance(event, Frame):
                views.frame(event)

    return median_seconds(shown, 3, clock) / median_seconds(lambda: lab.run(image, scenario), 3, clock)


def codec_speeds(
    codec: ComDefend, device: torch.device, count: int = 64, clock: Clock = time.perf_counter
) -> tuple[float, float]:
    """Pictures per second of compress + reconstruct: as the lab calls it, and naively."""
    x = torch.rand(count, 3, 32, 32, device=device)
    naive = ComDefend(codec.config).eval().requires_grad_(False).to(device)
    naive.load_state_dict(codec.state_dict())  # whose memory is laid out another way
    batches = x.contiguous(memory_format=torch.channels_last).split(BATCH)

    def wait(result: Tensor) -> None:
        result.sum().item()  # a GPU answers when it is asked for a value

    def one_by_one() -> None:
        for picture in x:
            wait(naive.reconstruct(naive.compress(picture[None])))

    def in_batches() -> None:
        for batch in batches:
            wait(codec.reconstruct(codec.compress(batch)))

    batched = median_seconds(in_batches, clock=clock)
    single = median_seconds(one_by_one, repeats=3, clock=clock)
    return count / batched, count / single


def photograph_seconds(codec: ComDefend, device: torch.device) -> float:
    """Compress + reconstruct of one picture of 224x224, as the lab does it."""
    x = torch.rand(1, 3, 224, 224, device=device)
    return median_seconds(lambda: codec.reconstruct(codec.compress(x)).sum().item())


def defence_milliseconds(
    device: torch.device, count: int = 64, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """What each defence costs for a picture of 32x32 pixels, in batches, by name."""
    batches = torch.rand(count, 3, 32, 32, device=device).split(BATCH)
    found = {}
    for name in (*CODECS, *(name for name in DEFENCES if name != "none")):
        defence = frozen(load_defence(name).to(device))

        def defend_all(defence: Defence = defence) -> None:
            for batch in batches:
                defence(batch).sum().item()  # a GPU answers when it is asked for a value

        with torch.no_grad():
            found[name] = 1000 * median_seconds(defend_all, clock=clock) / count
    return found


def _parts(lab: Lab) -> list[tuple[str, str]]:
    """What codecs and defences cost alone."""
    fast, naive = codec_speeds(lab.codec(FAITHFUL), lab.device)
    rows = [
        (f"Codec, 32x32, batches of {BATCH}, channels-last", f"{fast:.0f} pictures/s"),
        ("The same network, one at a time, contiguous, float32", f"{naive:.0f} pictures/s"),
        ("Ratio of the two", f"{fast / naive:.2f}"),
    ]
    paper_seconds, light_seconds = (
        photograph_seconds(lab.codec(name), lab.device) for name in (FAITHFUL, default_codec("photographs"))
    )
    rows += [
        ("Codec of the paper's shape, a picture of 224x224", f"{1000 * paper_seconds:.0f} ms"),
        ("Codec of the light shape, the same", f"{1000 * light_seconds:.0f} ms"),
        ("Ratio of the two", f"{paper_seconds / light_seconds:.1f}"),
    ]
    for name, milliseconds in defence_milliseconds(lab.device).items():
        rows.append((f"Defence `{name}`, 32x32", f"{milliseconds:.2f} ms/picture"))
    return rows


def main(device: str = "auto") -> int:
    """Measure, and print a table; the exit status."""
    rows: list[tuple[str, str]] = []
    start = time.perf_counter()
    with served(device) as address:
        rows.append(("`python app.py` until the page answers", f"{time.perf_counter() - start:.1f} s"))
        for name, seconds in interaction_seconds(address).items():
            rows.append((f"On the page: {name}", f"{1000 * seconds:.0f} ms"))
        rows.append(("Page opened until its first run is there", f"{opening_seconds(address):.2f} s"))
        for what, picture, attack in SLIDES:
            for threat_model in THREAT_MODELS:
                first, whole = answer_seconds(address, picture, attack, threat_model)
                rows += [
                    (f"Slider let go, {what}, {threat_model}: a picture changes", f"{first:.2f} s"),
                    (f"Slider let go, {what}, {threat_model}: the verdict", f"{whole:.2f} s"),
                ]
    cores.one_for_each()  # as in a server
    lab = Lab(device)
    for what, picture, attack, steps in (
        ("CIFAR-10 run, PGD-10", SMALL_PICTURE, "PGD", 10),
        ("Photograph run, FGSM", PHOTOGRAPH, "FGSM", None),
        ("Photograph run, BIM-10", PHOTOGRAPH, "BIM", 10),
    ):
        for scenario in (
            Scenario(attack=attack, steps=steps, threat_model="grey-box"),
            Scenario(attack=attack, steps=steps, threat_model="adaptive"),
        ):
            seconds = run_seconds(lab, picture, scenario)
            rows.append((f"{what}, {scenario.threat_model}", f"{seconds:.2f} s"))
            if steps is not None:
                ratio = shown_ratio(lab, picture, scenario)
                rows.append((f"The same shown as it goes on, {scenario.threat_model}", f"{ratio:.2f} times"))
    with cores.all_of_them():
        rows += _parts(lab)
    print(f"On {device_name(lab.device)}, {cores.COUNT} threads, torch {torch.__version__}; medians.\n")
    print("| what | measured |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    return 0
