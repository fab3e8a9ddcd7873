"""``python app.py --benchmark``: how fast this machine does what a visitor waits for."""

import copy
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import Tensor

from app.images import open_picture
from app.lab import Lab
from app.page.text import PAIRS
from app.scenario import Scenario
from app.uploads import EXAMPLES
from model import files
from model.attacks import ATTACKS
from model.comdefend import ComDefend
from model.defences import DEFENCES, Defence, load_defence
from model.device import device_name
from model.evaluate.systems import ready
from model.zoo import CODECS, FAITHFUL, default_codec

START_LIMIT_SECONDS = 120
BATCH = 16
"""Larger batches of 32x32 pictures fall out of a CPU's cache: on two cores, 125 pictures/s with 16
became 97 with 64."""
SESSION = "benchmark"
SMALL_PICTURE, PHOTOGRAPH = EXAMPLES / "airplane.png", EXAMPLES / "espresso.jpg"


Clock = Callable[[], float]
"""Tells seconds."""


def median_seconds(action: Callable[[], object], repeats: int = 5, clock: Clock = time.perf_counter) -> float:
    """Median duration after one unmeasured call."""
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


@contextmanager
def served(device: str, program: list[str] | None = None, folder: Path | None = None) -> Iterator[str]:
    """The address of the lab, served by a new process, once its page answers.

    Args:
        device: to compute on.
        program: the command without its options, if not the ``python app.py`` of this very code.
        folder: where to start it. By default not the repository's, since nothing may depend on that.

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
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    folder = folder or Path(tempfile.gettempdir())
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder) as process,
    ):
        try:
            while not _answers(address):
                if process.poll() is not None or time.perf_counter() - start > START_LIMIT_SECONDS:
                    log.seek(0)
                    raise RuntimeError(f"the page did not start:\n{log.read().decode()}")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.TransportError:
        return False


class PageClient:
    """Triggers events of a served page as a browser does, also those that are no API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        config = self._http.get("/config").json()
        names = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        self._events: dict[tuple[str | None, str], int] = {}
        self._names: dict[str, int] = {}
        for event in config["dependencies"]:
            self._names[event["api_name"]] = event["id"]
            for component, trigger in event["targets"]:
                self._events[names.get(component), trigger] = event["id"]

    def upload(self, picture: Path) -> dict[str, Any]:
        """A picture as the value of a component."""
        with picture.open("rb") as file:
            (path,) = self._http.post("/gradio_api/upload", files={"files": file}).json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def trigger(self, component: str, event: str, *data: object) -> Any:
        """An event that does not queue; the outputs' new values."""
        return self._post("/gradio_api/run/predict", self._events[component, event], data)["data"]

    def queue(self, callback: str, *data: object) -> None:
        """An event that queues, to its end."""
        self._post("/gradio_api/queue/join", self._names[callback], data)
        with self._http.stream("GET", f"/gradio_api/queue/data?session_hash={SESSION}") as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:") or "{}")
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(f"{callback} failed: {message['output']}")
                    return

    def _post(self, path: str, event: int, data: tuple[object, ...]) -> Any:
        body = {"fn_index": event, "data": data, "session_hash": SESSION}
        return self._http.post(path, json=body).raise_for_status().json()


def interaction_seconds(address: str, clock: Clock = time.perf_counter) -> dict[str, float]:
    """What a visitor can do on a page that has a photograph's run to show, and that needs no model."""
    with httpx.Client(base_url=address, timeout=300) as http:
        return {name: median_seconds(action, clock=clock) for name, action in _actions(PageClient(http))}


def _actions(page: PageClient) -> list[tuple[str, Callable[[], object]]]:
    default = Scenario()
    picture = page.upload(PHOTOGRAPH)
    pairs = list(PAIRS)
    page.queue(
        "attack", picture, default.classifier, "FGSM", default.threat_model, default.epsilon, None, "", 0,
        default.codec, 100, pairs[0],
    )  # fmt: skip
    return [
        (
            "choosing a picture",
            lambda: page.trigger("picture", "change", picture, default.classifier, "", None),
        ),
        ("choosing an attack", lambda: page.trigger("attack", "input", list(ATTACKS)[-1])),
        (
            "comparing two other pictures",
            lambda: page.trigger("pair", "change", None, default.threat_model, pairs[1]),
        ),
    ]


def run_seconds(lab: Lab, picture: Path, scenario: Scenario) -> float:
    """One run of the lab on an example."""
    image = open_picture(picture)
    return median_seconds(lambda: lab.run(image, scenario), repeats=3)


def codec_speeds(
    codec: ComDefend, device: torch.device, count: int = 64, clock: Clock = time.perf_counter
) -> tuple[float, float]:
    """Pictures per second of compress + reconstruct: as the lab calls it, and naively."""
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
        defence = ready(load_defence(name).to(device))

        def defend_all(defence: Defence = defence) -> None:
            for batch in batches:
                defence(batch).sum().item()  # a GPU answers when it is asked for a value

        with torch.no_grad():
            found[name] = 1000 * median_seconds(defend_all, clock=clock) / count
    return found


def main(device: str = "auto") -> int:
    """Measure, and print a table; the exit status."""
    rows: list[tuple[str, str]] = []
    start = time.perf_counter()
    with served(device) as address:
        rows.append(("`python app.py` until the page answers", f"{time.perf_counter() - start:.1f} s"))
        for name, seconds in interaction_seconds(address).items():
            rows.append((f"On the page: {name}", f"{1000 * seconds:.0f} ms"))
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
    fast, naive = codec_speeds(lab.codec(FAITHFUL), lab.device)
    rows += [
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
    cores = torch.get_num_threads()
    print(f"On {device_name(lab.device)}, {cores} threads, torch {torch.__version__}; medians.\n")
    print("| what | measured |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    return 0
