"""Figures for Prometheus, on a port of their own; ``prometheus-client`` is needed for nothing else."""

from collections.abc import Callable
from typing import Any

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class MetricsError(RuntimeError):
    """Figures were asked for and cannot be had; the message says why."""


def start(
    port: int, host: str, waiting: Callable[[], int], going: Callable[[], int]
) -> tuple[Callable[[dict[str, Any]], None], int]:
    """Answer Prometheus at ``host:port``; a listener for a :class:`app.server.runs.Journal`, and the port.

    Args:
        port: 0 takes any free one.
        waiting: how many runs wait for their turn.
        going: how many are at work.

    Raises:
        MetricsError: the package is missing, or the port taken.
    """
    try:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
    except ImportError as error:
        raise MetricsError("metrics need a package: pip install prometheus-client") from error
    registry = CollectorRegistry()
    runs = Counter(
        "comdefend_runs", "Runs that were done", ("attack", "threat_model", "defence_held"), registry=registry
    )
    ended = Counter("comdefend_ended", "Calls that came to nothing", ("endpoint", "how"), registry=registry)
    seconds = Histogram(
        "comdefend_run_seconds", "How long a run worked", ("classifier",), buckets=BUCKETS, registry=registry
    )
    waits = Histogram(
        "comdefend_queue_seconds", "How long a run waited for its turn", buckets=BUCKETS, registry=registry
    )
    Gauge("comdefend_waiting", "Runs that wait for their turn", registry=registry).set_function(waiting)
    Gauge("comdefend_going", "Calls at work", registry=registry).set_function(going)

    def listen(told: dict[str, Any]) -> None:
        if told["event"] != "run":
            ended.labels(told["endpoint"], told["event"]).inc()
            return
        scenario, held = told["scenario"], told["verdict"]["defence_held"]
        runs.labels(scenario["attack"], scenario["threat_model"], str(held).lower()).inc()
        seconds.labels(scenario["classifier"]).observe(told["seconds"])
        if told["queue_s"] is not None:
            waits.observe(told["queue_s"])

    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsError(f"metrics cannot be served at port {port}: {error}") from error
    return listen, server.server_port
