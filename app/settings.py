"""Settings of the page: where it is served, and how much of the machine its visitors may take."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

PREFIX = "COMDEFEND_"
"""How the names of environment variables begin: ``COMDEFEND_RUN_SECONDS`` is the limit ``run_seconds``."""


def limit(default: float, about: str, low: float, high: float) -> Any:
    """A field of :class:`Limits`: its default, what it bounds, and what it can be."""
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class Limits:
    """All that bounds what visitors may take. The defaults are for two cores and four gigabytes.

    Raises:
        ValueError: a number is out of its range; the message names it.
    """

    run_seconds: float = limit(300, "a run that takes longer is ended: others wait", 1, 86400)
    question_seconds: float = limit(1800, 'the same of what is asked under "Ask more of it"', 1, 86400)
    waiting_runs: int = limit(64, "runs that wait for their turn; more are refused", 1, 10_000)
    sessions: int = limit(100, "visitors whose last run, up to 20 MB, is kept; of more, the last", 1, 100_000)
    waiting_questions: int = limit(8, "questions that wait for their turn; more are refused", 1, 10_000)
    file_megabytes: int = limit(20, "an uploaded file, or one in base64", 1, 1000)
    call_kilobytes: int = limit(1024, "a call's body, besides the file in it", 16, 100_000)
    kept_seconds: int = limit(3600, "how long files of uploads and results are kept", 60, 10**7)
    picture_megapixels: int = limit(40, "pixels of a picture", 1, 1000)
    picture_side: int = limit(4, "the fewest pixels of each side", 1, 1000)
    jpeg_scans: int = limit(100, "scans of a progressive JPEG; cameras make about ten", 1, 10_000)
    decode_seconds: float = limit(2.5, "decoding one picture", 0.1, 600)
    decode_megabytes: int = limit(512, "memory for decoding one picture", 32, 100_000)
    decode_at_once: int = limit(2, "pictures that are decoded at the same time", 1, 100)
    decode_waiting: int = limit(64, "pictures that wait for that; each holds a thread", 0, 1000)
    decode_wait_seconds: float = limit(15, "how long they wait", 0.1, 600)
    kept_megabytes: int = limit(128, "memory for the files of pictures whose runs are wanted", 0, 100_000)
    decoded_megabytes: int = limit(64, "memory for the pictures decoded last", 0, 100_000)
    defend_megapixels: float = limit(12, "pixels that /defend takes before a light codec", 0.01, 1000)
    defend_paper_megapixels: float = limit(4, "the same before one of the paper's shape", 0.01, 1000)
    closing_seconds: float = limit(20, "how long a run may go on after SIGTERM", 0, 3600)

    def __post_init__(self) -> None:
        for each in fields(self):
            value, about = getattr(self, each.name), each.metadata
            if not about["low"] <= value <= about["high"]:  # nor is NaN
                raise ValueError(
                    f"{each.name} must be from {about['low']:g} to {about['high']:g}, got {value:g}"
                )

    @property
    def file_bytes(self) -> int:
        return self.file_megabytes * 1024**2

    @classmethod
    def collect(cls, given: Iterable[str] = (), environment: Mapping[str, str] = os.environ) -> Self:
        """The limits of the command line, "name=value" each, then those of the environment, then ours.

        Raises:
            ValueError: there is no such limit, or it cannot be that; the message says what can.
        """
        known = {each.name: each for each in fields(cls)}
        texts = {
            name: environment[PREFIX + name.upper()] for name in known if PREFIX + name.upper() in environment
        }
        for text in given:
            name, _, value = text.partition("=")
            if name not in known:
                raise ValueError(f"there is no limit {name!r}; there are {', '.join(known)}")
            texts[name] = value
        numbers: dict[str, Any] = {name: _number(known[name], text) for name, text in texts.items()}
        return cls(**numbers)


def _number(each: "Field[Any]", text: str) -> float:
    whole = isinstance(each.default, int) and each.type is int
    try:
        return int(text) if whole else float(text)
    except ValueError:
        what = "a whole number" if whole else "a number"
        raise ValueError(f"{each.name} must be {what}, got {text!r}") from None


limits = Limits()
"""Those in force. They are chosen once, before anything that obeys them is imported: :func:`choose`."""


def choose(chosen: Limits) -> None:
    """Put limits in force, for what is imported or asked from now on."""
    global limits
    limits = chosen


MAX_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    """Where the page is served, and on what it computes. None leaves Gradio's own default."""

    host: str | None = None
    port: int | None = None
    device: str = "auto"
    share: bool = False
    metrics_port: int | None = None
    """Where Prometheus may ask; None: nowhere."""
    codec: str | None = None
    """The codec that is meant where none is named, by its Hub id or its folder; None: ours."""

    @classmethod
    def collect(
        cls,
        host: str | None,
        port: int | None,
        device: str,
        share: bool,
        environment: Mapping[str, str] = os.environ,
        metrics_port: int | None = None,
        codec: str | None = None,
    ) -> Self:
        """The command line's values; where it is silent, ``GRADIO_SERVER_NAME`` and ``_PORT``, and ours.

        Raises:
            ValueError: a port is none; the message names it.
        """
        if port is None:
            port = _port(environment, "GRADIO_SERVER_PORT")
        if metrics_port is None:
            metrics_port = _port(environment, PREFIX + "METRICS_PORT")
        for name, number in (("the port", port), ("the port for Prometheus", metrics_port)):
            if number is not None and not 0 <= number <= MAX_PORT:
                raise ValueError(f"{name} must be from 0 to {MAX_PORT}, got {number}")
        host = host or environment.get("GRADIO_SERVER_NAME")
        codec = codec or environment.get(PREFIX + "CODEC")
        return cls(host, port, device, share, metrics_port, codec)


def _port(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text and not text.isdigit():
        raise ValueError(f"{name} must be a number, got {text!r}")
    return int(text) if text else None
