"""A server that is told to end, while somebody's run is going."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.handlers.errors import CLOSING
from tests.conftest import ROOT, until

pytestmark = [pytest.mark.server, pytest.mark.processes, pytest.mark.slow]

API = "/gradio_api"
PHOTOGRAPH = {"path": str(ROOT / "app" / "examples" / "espresso.jpg")}
PATIENCE_S = 120


class Server:
    """A process that serves, and its client."""

    def __init__(self, uploads: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.log = uploads.with_suffix(".log")
        with self.log.open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py"), "--device", "cpu", "--port", str(port), *options],
                env={**os.environ, "GRADIO_TEMP_DIR": str(uploads)},
                stdout=printed, stderr=printed, cwd=tempfile.gettempdir(),
            )  # fmt: skip
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)
        until(lambda: self.health().get("status") == "ok")

    def health(self) -> dict:
        try:
            return self.http.get("/healthz").json()
        except httpx.TransportError:
            assert self.process.poll() is None, self.log.read_text()
            return {}

    def join(self, steps: int) -> str:
        """Begin a run that takes long with many steps; where its events are."""
        data = [PHOTOGRAPH, "imagenet", "PGD", "adaptive", 4, steps, None, 0, "auto", None]
        event = self.http.post(f"{API}/call/run", json={"data": data}).json()["event_id"]
        return f"{API}/call/run/{event}"


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Server]]:
    servers = []

    def started(*options: str) -> Server:
        servers.append(Server(tmp_path / "uploads", *options))
        return servers[-1]

    yield started
    for server in servers:
        server.process.kill()
        server.process.wait()
        server.http.close()


def test_what_is_going_finishes_and_what_is_new_is_refused(start, tmp_path):
    server = start("--limit", f"closing_seconds={PATIENCE_S}")
    (kept,) = (tmp_path / "uploads").iterdir()
    server.http.post(f"{API}/upload", files={"files": ("a.png", b"x")}).raise_for_status()
    events = server.join(20)
    until(lambda: server.health().get("going", 0) > 0)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.health().get("status") == "closing")
    refused = server.http.post(f"{API}/run/classify", json={"data": [PHOTOGRAPH, "auto"]})
    assert refused.json()["error"] == CLOSING
    told = server.http.get(events).text
    assert "event: complete" in told
    assert '"verdict"' in told
    assert server.process.wait(PATIENCE_S) == 0
    assert not kept.exists()
    assert list((tmp_path / "uploads").iterdir()) == []
    lines = [
        line.split(" app.runs ")[1] for line in server.log.read_text().splitlines() if " app.runs " in line
    ]
    (run,) = [line for line in map(json.loads, lines) if line["event"] == "run"]
    assert run["scenario"]["attack"] == "PGD"
    assert run["queue_s"] >= 0
    assert {"event": "refused", "endpoint": "classify"} in map(json.loads, lines)
    assert "espresso" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_what_takes_too_long_is_stopped_and_a_kill_is_cleaned_up_after(start, tmp_path):
    killed = start()
    killed.process.kill()
    killed.process.wait()
    (left,) = (tmp_path / "uploads").iterdir()
    server = start("--limit", "closing_seconds=0.5")
    assert not left.exists()
    server.join(200)
    until(lambda: server.health().get("going", 0) > 0)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    assert list((tmp_path / "uploads").iterdir()) == []
