"""The pictures decoded last: each release of a slider brings the same upload again.

A process that decodes costs 0.15 to 0.25 s a picture, a large part of an answer that should take one second.
"""

import hashlib
import time
from collections.abc import Callable

from PIL import Image

from app.decoding import decoders
from app.recent import Recent
from app.settings import limits

MAX_BYTES = limits.decoded_megabytes * 1024**2
KEPT_SECONDS = limits.kept_seconds
"""As long as the files of uploads are."""
CHANNELS = 3

Decode = Callable[[bytes, int | None, Callable[[], None]], Image.Image]


class RecentPictures:
    """Decodes as :meth:`app.decoding.Decoders.decode` does, what it decoded lately only once.

    A picture is known by all the bytes of its file: nobody is given one that he has not sent himself. What is
    refused is not remembered, as the reason may have been that there was no time.

    Args:
        decode: what decodes a file that is not known.
        most: bytes of pixels that are kept, those used last; a single picture may have a quarter of that.
        seconds: how long a picture is kept, however often it is used.
        clock: in seconds.
    """

    def __init__(
        self,
        decode: Decode,
        most: int = MAX_BYTES,
        seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decode, self._largest = decode, most // 4
        self._kept: Recent[tuple[bytes, int | None], Image.Image] = Recent(_bytes, most, seconds, clock)

    def decode(
        self, data: bytes, least: int | None = None, check: Callable[[], None] = lambda: None
    ) -> Image.Image:
        """The picture in RGB, the caller's own; see :meth:`app.decoding.Decoders.decode`."""
        key = (hashlib.sha256(data).digest(), least)
        known = self._kept.get(key)
        if known is not None:
            return known.copy()
        picture = self._decode(data, least, check)
        if _bytes(picture) <= self._largest:
            self._kept.put(key, picture.copy())
        return picture


def _bytes(picture: Image.Image) -> int:
    return CHANNELS * picture.width * picture.height


recent = RecentPictures(decoders.decode)
"""Those of this server."""
