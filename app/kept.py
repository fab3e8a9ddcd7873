"""What visitors' files hold, of those that came last: a session has a digest, and the content is here, once.

A session is kept for an hour, and a stranger may have as many as he likes. So what each of them holds of a
file of 20 MB is 32 bytes, and all contents together have a limit.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.images import ImageError
from app.settings import limits

MAX_BYTES = limits.kept_megabytes * 1024**2
KEPT_SECONDS = limits.kept_seconds
"""As long as the files themselves are."""
GONE = "This picture is not kept any more; choose it again."


@dataclass(frozen=True)
class KeptFile:
    """A file by what it holds: two of the same content are equal."""

    digest: bytes


class KeptFiles:
    """Contents by their digest; those that were used longest ago go first.

    Args:
        most: bytes that are kept; of a single file, as many as it has.
        seconds: how long a content is kept after it was last given.
        clock: in seconds.
    """

    def __init__(
        self,
        most: int = MAX_BYTES,
        seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._contents: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, content: bytes) -> KeptFile:
        """Keep what a file holds, until its time is over or others need the room."""
        digest = hashlib.sha256(content).digest()
        with self._lock:
            self._contents[digest] = (self._clock(), content)
            self._contents.move_to_end(digest)
            self._forget()
        return KeptFile(digest)

    def read(self, file: KeptFile) -> bytes:
        """What a file holds.

        Raises:
            ImageError: it is not kept any more.
        """
        with self._lock:
            self._forget()
            if file.digest not in self._contents:
                raise ImageError(GONE)
            return self._contents[file.digest][1]

    def _forget(self) -> None:
        """Let go of what is too old, then of what was given longest ago, until the rest fits."""
        now = self._clock()
        while self._contents and now - next(iter(self._contents.values()))[0] > self._seconds:
            self._contents.popitem(last=False)
        while len(self._contents) > 1 and sum(len(c) for _, c in self._contents.values()) > self._most:
            self._contents.popitem(last=False)


late = KeptFiles()
"""Those of this server."""
