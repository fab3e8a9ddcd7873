"""A client that does not wait any more: what it asked for ends."""

import threading
import time
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from PIL import Image

from app.handlers import endpoints
from app.handlers.visitors import Visitors
from app.server.leaving import Leaving, leaving_of
from app.server.scope import LEAVING
from model.attacks import AttackCancelled
from tests.conftest import ROOT

API = "/gradio_api"
LONG = [
    {"path": str(ROOT / "app" / "examples" / "espresso.jpg")},
    "imagenet", "PGD", "adaptive", 4, 200, None, 0, "auto", None,
]  # fmt: skip
"""A run of a minute and more."""
PATIENCE_S = 60
SOON_S = 5
"""A second is what it takes; a busy machine may need some more."""


def request(session: str | None = None, leaving: Leaving | None = None) -> gr.Request:
    found = gr.Request(session_hash=session)
    found.request = SimpleNamespace(scope={LEAVING: leaving})  # type: ignore[assignment]
    return found


def is_stopped(watch) -> bool:
    try:
        watch.check()
    except AttackCancelled:
        return True
    return False


def test_whoever_comes_to_ask_after_it_has_left_is_told_at_once():
    leaving, done = Leaving(), []
    leaving.then(lambda: done.append("first"))
    assert done == []
    leaving.leave()
    leaving.leave()
    leaving.then(lambda: done.append("second"))
    assert done == ["first", "second"]


def test_a_request_without_a_connection_of_its_own_has_nobody_to_leave():
    assert leaving_of(gr.Request()) is None
    assert leaving_of(request()) is None
    assert leaving_of(None) is None


def test_all_runs_of_who_leaves_end_and_nobody_elses():
    visitors = Visitors(300)
    with (
        visitors.watching(request("a")) as one,
        visitors.watching(request("a")) as two,
        visitors.watching(request("b")) as other,
        visitors.watching(request()) as nameless,
    ):
        visitors.leave("nobody")
        visitors.leave("a")
        visitors.stop(request())
        assert [is_stopped(watch) for watch in (one, two, other, nameless)] == [True, True, False, False]
        visitors.stop_all()
        assert is_stopped(other)
        assert is_stopped(nameless)


def test_a_run_ends_when_its_own_connection_does():
    visitors, leaving = Visitors(300), Leaving()
    with visitors.watching(request(None, leaving)) as watch, visitors.watching(request()) as other:
        leaving.leave()
        assert is_stopped(watch)
        assert not is_stopped(other)


def test_a_classification_ends_with_its_connection(monkeypatch):
    visitors, leaving = Visitors(300), Leaving()

    def classify(picture, name, watch):
        leaving.leave()
        watch.check()

    monkeypatch.setattr(endpoints, "open_picture", lambda *_: Image.new("RGB", (32, 32)))
    called = endpoints.Endpoints(SimpleNamespace(classify=classify), visitors)
    with pytest.raises(gr.Error, match="This run was stopped"):
        called.classify({}, "cifar10", request(None, leaving))


def going(server: str) -> int:
    return httpx.get(f"{server}/healthz", timeout=PATIENCE_S).json()["going"]


def until(server: str, is_going: bool, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (going(server) > 0) is not is_going:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.server
@pytest.mark.parametrize("way", ["direct", "queue", "two of one session"])
def test_work_ends_with_the_connection(server, way):
    """Through the queue the connection is that of the events; else it is the call's own."""
    begun, leave = threading.Event(), threading.Event()

    def connection() -> None:
        with httpx.Client(base_url=server, timeout=PATIENCE_S) as http:
            if way == "queue":
                event = http.post(f"{API}/call/run", json={"data": LONG}).json()["event_id"]
                path = f"{API}/call/run/{event}"
            else:
                for _ in range(2):
                    http.post(
                        f"{API}/queue/join",
                        json={"data": LONG, "fn_index": index, "session_hash": "leaving"},
                    ).raise_for_status()
                path = f"{API}/queue/data?session_hash=leaving"
            with http.stream("GET", path):
                begun.set()
                leave.wait(PATIENCE_S)

    assert until(server, False, PATIENCE_S)
    index = next(
        each["id"]
        for each in httpx.get(f"{server}/config", timeout=PATIENCE_S).json()["dependencies"]
        if each["api_name"] == "run"
    )
    if way == "direct":
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server}{API}/run/run", json={"data": LONG}, timeout=3)
    else:
        client = threading.Thread(target=connection)
        client.start()
        assert begun.wait(PATIENCE_S)
        assert until(server, True, PATIENCE_S)
        leave.set()
        client.join(PATIENCE_S)
    assert until(server, False, SOON_S)


@pytest.mark.server
def test_who_stays_is_not_taken_for_one_who_left(server):
    data = [{"path": str(ROOT / "app" / "examples" / "ship.png")}, *LONG[1:]]
    data[1:6] = "cifar10", "PGD", "adaptive", 8, 40
    answer = httpx.post(f"{server}{API}/run/run", json={"data": data}, timeout=PATIENCE_S)
    assert answer.json()["data"][-1]["scenario"]["steps"] == 40
