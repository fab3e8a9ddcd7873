"""What visitors' files hold, of those that came last: a session has a digest, and the content is here, once.

A session is kept for an hour, and a stranger may have as many as he likes. So what each of them holds of a
file of 20 MB is 32 bytes, and all contents together have a limit.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.images import ImageError
from app.recent import Recent
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
        self._contents: Recent[bytes, bytes] = Recent(len, most, seconds, clock, at_least=1)

    def keep(self, content: bytes) -> KeptFile:
        """Keep what a file holds, until its time is over or others need the room."""
        digest = hashlib.sha256(content).digest()
        self._contents.put(digest, content)
        return KeptFile(digest)

    def read(self, file: KeptFile) -> bytes:
        """What a file holds.

        Raises:
            ImageError: it is not kept any more.
        """
        content = self._contents.get(file.digest)
        if content is None:
            raise ImageError(GONE)
        return content


late = KeptFiles()
"""Those of this server."""
