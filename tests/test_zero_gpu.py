"""The lab as a Space that is lent a GPU for single runs: the package that does it, and a broker of ours."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app.images import open_picture
from app.lab import Lab
from app.scenario import Scenario
from tests.conftest import ROOT, until

pytestmark = [pytest.mark.server, pytest.mark.processes, pytest.mark.slow]

API = "/gradio_api"
PATIENCE_S = 120


class Broker:
    """What lends GPUs: it writes down what it is asked, and says yes, or no."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.has_one = True
        broker = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                broker.asked.append((url.path, dict(parse_qsl(url.query))))
                lent = {"idle": broker.count("/allow") > 0, "nvidiaIndex": 0, "nvidiaUUID": "none"}
                body = json.dumps({**lent, "allowToken": "token"}).encode()
                self.send_response(200 if broker.has_one or url.path != "/schedule" else 503)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def count(self, path: str) -> int:
        return sum(each == path for each, _ in self.asked)


class Space:
    """The process, its broker, and a visitor."""

    def __init__(self, folder: Path) -> None:
        self.broker = Broker()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.log = folder / "log"
        variables = {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": self.broker.url,
            "GRADIO_TEMP_DIR": str(folder),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "zero_gpu_space.py"), "--port", str(port)],
                env={**os.environ, **variables}, stdout=printed, stderr=printed, cwd=folder,
            )  # fmt: skip
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)
        until(self.is_up)
        # A copy of a process whose threads compute may be left with a lock of theirs that nobody opens any
        # more: here copies compute on the CPU, too, and wait for it for ever.
        until(self.is_idle)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def is_idle(self) -> bool:
        """Whether what it computes when it starts is done: in a second it takes a tenth of one at most."""
        before = self.computed()
        time.sleep(1)
        return self.computed() - before < 0.1

    def computed(self) -> float:
        """Seconds of a core that it has taken (Linux)."""
        after_its_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, after_its_name[11:13])) / os.sysconf("SC_CLK_TCK")

    def join(self, picture: str, threat_model: str, steps: int = 10) -> str:
        """Begin a run of BIM; where its events are."""
        image = {"path": str(ROOT / "app" / "examples" / picture)}
        data = [image, "auto", "BIM", threat_model, 4, steps, None, 0, "auto", None]
        event = self.http.post(f"{API}/call/run", json={"data": data}).json()["event_id"]
        return f"{API}/call/run/{event}"

    def run(self, picture: str, threat_model: str) -> dict:
        answer = self.http.get(self.join(picture, threat_model)).text
        assert "event: complete" in answer, answer + self.log.read_text()
        return json.loads(answer.split("event: complete\ndata: ")[1].strip())[-1]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    pytest.importorskip("spaces")
    space = Space(tmp_path_factory.mktemp("space"))
    yield space
    space.process.terminate()
    space.process.wait(PATIENCE_S)
    space.broker.server.shutdown()
    space.broker.server.server_close()


@pytest.fixture(autouse=True)
def lends(space: Space) -> None:
    until(lambda: space.broker.count("/schedule") == space.broker.count("/release"))
    space.broker.asked = [each for each in space.broker.asked if each[0] == "/allow"]
    space.broker.has_one = True


def test_an_adaptive_attack_on_a_photograph_is_lent_a_gpu(space, photograph):
    found = [space.run("espresso.jpg", "adaptive") for _ in range(2)]
    lent = [asked for path, asked in space.broker.asked if path == "/schedule"]
    assert [asked["durationSeconds"] for asked in lent] == ["6", "6"]
    assert space.broker.count("/release") == 2
    (allowed,) = {asked["pid"] for path, asked in space.broker.asked if path == "/allow"}
    assert int(allowed) != space.process.pid
    here = Lab("cpu").run(open_picture(photograph), Scenario(threat_model="adaptive")).summary()
    for result in found:
        assert result["scenario"] == here["scenario"]
        assert result["verdict"] == here["verdict"]
        assert result["predictions"]["adversarial"]["label"] == here["predictions"]["adversarial"]["label"]


@pytest.mark.parametrize(
    ("picture", "threat_model"), [("frog.png", "adaptive"), ("espresso.jpg", "grey-box")]
)
def test_what_two_cores_do_at_once_stays_on_them(space, picture, threat_model):
    assert space.run(picture, threat_model)["device"] == "cpu"
    assert space.broker.count("/schedule") == 0


def test_where_no_gpu_is_to_be_had_the_run_goes_on_the_cpu(space):
    space.broker.has_one = False
    assert space.run("espresso.jpg", "adaptive")["verdict"]["attack_succeeded"] is True
    space.broker.asked.append(("/release", {}))  # nothing was lent
    assert "No GPU was lent, a run goes on the CPU: No GPU was available" in space.log.read_text()


def test_what_the_attack_refuses_is_a_sentence(space):
    image = {"path": str(ROOT / "app" / "examples" / "espresso.jpg")}
    label = space.run("espresso.jpg", "adaptive")["predictions"]["defended_original"]["label"]
    data = [image, "auto", "BIM", "adaptive", 4, 10, label, 0, "auto", None]
    event = space.http.post(f"{API}/call/run", json={"data": data}).json()["event_id"]
    answer = space.http.get(f"{API}/call/run/{event}").text
    assert "choose another class to aim at" in answer
    assert "Traceback" not in space.log.read_text()


def test_a_run_ends_on_the_gpu_when_its_client_leaves(space):
    with space.http.stream("GET", space.join("espresso.jpg", "adaptive", steps=200)):
        until(lambda: space.broker.count("/schedule") == 1)
        time.sleep(1)
        assert space.broker.count("/release") == 0
    left = time.monotonic()
    until(lambda: space.broker.count("/release") == 1)
    assert time.monotonic() - left < 5


def test_elsewhere_the_package_is_not_imported():
    code = (
        "import sys; from app.cli import build_parser, _lab; build_parser(); _lab('cpu', 1); "
        "import app.page.build; assert 'spaces' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPACES_")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment, timeout=PATIENCE_S)
