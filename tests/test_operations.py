"""What stands around a server, without one: limits, temporary files, closing, what is told of runs."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app

from app.server import leftovers, metrics, routes
from app.server.duty import STEP_SECONDS, Duty
from app.server.gate import FAILED, NOT_HERE, TOO_LARGE, UNREADABLE, Gate
from app.server.runs import Journal
from app.server.scope import ARRIVED, BEGAN, WAITED
from app.settings import Limits, Settings
from tests.conftest import ROOT, finished

# Limits


def test_limits_come_from_options_then_the_environment_then_the_defaults():
    environment = {"COMDEFEND_RUN_SECONDS": "60", "COMDEFEND_WAITING_RUNS": "5", "RUN_SECONDS": "1"}
    limits = Limits.collect(["waiting_runs=7"], environment)
    assert (limits.run_seconds, limits.waiting_runs, limits.file_megabytes) == (60, 7, 20)
    assert limits.file_bytes == 20 * 1024**2
    assert Limits.collect([], {}) == Limits()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("magic=1", "there is no limit 'magic'; there are run_seconds"),
        ("run_seconds", "run_seconds must be a number, got ''"),
        ("run_seconds=soon", "run_seconds must be a number, got 'soon'"),
        ("waiting_runs=1.5", "waiting_runs must be a whole number"),
        ("run_seconds=0", "run_seconds must be from 1 to 86400, got 0"),
        ("run_seconds=nan", "run_seconds must be from 1 to 86400, got nan"),
        ("file_megabytes=-1", "file_megabytes must be from 1 to 1000, got -1"),
    ],
)
def test_an_impossible_limit_is_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        Limits.collect([given], {})


def test_every_limit_is_in_the_documentation_with_its_default():
    text = (ROOT / "docs" / "hosting.md").read_text()
    for name, each in Limits.__dataclass_fields__.items():
        assert f"| `{name}` | {each.default:g} | {each.metadata['about']} |" in text


def test_the_port_of_prometheus_is_a_setting():
    def collected(given: int | None, **environment: str) -> int | None:
        return Settings.collect(None, None, "cpu", False, environment, given).metrics_port

    assert collected(None) is None
    assert collected(None, COMDEFEND_METRICS_PORT="9100") == 9100
    assert collected(9200, COMDEFEND_METRICS_PORT="9100") == 9200
    with pytest.raises(ValueError, match="COMDEFEND_METRICS_PORT must be a number"):
        collected(None, COMDEFEND_METRICS_PORT="many")


def test_a_codec_from_elsewhere_is_a_setting():
    def collected(given: str | None, **environment: str) -> str | None:
        return Settings.collect(None, None, "cpu", False, environment, codec=given).codec

    assert collected(None) is None
    assert collected(None, COMDEFEND_CODEC="someone/codec") == "someone/codec"
    assert collected("other/codec", COMDEFEND_CODEC="someone/codec") == "other/codec"


# Temporary files


def test_a_server_has_a_folder_of_its_own_and_takes_it_along(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    before = tempfile.tempdir
    with leftovers.own_folder() as folder:
        assert folder.parent == tmp_path
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        with tempfile.NamedTemporaryFile(delete=False) as file:
            assert Path(file.name).parent == folder
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)
    assert tempfile.tempdir == before


def test_what_a_killed_server_left_goes_and_a_living_ones_stays(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from app.server.leftovers import own_folder\n"
        "with own_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'upload.png').write_text('x'); print(folder, flush=True); time.sleep(600)"
    )
    folders, processes = [], []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        folders.append(Path(process.stdout.readline().strip()))
        processes.append(process)
    stranger = tmp_path / "comdefend-lab-of-nobody"
    stranger.mkdir()  # without a lock, it is none of ours
    try:
        processes[0].kill()
        processes[0].wait()
        assert (folders[0] / "upload.png").is_file()
        assert leftovers.sweep(tmp_path) == [folders[0]]
        assert sorted(tmp_path.iterdir()) == sorted([folders[1], stranger])
        assert (folders[1] / "upload.png").is_file()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_old_files_that_gradio_knows_nothing_of_are_removed(tmp_path, monkeypatch):
    """Of an upload that was broken off, say: until the server ends, nobody else would."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with leftovers.own_folder() as folder:
        demo = gr.Blocks()
        demo.temp_file_sets.append(leftovers.Strays(folder))
        upload, deep = folder / "tmp123", folder / "a" / "b.png"
        deep.parent.mkdir()
        for path in (upload, deep):
            path.write_bytes(b"x")
        os.mkfifo(folder / "fifo")
        (folder / "link").symlink_to(ROOT / "README.md")
        delete_files_created_by_app(demo, age=3600)
        assert deep.is_file()
        assert upload.is_file()
        demo.keep_in_cache.add(str(deep))
        demo.blocks[0] = demo
        delete_files_created_by_app(demo, age=-1)
        left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        assert left == [leftovers.LOCK, "a", "a/b.png", "fifo", "link"]
        (folder / "new").touch()  # it is looked at anew each time
        delete_files_created_by_app(demo, age=-1)
        assert not (folder / "new").exists()


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / leftovers.LOCK).touch()
    base = tmp_path / "base"
    base.mkdir()
    (base / "comdefend-lab-link").symlink_to(target)
    assert leftovers.sweep(base) == []
    assert (target / leftovers.LOCK).exists()


# Closing


def test_closing_waits_for_what_goes_on_but_not_for_ever():
    now = 0.0
    duty = Duty(clock=lambda: now, sleep=lambda seconds: pass_time(seconds))
    held = duty.working()
    ends = 3.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now >= ends and duty.going:
            held.__exit__(None, None, None)

    held.__enter__()
    assert not duty.is_closing
    duty.close()
    assert duty.is_closing
    assert not duty.is_idle_within(2)
    assert now == pytest.approx(2, abs=0.06)
    assert not duty.is_idle_within(100, hurried=lambda: now > 2.5)
    assert now < 3
    assert duty.is_idle_within(20)
    assert now == pytest.approx(3 + STEP_SECONDS, abs=0.11)
    assert duty.is_idle_within(0)


def test_closing_is_not_taken_in_by_a_gap_between_two_steps():
    now = 0.0
    duty = Duty(clock=lambda: now, sleep=lambda seconds: pass_time(seconds))
    steps = [duty.working(), duty.working()]
    steps[0].__enter__()

    def pass_time(seconds: float) -> None:
        nonlocal now
        before, now = now, now + seconds
        for at, act in (
            (1.0, lambda: steps[0].__exit__(None, None, None)),
            (1.3, steps[1].__enter__),
            (4.0, lambda: steps[1].__exit__(None, None, None)),
        ):
            if before < at <= now:
                act()

    assert duty.is_idle_within(20)
    assert now >= 4


# What is told of runs


@dataclass(eq=False)
class Found:
    """Like an ``app.scenario.Outcome``."""

    attack: str = "PGD"

    def summary(self) -> dict[str, Any]:
        return {
            "scenario": {"classifier": "cifar10", "attack": self.attack, "threat_model": "adaptive"},
            "predictions": {"original": {"label": "a secret"}},
            "verdict": {"defence_held": False},
            "timings_ms": {"attack": 12.5},
            "device": "cpu",
        }


def test_a_run_is_one_line_of_json_without_a_picture_or_an_address(caplog):
    caplog.set_level(logging.INFO, "app.runs")
    now = 100.0
    journal = Journal(clock=lambda: now)
    found, scope = Found(), {ARRIVED: 100.5, BEGAN: 101.0, WAITED: 0.25}
    now = 102.0
    for _ in range(2):  # a page that is told of it twice is one run
        journal.tell(
            "attack",
            ("status", [found], found.summary(), "<img src='data:image/png;base64,x'>"),
            scope,
        )
    (line,) = caplog.messages
    assert json.loads(line) == {
        "event": "run", "endpoint": "attack", "scenario": found.summary()["scenario"],
        "verdict": {"defence_held": False}, "timings_ms": {"attack": 12.5}, "device": "cpu",
        "queue_s": 0.75, "seconds": 0.75,
    }  # fmt: skip
    caplog.clear()
    journal.tell("run", ("picture", "code.npz", found.summary()), {BEGAN: 101.0})
    assert json.loads(caplog.messages[0])["queue_s"] is None
    caplog.clear()
    journal.tell("classify", ({"label": "cat"},), {BEGAN: 101.0})
    journal.tell("inspect", None, {BEGAN: 101.0})
    assert caplog.messages == []
    Journal(untold=["open"]).tell("open", [Found()], {BEGAN: 101.0})
    assert caplog.messages == []
    journal.ended("run", "refused")
    assert json.loads(caplog.messages[0]) == {"event": "refused", "endpoint": "run"}


def test_prometheus_is_told_of_runs():
    pytest.importorskip("prometheus_client")
    import urllib.request

    listen, port = metrics.start(0, "127.0.0.1", waiting=lambda: 3, going=lambda: 1)
    journal = Journal(listeners=[listen])
    journal.tell("run", (Found(),), {BEGAN: time.monotonic() - 2, ARRIVED: time.monotonic() - 3})
    journal.ended("run", "refused")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        told = answer.read().decode()
    assert 'comdefend_runs_total{attack="PGD",defence_held="false",threat_model="adaptive"} 1.0' in told
    assert 'comdefend_ended_total{endpoint="run",how="refused"} 1.0' in told
    assert "comdefend_waiting 3.0" in told
    assert "comdefend_going 1.0" in told
    assert 'comdefend_queue_seconds_bucket{le="2.5"} 1.0' in told
    assert 'comdefend_run_seconds_bucket{classifier="cifar10",le="1.0"} 0.0' in told


def test_prometheus_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(metrics.MetricsError, match="pip install prometheus-client"):
        metrics.start(0, "127.0.0.1", waiting=lambda: 0, going=lambda: 0)


# The gate, around an app of a few lines


def asked(app: Any, method: str, path: str, *parts: bytes, headers: Any = (), limit: int = 100) -> Any:
    """Status, headers and body that a gate around an app answers."""
    sent: list[dict[str, Any]] = []
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts or (b"",))
    ]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "root_path": ""}
    gate = Gate(app, lambda _: limit, lambda: {"status": "closing"})
    finished(gate(scope, receive, send))
    assert [message["type"] for message in sent].count("http.response.start") == 1
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def never(*_: object) -> None:
    pytest.fail("this was not to be reached")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/monitoring/summary"), ("POST", "/gradio_api/process_recording"), ("GET", "//"),
        ("GET", "/gradio_api/file=http://127.0.0.1/"), ("GET", "/gradio_api/file= hTTps://a/"),
        ("GET", "/gradio_api/file=ftp:/a"), ("GET", "/\n"), ("POST", "/"), ("BREW", "/"), ("GET", ""),
        ("GET", "/static/"), ("POST", "/gradio_api/component_server"), ("GET", "/gradio_api/../monitoring"),
    ],
)  # fmt: skip
def test_closed_addresses_reach_nothing(method, path):
    status, headers, body = asked(never, method, path)
    assert (status, json.loads(body)["detail"]) == (404, NOT_HERE)
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_what_a_proxy_has_before_the_path_does_not_count():
    scope = {"path": "/lab/gradio_api/info", "root_path": "/lab"}
    assert routes.path_of(scope) == "/gradio_api/info"
    assert routes.path_of({"path": "/labour", "root_path": "/lab"}) == "/labour"
    assert routes.path_of({"path": "/lab", "root_path": "/lab/"}) == "/"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    got, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RuntimeError("the client is gone")
        got, more = got + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame", b"1")]})
    await send({"type": "http.response.body", "body": got})


def test_a_body_is_read_up_to_its_limit():
    path = "/gradio_api/queue/join"
    assert asked(echo, "POST", path, b"x" * 60, b"y" * 40)[::2] == (200, b"x" * 60 + b"y" * 40)
    for parts, headers in (((b"x" * 60, b"y" * 41), ()), ((b"",), [(b"content-length", b"101")])):
        status, _, body = asked(echo, "POST", path, *parts, headers=headers)
        assert (status, json.loads(body)["detail"]) == (413, TOO_LARGE.format(100 / 1024**2))


@pytest.mark.parametrize(
    ("error", "status", "sentence", "logged"),
    [
        (KeyError("secret"), 400, UNREADABLE, False),
        (ValueError("/root/secret"), 400, UNREADABLE, False),
        (ZeroDivisionError("secret"), 500, FAILED, True),
        (MemoryError("secret"), 500, FAILED, True),
    ],
)
def test_a_route_that_fails_answers_a_sentence(error, status, sentence, logged, caplog):
    async def failing(*_: object) -> None:
        raise error

    found, _, body = asked(failing, "POST", "/gradio_api/call/run")
    assert (found, json.loads(body)["error"]) == (status, sentence)
    assert b"secret" not in body
    assert any(record.exc_info for record in caplog.records) is logged


def test_a_stream_that_fails_ends_with_a_line_in_the_log(caplog):
    caplog.set_level(logging.INFO, "app.server")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        # As Starlette says it of a stream that has begun.
        raise RuntimeError("already started") from LookupError("nobody")

    assert asked(failing, "GET", "/gradio_api/queue/data")[2] == b"data: x\n\n"
    assert caplog.messages == ["a call failed: GET '/gradio_api/queue/data': LookupError at failing"]


def test_who_watches_is_told_when_it_closes():
    status, _, body = asked(never, "GET", "/healthz")
    assert (status, json.loads(body)) == (503, {"status": "closing"})


def test_signals_end_a_server_and_a_second_one_hurries():
    from app.server.serving import Signals

    before = signal.getsignal(signal.SIGTERM)
    signals = Signals()
    with signals.heard():
        signal.raise_signal(signal.SIGTERM)
        assert signals.told.is_set()
        assert not signals.hurry.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert signals.hurry.is_set()
    assert signal.getsignal(signal.SIGTERM) is before
    signals = Signals()
    with signals.heard():
        signal.raise_signal(signal.SIGINT)
        assert signals.hurry.is_set()
