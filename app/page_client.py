"""What a browser asks of a served page, without the browser: to time it."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from app.handlers.running import Wish
from app.opening import FIRST, SCENARIO
from app.page.text import PAIR
from app.timing import Clock, median_seconds
from app.uploads import EXAMPLES
from model.attacks import ATTACKS

SMALL_PICTURE, PHOTOGRAPH = EXAMPLES / "airplane.png", FIRST
STRENGTHS = (4, 8)
"""The strengths between which the slider is moved, in 1/255."""


class PageClient:
    """Triggers events of a served page as a browser does, also those that are no API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._session = uuid.uuid4().hex
        config = self._http.get("/config").json()
        names = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        self._events: dict[tuple[str | None, str], int] = {}
        self._names: dict[str, int] = {}
        self._outputs: dict[str, list[str | None]] = {}
        for event in config["dependencies"]:
            self._names[event["api_name"]] = event["id"]
            self._outputs[event["api_name"]] = [names.get(output) for output in event["outputs"]]
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
        for _ in self.changes(callback, *data):
            pass

    def changes(self, callback: str, *data: object) -> Iterator[set[str | None]]:
        """An event that queues: which components, by ``elem_id``, it changes, each time that it tells.

        Listens until the server has nothing more to say: who goes before is taken for one who has left.
        """
        self._post("/gradio_api/queue/join", self._names[callback], data)
        with self._http.stream("GET", f"/gradio_api/queue/data?session_hash={self._session}") as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:") or "{}")
                kind = message.get("msg")
                if kind == "process_completed" and not message["success"]:
                    raise RuntimeError(f"{callback} failed: {message['output']}")
                if kind in ("process_generating", "process_completed"):
                    values = message["output"]["data"]
                    yield {
                        name
                        for name, value in zip(self._outputs[callback], values, strict=True)
                        if value not in ([], {"__type__": "update"})  # no difference; left as it is
                    }

    def _post(self, path: str, event: int, data: tuple[object, ...]) -> Any:
        body = {"fn_index": event, "data": data, "session_hash": self._session}
        return self._http.post(path, json=body).raise_for_status().json()


def interaction_seconds(address: str, clock: Clock = time.perf_counter) -> dict[str, float]:
    """What a visitor can do on a page that has a photograph's run to show, and that needs no model."""
    with httpx.Client(base_url=address, timeout=300) as http:
        return {name: median_seconds(action, clock=clock) for name, action in _actions(PageClient(http))}


def _actions(page: PageClient) -> list[tuple[str, Any]]:
    picture = page.upload(PHOTOGRAPH)
    page.queue("press", *controls(picture, "FGSM", SCENARIO.epsilon))
    page.queue("follow", None, None, None, *PAIR)
    return [
        ("choosing a picture", lambda: page.trigger("picture", "change", picture, SCENARIO.classifier, "")),
        ("choosing an attack", lambda: page.trigger("attack", "input", list(ATTACKS)[-1])),
        (
            "comparing two other pictures",
            lambda: page.trigger("left", "input", None, SCENARIO.threat_model, "code", "difference"),
        ),
    ]


def opening_seconds(address: str, clock: Clock = time.perf_counter) -> float:
    """From opening the page to its first run, pictures and all, but for what a browser needs to draw it.

    Waits until the run is there: what is timed is a server that has been started a while ago.
    """
    with httpx.Client(base_url=address, timeout=300) as http:

        def open_page() -> bool:
            http.get("/").raise_for_status()
            return any(
                "reconstruction" in changed for changed in PageClient(http).changes("open", None, *PAIR)
            )

        def open_warm() -> None:
            if not open_page():
                raise RuntimeError("the page opened without a run")

        while not open_page():
            time.sleep(1)
        return median_seconds(open_warm, clock=clock)


def answer_seconds(
    address: str, picture: Path, attack: str, threat_model: str, clock: Clock = time.perf_counter
) -> tuple[float, float]:
    """From letting go of the slider of the strength to the first changed picture, and to the verdict."""
    with httpx.Client(base_url=address, timeout=300) as http:
        page = PageClient(http)
        uploaded = page.upload(picture)
        first: list[float] = []

        def let_go(times: int) -> None:
            start = clock()
            strength = STRENGTHS[times % 2]
            page.queue("ask", True, None, *controls(uploaded, attack, strength, threat_model))
            seen = None
            for changed in page.changes("follow", None, None, None, *PAIR):
                if seen is None and "adversarial" in changed:
                    seen = clock() - start
            if seen is None:
                raise RuntimeError("a run showed no picture")
            first.append(seen)

        count = iter(range(1_000_000))
        whole = median_seconds(lambda: let_go(next(count)), clock=clock)
        return sorted(first[1:])[len(first[1:]) // 2], whole


def controls(
    picture: dict[str, Any], attack: str, epsilon: float | None, threat_model: str = SCENARIO.threat_model
) -> list[Any]:
    """What the controls hold, in the order of :class:`Wish`."""
    wish = Wish(
        None, SCENARIO.classifier, attack, threat_model, epsilon or 0, SCENARIO.steps or 1, "", 0,
        SCENARIO.codec, 100,
    )  # fmt: skip
    return [picture, *list(vars(wish).values())[1:-1]]
