"""Visitors of a served page, as locust plays them: how long they wait, and how many are refused.

    python app.py --port 7860 &
    locust --locustfile tests/load/locustfile.py --headless --users 40 --spawn-rate 10 --run-time 150s \
        --host http://127.0.0.1:7860 --only-summary

Three of the visitors bring photographs, the others small pictures. Only a loopback address is visited.
"""

import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from locust import User, between, events, task
from locust.env import Environment

from app.page.text import PAIR
from app.page_client import PHOTOGRAPH, SMALL_PICTURE, PageClient, controls

PATIENCE_S = 120
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
ATTACKS = ("FGSM", "BIM", "PGD")


@events.test_start.add_listener
def stay_here(environment: Environment, **_: Any) -> None:
    """Refuse to play visitors of somebody else's server."""
    if urlsplit(environment.host or "").hostname not in LOOPBACK:
        raise SystemExit("the load test visits a loopback address only: --host http://127.0.0.1:7860")


class Visitor(User):
    """Opens the page, uploads a picture, and has it attacked in one way after another."""

    abstract = True
    wait_time = between(2, 8)
    picture = SMALL_PICTURE
    kind = "small"

    def on_start(self) -> None:
        self.http = httpx.Client(base_url=self.host or "", timeout=PATIENCE_S)
        self.page = self.timed("page", lambda: PageClient(self.http))
        self.uploaded = None if self.page is None else self.timed("upload", self.upload)
        if self.uploaded is not None:
            self.attack()  # whoever brings a picture wants to see it attacked; only then is it left to chance

    def on_stop(self) -> None:
        self.http.close()

    def upload(self) -> dict[str, Any]:
        assert self.page is not None
        return self.page.upload(self.picture)

    @task(1)
    def look(self) -> None:
        """Open the page once more."""
        self.timed("page", lambda: self.http.get("/").raise_for_status())

    @task(4)
    def attack(self) -> None:
        """Press the button, and wait for the verdict."""
        if self.page is None or self.uploaded is None:
            self.on_start()
            return
        wish = controls(self.uploaded, random.choice(ATTACKS), random.randint(1, 32))  # noqa: S311
        self.timed("press", lambda: self.page.queue("press", *wish))  # type: ignore[union-attr]
        self.timed(f"run, {self.kind}", self.follow)

    def follow(self) -> None:
        """One run, to its verdict.

        Raises:
            RuntimeError: there was none: it was refused.
        """
        assert self.page is not None
        changed = {name for names in self.page.changes("follow", None, None, None, *PAIR) for name in names}
        if "verdict" not in changed:
            raise RuntimeError(f"a run came to no verdict, but to {sorted(map(str, changed))}")

    def timed(self, name: str, action: Callable[[], Any]) -> Any:
        """What an action gives; None, and a failure in locust's statistics, where it fails."""
        found, error, start = None, None, time.perf_counter()
        try:
            found = action()
        except (httpx.HTTPError, RuntimeError) as problem:
            error = problem
        self.environment.events.request.fire(
            request_type="page",
            name=name,
            response_time=1000 * (time.perf_counter() - start),
            response_length=0,
            exception=error,
            context={},
        )
        return found


class Small(Visitor):
    """Brings a picture of CIFAR-10's size."""


class Photographer(Visitor):
    """Brings a photograph."""

    fixed_count = 3
    picture = PHOTOGRAPH
    kind = "photograph"
