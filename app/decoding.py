"""A stranger's bytes to a picture, in a process that can be ended.

Decoders are large programs in C, written for speed. A small file can make one work for minutes or take
gigabytes, and neither a thread nor a signal ends it in there: a process can be ended, by the clock or by
the kernel when it takes too much, and whatever a malicious picture makes of it, it holds nothing but that
picture. So each picture gets a process of its own, :mod:`app.decoder`, in which nothing but Pillow and NumPy
is loaded, and which can open no file once it has a stranger's bytes. One is always started ahead, so that
nobody waits for its imports. The picture goes there and comes back through pipes.
"""

import atexit
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL
from PIL import Image

from app.decoder import READY
from app.settings import limits

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_PIXELS = limits.picture_megapixels * 1_000_000
MIN_SIDE = limits.picture_side
MAX_SCANS = limits.jpeg_scans
"""The most a progressive JPEG may have: it is gone through once for each. Cameras make about ten."""
MAX_SECONDS = limits.decode_seconds
"""For one picture. The answer has to be there after three, with the way there and back."""
MAX_MEMORY = limits.decode_megabytes * 1024**2
"""Bytes for one picture, besides what the process has taken before it."""
AT_ONCE = limits.decode_at_once
MAX_WAITING = limits.decode_waiting
"""So many wait for their turn, and no more: each holds a thread of the server."""
MAX_WAIT_SECONDS = limits.decode_wait_seconds
PIPE_BYTES = 1024**2
"""How much the pipes hold, where that can be chosen. Each time one is full or empty, the other side must get
the processor, which takes a while where others want it: with 64 kB, a large picture took two seconds."""
START_SECONDS = 30
"""How long a process may take to start, on a machine that has much else to do."""
SCRIPT = [str(Path(__file__).with_name("decoder.py"))]
ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What the process gets of the server's environment, which may hold secrets."""
log = logging.getLogger(__name__)


class DecodingError(Exception):
    """A picture was not decoded.

    Args:
        reason: "kind", "scans", "pixels", "bomb", "side", "damaged", "memory", "time" or "busy".
        size: of the picture, as far as it is known.
    """

    def __init__(self, reason: str, size: tuple[int, int] = (0, 0)) -> None:
        super().__init__(reason)
        self.reason = reason
        self.size = size


class Alarm(Protocol):
    """Calls a function later, unless it is cancelled before; :class:`threading.Timer` is one."""

    def start(self) -> None:
        """From now on the time counts."""

    def cancel(self) -> None:
        """It is not to be called any more."""


def real_alarm(seconds: float, call: Callable[[], None]) -> Alarm:
    """One by the wall clock, in a thread that keeps no program from ending."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    return timer


class Decoders:
    """The processes that decode: at most ``at_once`` at work, and one that is ready.

    Args:
        at_once: so many pictures are decoded at the same time.
        waiting: so many more may wait for their turn.
        clock: in seconds; by it waiting ends.
        alarm: makes what ends a process after so many seconds.
    """

    def __init__(
        self,
        at_once: int = AT_ONCE,
        waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
        alarm: Callable[[float, Callable[[], None]], Alarm] = real_alarm,
    ) -> None:
        self._clock, self._alarm = clock, alarm
        self._turns = threading.BoundedSemaphore(at_once)
        self._line = threading.BoundedSemaphore(at_once + waiting)
        self._lock = threading.Lock()
        self._spare: subprocess.Popen[bytes] | None = None

    def decode(
        self, data: bytes, least: int | None = None, check: Callable[[], None] = lambda: None
    ) -> Image.Image:
        """The picture in RGB; its ``info`` says how many ``frames`` the file has, and its full ``size``.

        Args:
            data: of a file.
            least: sides of so many pixels will do.
            check: called while others have their turn; may raise.

        Raises:
            DecodingError: the picture cannot be decoded, or not within the limits.
        """
        with self._turn(check):
            worker = self._ready_worker()
            try:
                with self._ended_after(worker, MAX_SECONDS) as is_late:
                    try:
                        return _exchange(worker, data, least)
                    except DecodingError:
                        if is_late():
                            raise DecodingError("time") from None
                        raise
            finally:
                _end(worker)
                self._keep_spare()

    @contextmanager
    def _turn(self, check: Callable[[], None]) -> Iterator[None]:
        if not self._line.acquire(blocking=False):
            raise DecodingError("busy")
        try:
            end = self._clock() + MAX_WAIT_SECONDS
            while not self._turns.acquire(timeout=0.1):
                check()
                if self._clock() > end:
                    raise DecodingError("busy")
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._line.release()

    def _ready_worker(self) -> "subprocess.Popen[bytes]":
        """A process that waits for a picture."""
        with self._lock:
            worker, self._spare = self._spare or _started(), None
        if not self._is_ready(worker):  # the one kept has died meanwhile, perhaps
            _end(worker)
            worker = _started()
            if not self._is_ready(worker):
                _end(worker)
                raise RuntimeError("the process that decodes pictures does not start")
        return worker

    def _is_ready(self, worker: "subprocess.Popen[bytes]") -> bool:
        with self._ended_after(worker, START_SECONDS):
            return worker.stdout.readline(len(READY)) == READY  # type: ignore[union-attr]

    @contextmanager
    def _ended_after(self, worker: "subprocess.Popen[bytes]", seconds: float) -> Iterator[Callable[[], bool]]:
        """End a process if the block takes longer, so that nobody waits for it; whether it came to that."""
        late = threading.Event()

        def end() -> None:
            late.set()
            worker.kill()

        alarm = self._alarm(seconds, end)
        alarm.start()
        try:
            yield late.is_set
        finally:
            alarm.cancel()

    def _keep_spare(self) -> None:
        """Start the process for the next picture; not earlier, as it would take time from the one at work."""
        with self._lock, suppress(OSError):  # the next picture will try again, and say so
            self._spare = self._spare or _started()

    def close(self) -> None:
        """End the process that is kept ready."""
        with self._lock:
            worker, self._spare = self._spare, None
        if worker is not None:
            _end(worker)


def _started() -> "subprocess.Popen[bytes]":
    packages = dict.fromkeys(str(Path(package.__file__ or "").parents[1]) for package in (PIL, np))
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(packages), "OPENBLAS_NUM_THREADS": "1"}
    worker = subprocess.Popen(  # noqa: S603 - the command is all ours
        [sys.executable, "-P", "-s", "-S", *SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    for pipe in (worker.stdin, worker.stdout):
        with suppress(AttributeError, OSError):  # no Linux, or it is not permitted
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[arg-type]
    return worker


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):  # there is something left that it has not read
            pipe.close()  # type: ignore[union-attr]


def _exchange(worker: "subprocess.Popen[bytes]", data: bytes, least: int | None) -> Image.Image:
    """Send a picture, and read what came of it. Nothing of the answer is taken on trust."""
    request = {
        "limits": {"pixels": MAX_PIXELS, "scans": MAX_SCANS, "side": MIN_SIDE},
        "memory": MAX_MEMORY,
        "seconds": round(2 * MAX_SECONDS),
        "least": least,
        "bytes": len(data),  # the end of the pipe does not tell: a fork of this process would hold it open
    }
    source, sink = worker.stdout, worker.stdin
    try:
        sink.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
        sink.write(data)  # type: ignore[union-attr]
        sink.close()  # type: ignore[union-attr]
        reply: dict[str, Any] = json.loads(source.readline(1000))  # type: ignore[union-attr]
        if reason := reply.get("refused"):
            if "why" in reply:
                log.info("a picture was not decoded: %s", reply["why"])
            raise DecodingError(str(reason), _size(reply.get("size", (0, 0))))
        size, full = _size(reply["size"]), _size(reply["full"])
        if not (0 < size[0] <= full[0] and 0 < size[1] <= full[1] and full[0] * full[1] <= MAX_PIXELS):
            raise ValueError(f"a picture of {size} out of {full}")
        pixels = source.read(3 * size[0] * size[1])  # type: ignore[union-attr]
        picture = Image.frombytes("RGB", size, pixels)
        picture.info = {"frames": int(reply["frames"]), "size": full}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # it ended, or talks nonsense
        log.info("the process that decodes pictures ended: %r", error)
        raise DecodingError("damaged") from error
    return picture


def _size(value: Any) -> tuple[int, int]:
    width, height = value
    return int(width), int(height)


decoders = Decoders()
"""Those of this server. They start no process before the first picture."""
atexit.register(decoders.close)
