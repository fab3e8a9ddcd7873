"""What a stranger can do with a file, over plain HTTP against a started server."""

import base64
import http.server
import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import matplotlib
import pytest
from mcp import ClientSession
from PIL import Image

from app.uploads import REFUSAL
from tests.audited import PLANT
from tests.conftest import ROOT
from tests.strange_pictures import many_scans, phone_jpeg, png, postscript
from tests.test_tools import talk

pytestmark = pytest.mark.server

META = {"_type": "gradio.FileData"}
START_SECONDS = 120
PATIENCE_S = 60
"""An answer that has not come by then will not come: the client gives up, and the test has failed."""
EXAMPLES = ROOT / "app" / "examples"


@dataclass
class Lab:
    """A started server, its upload folder, and the log of what it opens."""

    http: httpx.Client
    uploads: Path
    log: Path
    config: dict[str, Any]

    def upload(self, data: bytes, name: str = "cat.png") -> dict[str, Any]:
        (path,) = self.http.post("/gradio_api/upload", files={"files": (name, data)}).json()
        return {"path": path, "meta": META}

    def post(self, address: str, **body: Any) -> httpx.Response:
        # Not by httpx, which refuses what is no proper text.
        content = json.dumps(body)
        return self.http.post(address, content=content, headers={"Content-Type": "application/json"})

    def run(self, endpoint: dict[str, Any], data: list[Any]) -> str:
        """An endpoint by its number, directly: its answer as JSON."""
        return self.post(
            "/gradio_api/run/predict", fn_index=endpoint["id"], data=data, session_hash="stranger"
        ).text

    def join(self, endpoint: dict[str, Any], data: list[Any]) -> str:
        """An endpoint by its number, through the queue: all that is told of it."""
        session = f"queue-{uuid.uuid4().hex}"
        joined = self.post("/gradio_api/queue/join", fn_index=endpoint["id"], data=data, session_hash=session)
        if joined.is_error:
            return joined.text
        return self.http.get("/gradio_api/queue/data", params={"session_hash": session}).text

    def call(self, name: str, *data: Any) -> str:
        """A named endpoint as a script calls it: the stream of its events."""
        joined = self.post(f"/gradio_api/call/{name}", data=data)
        if joined.is_error:
            return joined.text
        return self.http.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}").text

    def classify(self, picture: object) -> str:
        return self.post("/gradio_api/run/classify", data=[picture, "auto"]).text

    def endpoints(self) -> list[dict[str, Any]]:
        """Public and private ones, all that run code here."""
        return [endpoint for endpoint in self.config["dependencies"] if endpoint["backend_fn"]]

    def defaults(self, endpoint: dict[str, Any]) -> list[Any]:
        """What the page sends where a visitor chose nothing."""
        values = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        return [values.get(number) for number in endpoint["inputs"]]

    def events(self) -> list[list[str]]:
        """Process, event and object of all that the hooks have noticed."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("[")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("strangers")
    uploads, log = folder / "uploads", folder / "opened.log"
    uploads.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(uploads),
    }  # fmt: skip
    command = [sys.executable, str(ROOT / "tests" / "audited.py"), str(log), "app.py", "--device", "cpu"]
    printed = (folder / "printed.log").open("w")
    with subprocess.Popen(
        command, env=environment, stdout=printed, stderr=printed, cwd=tempfile.gettempdir()
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                wait_for(client, process, folder / "printed.log")
                (own,) = uploads.glob("comdefend-lab-*")
                yield Lab(client, own, log, client.get("/config").json())
        finally:
            process.terminate()
            printed.close()


def wait_for(client: httpx.Client, process: subprocess.Popen, printed: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            if client.get("/config").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start: {printed.read_text()}")


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A picture that the server can read and that nobody gave to it."""
    path = tmp_path_factory.mktemp("secret") / "secret.png"
    Image.new("RGB", (48, 48), "purple").save(path)
    return path


@pytest.fixture(scope="module")
def strange_paths(lab, secret) -> dict[str, str]:
    """Ways to write a path that is no upload."""
    inside, outside = lab.uploads / "planted", secret.parent
    inside.mkdir()
    (inside / "link.png").symlink_to(secret)
    (inside / "folder").symlink_to(outside)
    for folder in (inside, outside):
        os.mkfifo(folder / "fifo.png")
    return {
        "absolute": str(secret),
        "relative": os.path.relpath(secret, tempfile.gettempdir()),
        "upwards": f"{lab.uploads}/../../../{outside.name}/{secret.name}",
        "upwards, twice": f"{lab.uploads}/planted/../../../../{outside.name}/{secret.name}",
        "link": str(inside / "link.png"),
        "linked folder": str(inside / "folder" / secret.name),
        "fifo": str(outside / "fifo.png"),
        "fifo among the uploads": str(inside / "fifo.png"),
        "folder": str(outside),
        "uploads": str(lab.uploads),
        "missing": str(outside / "missing.png"),
        "missing among the uploads": str(inside / "missing.png"),
        "root": "/",
        "password file": "/etc/passwd",
        "program": str(ROOT / "app.py"),
        "weights": str(ROOT / "weights" / "cifar10" / "config.json"),
        "sibling of the examples": str(EXAMPLES / "SOURCES.md"),
        "through the examples": f"{EXAMPLES}/../settings.py",
        "device": "/dev/zero",
        "terminal": "/dev/tty",
        "own memory": "/proc/self/environ",
        "descriptor": "/proc/self/fd/0",
        "empty": "",
        "dot": ".",
        "nul": f"{lab.uploads}/a\0b",
        "surrogate": f"{lab.uploads}/\ud800.png",
        "long": f"{lab.uploads}/{'a' * 5000}",
        "home": "~/secret.png",
        "file address": f"file://{secret}",
        "served address": f"/gradio_api/file={secret}",
        "windows": "C:\\secret.png",
    }


def forms(path: str) -> list[Any]:
    """A file as a client may write it; Gradio checks the first form only."""
    return [
        {"path": path, "meta": META},
        {"path": path},
        {"path": path, "url": f"/gradio_api/file={path}", "orig_name": "cat.png", "size": 10},
        {"path": path, "meta": {"_type": "gradio.Other"}},
        {"path": path, "orig_name": "cat.svg", "is_stream": True, "meta": META},
    ]


def refused(answer: str) -> bool:
    return json.dumps(REFUSAL)[1:-1] in answer or REFUSAL in answer


def assert_refused(answer: str, *secrets: str) -> None:
    assert refused(answer), answer[:500]
    for word in ("Errno", "Traceback", "No such", *secrets):
        assert word not in answer


@pytest.mark.parametrize("form", range(5))
def test_a_path_that_is_no_upload_is_one_and_the_same_sentence(lab, strange_paths, form):
    answers = {}
    for name, path in strange_paths.items():
        answers[name] = lab.classify(forms(path)[form])  # which nothing keeps waiting, no FIFO either
        assert_refused(answers[name], str(lab.uploads), "secret")
    assert len(set(answers.values())) == 1


def test_the_attack_that_was_found(lab, secret):
    for form in forms(str(secret)):
        answer = lab.call("run", form, "imagenet", "FGSM", "grey-box", 1, None, None, 0, "auto", None)
        assert_refused(answer)


def test_no_field_of_any_endpoint_takes_a_strangers_path(lab, secret):
    endpoints = lab.endpoints()
    assert {"run", "ask", "press", "follow", "defend", "classify", "inspect", "compare", "show"} <= {
        endpoint["api_name"] for endpoint in endpoints
    }
    tried = 0
    for endpoint in endpoints:
        for place in range(len(endpoint["inputs"])):
            for form in forms(str(secret))[:2]:
                for value in (form, [form], {"value": [{"deep": form}]}):
                    data = lab.defaults(endpoint)
                    data[place] = value
                    assert_refused(lab.run(endpoint, data))
                    tried += 1
        if endpoint["inputs"]:
            for form in forms(str(secret))[:2]:
                assert_refused(lab.join(endpoint, [form, *lab.defaults(endpoint)[1:]]))
    assert tried > 200


@pytest.mark.parametrize(
    "value", ["/etc/passwd", 7, True, [], ["x"], {}, {"path": 7}, {"url": 7}, {"path": None}]
)
def test_what_is_no_file_at_all_is_that_sentence_too(lab, value):
    assert_refused(lab.classify(value))


def test_uploads_examples_and_base64_pass(lab):
    data = (EXAMPLES / "ship.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    upload = lab.upload(data)
    for picture in (
        upload,
        {"path": upload["path"]},
        {**upload, "url": f"{lab.http.base_url}/gradio_api/file={upload['path']}", "orig_name": "a.png"},
        {"path": str(EXAMPLES / "ship.png")},
        {"path": str(EXAMPLES / "ship.png"), "meta": META},
        {"url": url, "meta": META},
        {"url": url},
        {"path": url, "meta": META},
        {"path": None, "url": url.replace("data:image/png;", "data:;")},
        url,
    ):
        assert '"label":"ship"' in lab.classify(picture), picture


def test_base64_passes_under_the_same_limits(lab):
    def encoded(data: bytes) -> dict[str, Any]:
        return {"url": "data:image/png;base64," + base64.b64encode(data).decode(), "meta": META}

    assert "not a picture" in lab.classify(encoded(postscript("")))
    assert "limit is 40" in lab.classify(encoded(png(8000, 8000, colour=0)))
    assert "limit is 20 MB" in lab.classify(encoded(bytes(20 * 1024**2 + 1)))
    assert "not a picture" in lab.classify({"url": "data:image/png;base64,!", "meta": META})
    assert_refused(lab.classify({"url": "data:text/plain,hello", "meta": META}))


@pytest.fixture
def bait() -> Iterator[tuple[int, list[str]]]:
    """A server that nobody may be sent to: its port, and who came."""
    visits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], visits
        server.shutdown()


def test_no_address_is_fetched(lab, bait):
    port, visits = bait
    before = len(lab.events())
    hosts = ("127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]",
             "localhost", "hf.co@127.0.0.1", "169.254.169.254", "example.com", "huggingface.co")  # fmt: skip
    for host in hosts:
        for scheme in ("http", "HTTP", "https", "ftp"):
            url = f"{scheme}://{host}:{port}/secret.png"
            for form in ({"path": url, "meta": META}, {"url": url, "meta": META}, {"path": url}, url):
                assert_refused(lab.classify(form))
    # Gradio would fetch what looks like a file in any field.
    endpoint = next(e for e in lab.endpoints() if e["api_name"] == "run")
    for place in range(len(endpoint["inputs"])):
        data = lab.defaults(endpoint)
        data[place] = {"path": f"http://127.0.0.1:{port}/", "meta": META}
        assert_refused(lab.run(endpoint, data))
    assert not visits
    assert not [event for event in lab.events()[before:] if event[1].startswith("socket.")]


def test_no_tool_takes_a_strangers_file(lab, strange_paths, secret, bait):
    """Gradio calls an endpoint by a client of its own, on the server, which uploads what it is handed."""
    port, visits = bait
    before, home = len(lab.events()), str(lab.http.base_url).rstrip("/")
    served = [f"{host}/gradio_api/file={path}" for host in (home, "http://example.com") for path in
              (secret, quote(str(secret)), f"{lab.uploads}/planted/link.png", "/etc/passwd")]  # fmt: skip
    fetched = [f"{scheme}://127.0.0.1:{port}/secret.png" for scheme in ("http", "https", "HTTP", "ftp")]
    paths = [path for path in strange_paths.values() if "\ud800" not in path]

    async def attack(session: ClientSession) -> list[str]:
        answers = []
        for path in (*paths, *served, *fetched):
            result = await session.call_tool("classify", {"image": path})
            assert_refused(result.content[0].text, str(lab.uploads), "secret")
            answers.append(result.content[0].text)
        for form in forms(str(secret)):
            for value in (form, [form], {"value": [{"deep": form}]}):
                for field in ("image", "classifier", "target", "epsilon", "codec", "other"):
                    arguments = {"image": str(EXAMPLES / "ship.png"), "steps": 1, field: value}
                    result = await session.call_tool("run", arguments)
                    assert result.isError, (field, value)
                    assert "predictions" not in str(result.content)
        return answers

    assert len(set(talk(home, attack))) == 1
    # A session that asks for other tools has no schema of this one to be checked by.
    hidden = talk(home, lambda it: it.call_tool("run", {"image": forms(str(secret))[0]}), "?tools=scenarios")
    assert hidden.isError
    assert "predictions" not in str(hidden.content)
    assert not visits
    assert str(secret) not in {what for _, event, what in lab.events()[before:] if event == "open"}
    content = secret.read_bytes()
    kept = [path for path in lab.uploads.rglob("*") if path.is_file() and path.resolve() != secret]
    assert all(path.read_bytes() != content for path in kept)


def test_postscript_is_no_picture(lab, tmp_path):
    """Where Ghostscript is installed, this listed and read files, and created some."""
    made = tmp_path / "made"
    program = f"({made}) (w) file dup (hello) writestring closefile"
    for name in ("cat.png", "cat.eps", "cat.jpg"):
        for data in (postscript(program), postscript("{} loop")):
            assert "not a picture" in lab.classify(lab.upload(data, name))
    assert not made.exists()


def test_only_six_formats_are_read(lab, tmp_path):
    picture = Image.open(EXAMPLES / "ship.png").convert("RGB")
    for suffix in ("png", "jpg", "webp", "gif", "bmp", "tiff"):
        picture.save(tmp_path / f"good.{suffix}")
        assert '"label":"ship"' in lab.classify(lab.upload((tmp_path / f"good.{suffix}").read_bytes()))
    for suffix in ("ppm", "ico", "tga", "pcx", "sgi", "im", "dds", "pdf", "jp2", "avif", "icns"):
        try:
            picture.save(tmp_path / f"bad.{suffix}")
        except (OSError, KeyError):
            continue  # this Pillow does not write it
        assert "not a picture" in lab.classify(lab.upload((tmp_path / f"bad.{suffix}").read_bytes()))


def test_costly_files_are_refused_and_the_page_stays_reachable(lab):
    """Four at once of what took a gigabyte each, and a JPEG of a thousand scans; all by ``inspect``, too."""
    costly = [png(6320, 6320, depth=16, colour=0)] * 4 + [many_scans(1000, (1500, 1500))]
    files = [lab.upload(data) for data in costly]
    inspect = next(e for e in lab.endpoints() if e["api_name"] == "inspect")
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(lab.run, inspect, [file, "auto", "", None]) for file in files]
        answers += [pool.submit(lab.classify, file) for file in files]
        pages = 0
        while not all(answer.done() for answer in answers):
            assert lab.http.get("/").is_success
            pages += 1
    # A server that decodes in its own loop answers once between two pictures, at most.
    assert pages > len(answers)
    for answer in (answers[4].result(), answers[9].result()):
        assert "scans" in answer
    assert '"label":"ship"' in lab.classify(lab.upload((EXAMPLES / "ship.png").read_bytes()))


def test_a_photograph_of_a_phone_passes(lab):
    upload = lab.upload(phone_jpeg(), "phone.jpg")
    lab.call(
        "run",
        forms(str(EXAMPLES / "ship.png"))[1],
        "auto",
        "FGSM",
        "grey-box",
        1,
        None,
        None,
        0,
        "auto",
        None,
    )  # has warmed up
    # It takes a tenth of the time that it may take, but others may have the machine.
    assert any('"classifier":"imagenet"' in lab.classify(upload) for _ in range(5))
    inspect = next(e for e in lab.endpoints() if e["api_name"] == "inspect")
    assert "4000 × 6000 pixels" in lab.run(inspect, [upload, "auto", "", None])


def strangely_opened(lab: Lab, events: list[list[str]]) -> list[list[str]]:
    """What neither a visitor nor the lab's work needs."""
    paths = sysconfig.get_paths()
    allowed = [
        str(lab.uploads), str(EXAMPLES), str(ROOT / "weights"), str(ROOT / "app" / "report"),
        matplotlib.get_cachedir(),  # its list of fonts: torchattacks imports it
        *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    ]  # fmt: skip
    decoder = str(ROOT / "app" / "decoder.py")
    exactly = {
        str(ROOT / "tests" / "audited.py"), decoder, cache_from_source(decoder),
        str(ROOT / "app" / "ask" / "fifty.zip"), str(Path(sys.prefix) / "pyvenv.cfg"), "/proc/self/statm",
        "/dev/null",
    }  # fmt: skip

    def is_strange(event: str, what: str) -> bool:
        if event == "open":
            inside = any(Path(what).is_relative_to(folder) for folder in allowed)
            # Its own program Python reads for whoever inspects a function, or prints a traceback.
            program = Path(what).suffix == ".py" and any(
                Path(what).is_relative_to(ROOT / name) for name in ("app", "model")
            )
            return not inside and not program and what not in exactly
        # Nothing is started but what decodes, and nobody is asked for anything.
        return event not in ("subprocess.Popen", "os.posix_spawn") or what != sys.executable

    return [[process, event, what] for process, event, what in events if is_strange(event, what)]


def test_nothing_else_is_opened_during_all_this(lab, strange_paths):
    """By the server and by the processes that decode, whatever was sent to them."""
    before = len(lab.events())
    data = (EXAMPLES / "ship.png").read_bytes()
    upload = lab.upload(data)
    pictures = [form for path in strange_paths.values() for form in forms(path)]
    pictures += [{"path": f"http://127.0.0.1/{number}", "meta": META} for number in range(10)]
    pictures += [
        lab.upload(bad) for bad in (postscript(""), many_scans(101), png(8000, 8000), b"", data[:99])
    ]
    pictures += [upload, {"path": str(EXAMPLES / "espresso.jpg")}, None]
    for picture in pictures:
        lab.classify(picture)
    lab.call("run", upload, "auto", "FGSM", "grey-box", 4, None, None, 0, "auto", None)
    lab.call("defend", upload, "auto", None)
    lab.call("scenarios")
    for endpoint in lab.endpoints():
        lab.run(endpoint, lab.defaults(endpoint))
    events = lab.events()[before:]
    assert len(pictures) > 150
    assert {event[0] for event in events} == {"server", "decoder"}
    assert strangely_opened(lab, events) == []


@pytest.mark.parametrize("process", ["server", "decoder"])
def test_a_planted_read_would_be_seen(lab, secret, process):
    before = len(lab.events())
    plant = PLANT + process.encode() + b" " + str(secret).encode() + b"\n"
    lab.classify(lab.upload((EXAMPLES / "ship.png").read_bytes() + plant))
    assert strangely_opened(lab, lab.events()[before:]) == [[process, "open", str(secret)]]
