"""What is told of runs to those who operate the lab: a line of the log, and figures for Prometheus.

Neither has a picture, an address or a name of a visitor: there is nothing in them to be careful with.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

from app.server.scope import ARRIVED, BEGAN, WAITED

log = logging.getLogger("app.runs")


class Finding(Protocol):
    """What a run found: an :class:`app.scenario.Outcome`, of which only this is asked here."""

    def summary(self) -> dict[str, Any]:
        """The run as JSON values."""


class Journal:
    """Tells of each run once.

    Args:
        clock: the one by which requests arrived.
        listeners: called with what is told, as a dict.
        untold: endpoints whose runs are nobody's, because the page has them ready.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        listeners: Iterable[Callable[[dict[str, Any]], None]] = (),
        untold: Iterable[str] = (),
    ) -> None:
        self._clock = clock
        self._untold = frozenset(untold)
        self.listeners = list(listeners)
        self._told: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def tell(self, endpoint: str, results: Any, scope: Mapping[str, Any]) -> None:
        """Log the runs that are among an endpoint's results, if there are any that were not told of yet.

        Args:
            scope: the request's, which says when what happened.
        """
        began, waited, arrived = scope[BEGAN], scope.get(WAITED, 0.0), scope.get(ARRIVED)
        for summary in self._summaries(results):
            if endpoint in self._untold:
                continue  # noted all the same: the page hands such a run on
            self._say(
                {
                    "event": "run",
                    "endpoint": endpoint,
                    "scenario": summary["scenario"],
                    "verdict": summary["verdict"],
                    "timings_ms": summary["timings_ms"],
                    "device": summary["device"],
                    "queue_s": None if arrived is None else round(max(0.0, began - arrived) + waited, 3),
                    "seconds": round(self._clock() - began - waited, 3),
                }
            )

    def ended(self, endpoint: str, how: str) -> None:
        """Log an endpoint's work that came to nothing: "refused" or "failed"."""
        self._say({"event": how, "endpoint": endpoint})

    def _say(self, told: dict[str, Any]) -> None:
        log.info("%s", json.dumps(told))
        for listener in self.listeners:
            listener(told)

    def _summaries(self, results: Any) -> Iterator[dict[str, Any]]:
        """Of a page's endpoints by what they found, which is shown as JSON, too; of others by that JSON."""
        found = list(_findings(results))
        for finding in found:
            if self._told.get(id(finding)) is not finding:
                self._told[id(finding)] = finding
                yield finding.summary()
        if not found:
            for result in results if isinstance(results, tuple | list) else [results]:
                if isinstance(result, dict) and {"scenario", "verdict", "timings_ms"} <= result.keys():
                    yield result


def _findings(results: Any) -> Iterator[Finding]:
    if isinstance(results, tuple | list):
        for result in results:
            yield from _findings(result)
    elif hasattr(results, "summary"):
        yield results


def log_to_stderr() -> None:
    """Show what the app's own loggers say, from INFO on; a run's line is JSON behind the logger's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
