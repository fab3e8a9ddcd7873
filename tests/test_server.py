"""What stands around Gradio's server: closed addresses, limits, headers, and who is asked for anything."""

import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.routes import App

from app.benchmark import served
from app.lab import Lab
from app.page.build import build_demo, launch_options, max_body
from app.server.gate import FAILED, NOT_HERE
from app.server.routes import is_open
from app.uploads import MAX_BYTES
from tests.conftest import ROOT

pytestmark = pytest.mark.server

API = "/gradio_api"
SHIP = {"path": str(ROOT / "app" / "examples" / "ship.png")}
LEAKS = re.compile(r"Traceback|0x[0-9a-f]{6}|site-packages|/home|/root|/tmp|pydantic|<gradio|File \"")
"""What no answer to a stranger may have."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    """A server that is started as anybody starts it; what it opens and what it prints is written down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
        program = [sys.executable, str(ROOT / "tests" / "audited.py"), str(folder / "seen.log"), "app.py"]
        with served("cpu", program, log=folder / "printed.log") as found:
            yield found


@pytest.fixture(scope="module")
def http(address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def config(http) -> dict[str, Any]:
    return http.get("/config").json()


def classified(http: httpx.Client, picture: Any) -> httpx.Response:
    return http.post(f"{API}/run/classify", json={"data": [picture, "auto"]})


def events(http: httpx.Client, endpoint: str, *data: Any) -> str:
    """The stream of a call through the queue."""
    joined = http.post(f"{API}/call/{endpoint}", json={"data": data}).json()
    return http.get(f"{API}/call/{endpoint}/{joined['event_id']}").text


def test_nobody_outside_is_asked_for_anything(http, folder):
    """From the start to a run: Gradio would report the start, and ask for its newest version."""
    assert '"label": "ship"' in events(http, "classify", SHIP, "auto")
    seen = [json.loads(line) for line in (folder / "seen.log").read_text().splitlines()]
    asked = [what for _, event, what in seen if event in ("socket.connect", "socket.getaddrinfo")]
    assert asked  # Gradio asks its own server to begin
    assert [what for what in asked if not re.match(r"\('127\.0\.0\.1'|127\.0\.0\.1$|localhost$", what)] == []


@pytest.mark.parametrize("path", ["/", "/config", f"{API}/info"])
def test_what_is_large_comes_compressed_where_that_is_accepted(http, path):
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in packed.headers["vary"].lower()
        data = b"".join(packed.iter_raw())
    assert len(data) < len(plain.content) / 4
    assert len(gzip.decompress(data)) == pytest.approx(len(plain.content), rel=0.01)


def test_events_come_one_by_one_and_uncompressed(http):
    joined = http.post(f"{API}/call/scenarios", json={"data": []}).json()
    with http.stream(
        "GET", f"{API}/call/scenarios/{joined['event_id']}", headers={"Accept-Encoding": "gzip, br"}
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        assert "event: complete" in "".join(stream.iter_text())
    session = f"{API}/heartbeat/nobody"
    with http.stream("GET", session, headers={"Accept-Encoding": "gzip"}, timeout=5) as stream:
        # Compressed, it would wait for more before it says anything.
        assert next(stream.iter_text()) == "data: ALIVE\n\n"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/monitoring/key"),
        ("POST", f"{API}/process_recording"),
        ("POST", f"{API}/component_server"),
        ("POST", f"{API}/vibe-edit/"),
        ("GET", f"{API}/vibe-code"),
        ("GET", f"{API}/proxy=https://example.hf.space/"),
        ("HEAD", f"{API}/proxy=https://example.hf.space/"),
        ("GET", f"{API}/file=http://127.0.0.1:1/secret"),
        ("GET", f"{API}/file=https://example.com/"),
        ("GET", f"{API}/file=%20HTTPS://example.com/"),
        ("GET", f"{API}/runs"),
        ("GET", f"{API}/dev/reload"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", f"{API}/token"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("POST", "/"),
        ("PUT", "/config"),
        ("TRACE", "/"),
        ("GET", f"/{API}/monitoring"),
        ("GET", "/docs"),
    ],
)
def test_what_is_not_needed_is_closed(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 404
    assert method == "HEAD" or answer.json()["detail"] == NOT_HERE


@pytest.fixture(scope="module")
def routed() -> list[tuple[str, str]]:
    """Method and path of all that Gradio would answer, with something in the place of each parameter."""
    options = launch_options()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_MCP_SERVER", "False")
        app = App.create_app(build_demo(Lab("cpu")), app_kwargs=options["app_kwargs"])
    found = []
    for path, methods in walked(app.routes):
        found += [(method, re.sub(r"{.*?}", "something", path)) for method in methods]
    return found


def walked(routes: list[Any]) -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if hasattr(route, "methods"):
            yield route.path, route.methods or {"GET"}
        else:  # a router in the app; its routes have their whole paths
            yield from walked(getattr(route, "original_router", route).routes)


def test_of_all_routes_only_these_are_open(routed):
    """What another version of Gradio brings is closed until somebody has looked at it."""
    assert len(routed) > 80
    assert {("POST", f"{API}/process_recording"), ("GET", "/monitoring/summary")} <= set(routed)
    assert {f"{method} {path}" for method, path in routed if is_open(method, path)} == {
        "GET /", "HEAD /", "GET /config", "GET /config/", "GET /favicon.ico", "GET /manifest.json",
        "GET /robots.txt", "GET /theme.css", "GET /static/something", "GET /assets/something",
        *(f"GET {API}/{path}" for path in (
            "info", "info/", "app_id", "app_id/", "openapi.json", "theme.css", "startup-events",
            "upload_progress", "queue/data", "queue/status", "heartbeat/something",
            "call/something/something", "call/v2/something/something", "file=something",
        )),
        f"HEAD {API}/file=something",
        *(f"POST {API}/{path}" for path in (
            "upload", "cancel", "queue/join", "reset", "reset/", "run/something", "run/something/",
            "api/something", "api/something/", "call/something", "call/something/", "call/v2/something",
            "call/v2/something/",
        )),
    }  # fmt: skip


def test_the_closed_ones_are_closed_on_the_server(http, routed):
    closed = [(method, path) for method, path in routed if not is_open(method, path)]
    assert len(closed) > 30
    for method, path in closed:
        answer = http.request(method, path)
        assert answer.status_code == 404, (method, path)
        assert method == "HEAD" or answer.json()["detail"] == NOT_HERE


def test_a_body_that_is_too_large_is_not_read(http):
    limit = max_body(f"{API}/queue/join")
    for path in (f"{API}/queue/join", f"{API}/run/classify", f"{API}/call/classify", f"{API}/cancel"):
        answer = http.post(path, content=b'{"data": ["' + b"x" * limit + b'"]}')
        assert answer.status_code == 413
        assert "limit is" in answer.json()["detail"]

    def endless() -> Iterator[bytes]:  # nothing says how long it will be
        for _ in range(limit // 2**20 + 8):
            yield b"x" * 2**20

    answer = http.post(f"{API}/call/classify", content=endless())
    assert answer.status_code == 413


def test_an_upload_is_one_file_and_not_too_large(http):
    large = bytes(MAX_BYTES)
    assert http.post(f"{API}/upload", files={"files": ("a.png", large)}).is_success
    two = [("files", ("a.png", large)), ("files", ("b.png", large))]
    assert http.post(f"{API}/upload", files=two).status_code == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("run/classify", {"data": []}),
        ("run/classify", {"data": "x"}),
        ("run/classify", {"data": None}),
        ("run/classify", []),
        ("run/classify", {}),
        ("run/classify", {"data": [SHIP, "auto"], "session_hash": {"a": 1}}),
        ("run/classify", {"data": [SHIP, "auto"], "fn_index": 10**9}),
        ("run/classify", {"data": [SHIP, "auto"], "fn_index": -1, "session_hash": "a"}),
        ("run/classify", {"data": [SHIP, "auto"], "trigger_id": "x"}),
        ("run/classify", {"data": [SHIP, "auto"], "event_data": [1]}),
        ("run/classify", {"data": [SHIP, "auto"], "batched": True}),
        ("run/nobody", {"data": []}),
        ("run/predict", {"data": []}),
        ("call/nobody", {"data": []}),
        ("call/classify", {"data": {"a": 1}}),
        ("call/v2/nobody", {"image": 1}),
        ("call/v2/classify", {"nonsense": 1}),
        ("call/v2/classify", [1]),
        ("queue/join", {"data": []}),
        ("queue/join", {"data": [], "fn_index": 10**9, "session_hash": "x"}),
        ("queue/join", {"data": [], "fn_index": "x", "session_hash": "x"}),
        ("cancel", {"session_hash": "x"}),
        ("cancel", {"session_hash": "x", "fn_index": 0, "event_id": "x"}),
        ("reset", {"event_id": 7}),
    ],
)
def test_a_bad_call_is_a_sentence_and_leaves_no_traceback(http, quiet, path, body):
    answer = http.post(f"{API}/{path}", json=body)
    assert answer.status_code < 500
    assert not LEAKS.search(answer.text), answer.text
    if answer.is_error:
        told = answer.json()
        sentence = told.get("detail") or told["error"]
        assert isinstance(sentence, str)
        assert sentence.rstrip("'").endswith((".", "!", "?")), sentence
        assert FAILED not in sentence
    quiet()


@pytest.fixture
def quiet(folder: Path) -> Callable[[], None]:
    """Asserts that nothing was logged in full since the test began."""
    printed = folder / "printed.log"
    begun = printed.stat().st_size

    def check() -> None:
        time.sleep(0.2)
        assert "Traceback" not in printed.read_text()[begun:]

    return check


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN", b'{"data": 1e999}'])
def test_what_is_no_json_is_a_sentence(http, quiet, content):
    for path in ("run/classify", "call/classify", "queue/join", "call/v2/classify"):
        answer = http.post(f"{API}/{path}", content=content, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500
        told = answer.json()
        assert isinstance(told.get("detail") or told["error"], str)
        assert not LEAKS.search(answer.text)
    quiet()


def odd_values() -> list[Any]:
    return [
        None, True, -1, 1e308, "", "x" * 10_000, [], [[]], {}, {"a": {"b": []}}, "\ud800", "\0",
        {"__type__": "update", "value": 1}, {"value": 7}, ["auto"], {"_type": "gradio.FileData"},
    ]  # fmt: skip


def test_odd_values_in_every_field_are_sentences(http, quiet, config):
    """Of every endpoint, the page's own too, directly and through the queue."""
    values = {part["id"]: part["props"].get("value") for part in config["components"]}
    tried = 0
    for endpoint in config["dependencies"]:
        if not endpoint["backend_fn"]:
            continue
        defaults = [values.get(number) for number in endpoint["inputs"]]
        computes = endpoint["api_name"] in ("run", "attack", "defend", "classify")
        if computes:  # where the value is no mistake, let it be quick
            defaults[0] = SHIP
        if endpoint["api_name"] in ("run", "attack"):
            defaults[2:4] = "FGSM", "grey-box"
        for place in range(len(defaults)):
            for value in odd_values()[:: 4 if computes else 1]:
                data = [*defaults[:place], value, *defaults[place + 1 :]]
                body = {"data": data, "fn_index": endpoint["id"], "session_hash": "odd"}
                answer = http.post(
                    f"{API}/run/predict",
                    content=json.dumps(body),
                    headers={"Content-Type": "application/json"},
                )
                assert answer.status_code < 500, (endpoint["api_name"], place, value, answer.text)
                # A result names its own files, by Gradio's protocol.
                assert answer.is_success or not LEAKS.search(answer.text), answer.text
                tried += 1
    assert tried > 150
    quiet()


def test_too_few_values_through_the_queue_are_a_sentence(http, quiet):
    for data in ([], [SHIP], [{"path": 7}, "auto"], [None, {"a": 1}]):
        told = events(http, "run", *data)
        assert "event: error" in told
        assert not LEAKS.search(told), told
    assert "run takes 10 values, and got 0" in events(http, "run")
    quiet()


def test_too_few_values_of_what_says_that_it_is_a_batch_are_no_error_of_ours(http, quiet):
    answer = http.post("/gradio_api/run/run", json={"data": [], "batched": True})
    assert answer.status_code == 422
    assert "run takes 10 values, and got 0" in answer.text
    quiet()


def test_streams_of_nobody_end_and_leave_no_traceback(http, quiet):
    for path in (
        "queue/data?session_hash=nobody",
        "queue/data",
        "call/run/nobody",
        "call/v2/run/nobody",
        "upload_progress?upload_id=nobody",
        "file=/etc/passwd",
        "file=nobody.png",
        "file=%00",
        "file=" + "a" * 5000,
    ):
        answer = http.get(f"{API}/{path}")
        assert answer.status_code < 500
        assert not LEAKS.search(answer.text), answer.text
    quiet()


def test_every_answer_has_the_headers_of_safety(http):
    upload = http.post(f"{API}/upload", files={"files": ("a.svg", b"<svg onload='alert(1)'/>")}).json()[0]
    for path in ("/", "/config", f"{API}/info", "/theme.css", "/nothing", f"{API}/file={upload}"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy
        assert ("sandbox" in policy) is path.endswith(upload)
    assert "default-src 'self'" in http.get("/").headers["content-security-policy"]


@pytest.mark.parametrize("name", ["TIFF without dimensions", "QOI", "empty TIFF", "TIFF without a height"])
def test_strange_pictures_are_sentences(http, name):
    from tests.strange_pictures import qoi, tiff

    data = {
        "TIFF without dimensions": tiff((258, 8), (262, 1), (273, 100)),
        "empty TIFF": tiff(),
        "TIFF without a height": tiff((256, 8), (258, 8)),
        "QOI": qoi(8, 8),
    }[name]
    upload = http.post(f"{API}/upload", files={"files": ("cat.png", data)}).json()[0]
    answer = classified(http, {"path": upload})
    assert answer.status_code == 422
    assert "not a picture that can be read" in answer.json()["error"]
