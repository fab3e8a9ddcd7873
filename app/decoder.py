"""The process that decodes one picture, for :mod:`app.decoding`; it imports Pillow and NumPy, and ends.

It says that it is ready, gives up all that decoding does not need, reads one picture from its standard input,
and writes what it found, a line of JSON, and the pixels to its standard output.
"""

import contextlib
import io
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (  # noqa: F401 - they register what they read
    ExifTags,
    Image,
    ImageOps,
    MpoImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

READY = b"ready\n"
BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
"""How the files of each format begin; WebP's are told apart by :func:`kind`."""
MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""What begins a segment of a JPEG; other marks are bytes of a scan, or have nothing behind them."""
START_OF_SCAN, END_OF_PICTURE = b"\xda", b"\xd9"
STRIP_PIXELS = 1_000_000
"""Pixels are made RGB so many at a time: of numbers of 64 bits, a large picture would take gigabytes."""


class Refused(Exception):
    """A picture is not decoded; the reason is one of a few words."""

    def __init__(self, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.reply = {"refused": reason, **details}


def rehearse() -> None:
    """Decode what has a bit of everything, as Pillow imports much only when it meets a use for it."""
    picture = Image.new("RGBA", (8, 8), "white")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.preinit()
    for name in ("GIF", "MPO", "PNG", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        frames = [picture.convert("RGB" if name == "MPO" else "RGBA"), Image.new("RGB", picture.size, "red")]
        frames[0].save(buffer, name, save_all=True, append_images=frames[1:], exif=exif)
        _, rows = decode(buffer.getvalue(), {"pixels": 64, "scans": 100, "side": 1}, None)
        list(rows)
    Image.new("LAB", (1, 1)).convert("RGB")


def seal(memory: int, seconds: int) -> None:
    """Take from this process what decoding does not need, for good.

    It opens no file and no connection any more, starts no program, leaves no image of its memory behind, and
    ends itself, should nobody be left to end it. Windows has no such limits: there, only that the process is
    ended from outside bounds it. Nor has macOS the one of memory, which is bounded by that of pixels there.

    Args:
        memory: how many bytes more than now it may take.
        seconds: of the processor's time.
    """
    if resource is None:
        return
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)
    _limit(resource.RLIMIT_CPU, math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + seconds)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, 3)  # the three that are open


def _limit(what: int, value: int) -> None:
    _, most = resource.getrlimit(what)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(what, (value, value))


def kind(data: bytes) -> str | None:
    """The format of a file by how it begins; None if it is none of those that are read."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for beginning, name in BEGINNINGS.items() if data.startswith(beginning)), None)


def scans(data: bytes, most: int) -> int:
    """How many scans a JPEG has, as a decoder meets them; counting ends above ``most``.

    Segments are stepped over, as they may hold whole JPEGs: previews, other exposures.
    """
    found, at = 0, 0
    while found <= most and (marker := MARKER.search(data, at)) and marker[1] != END_OF_PICTURE:
        if marker[1] == START_OF_SCAN:
            found += 1
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return found


def decode(data: bytes, limits: dict[str, int], least: int | None) -> tuple[dict[str, Any], Iterator[bytes]]:
    """What is found of a picture, and its pixels in RGB, some rows at a time.

    The picture is upright, transparency lies on white; of an animation it is the first frame.

    Args:
        data: a stranger's file.
        limits: the most ``pixels`` and ``scans``, and the fewest pixels of a ``side``.
        least: sides of so many pixels will do.

    Returns:
        ``size`` of the pixels that follow, the ``full`` size of the picture, upright, its ``frames``; and
        the rows.
    """
    format_name = kind(data)
    if format_name is None:
        raise Refused("kind")
    if format_name == "JPEG" and scans(data, limits["scans"]) > limits["scans"]:
        raise Refused("scans")
    # Without `formats` Pillow tries all that it knows, and runs Ghostscript on what calls itself PostScript.
    image = Image.open(io.BytesIO(data), formats=(format_name,))
    width, height = image.size
    if width * height > limits["pixels"]:
        raise Refused("pixels", size=[width, height])
    if min(width, height) < limits["side"]:
        raise Refused("side", size=[width, height])
    frames = getattr(image, "n_frames", 1)
    if least is not None:
        image.draft("RGB", (least, least))
    drafted = image.size
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    turned = (drafted[0] < drafted[1]) != (image.width < image.height)
    factor = 1 if least is None else max(1, min(image.size) // least)
    found = {
        "size": [-(-image.width // factor), -(-image.height // factor)],
        "full": [height, width] if turned else [width, height],
        "frames": frames,
    }
    return found, _rows(image, factor)


def _rows(image: Image.Image, factor: int) -> Iterator[bytes]:
    """The picture as RGB, both sides ``factor`` times smaller."""
    count = max(1, STRIP_PIXELS // image.width // factor) * factor
    strips = [(0, top, image.width, min(top + count, image.height)) for top in range(0, image.height, count)]
    white: float | None = None
    if image.mode.startswith(("I", "F")):
        # Which white is meant, a file does not say: that of the fewest bits that hold its values.
        if image.mode.startswith("I;16"):
            white = 65535
        else:
            largest = max(_levels(image.crop(strip)).max() for strip in strips)
            white = next((value for value in (1, 255, 65535) if largest <= value), largest)
    for strip in strips:
        rgb = _to_rgb(image.crop(strip), white)
        yield (rgb if factor == 1 else rgb.reduce(factor)).tobytes()


def _levels(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64))


def _to_rgb(image: Image.Image, white: float | None) -> Image.Image:
    if white is not None:  # more than 8 bits of grey; convert() alone would clip them
        levels = 255 * _levels(image) / white
        image = Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def main() -> None:
    """Answer one request."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    rehearse()
    sink.write(READY)
    sink.flush()
    request = json.loads(source.readline())
    seal(request["memory"], request["seconds"])
    try:
        reply, rows = decode(source.read(request["bytes"]), request["limits"], request["least"])
    except Refused as error:
        reply, rows = error.reply, iter(())
    except MemoryError:
        reply, rows = {"refused": "memory"}, iter(())
    except UnidentifiedImageError:
        reply, rows = {"refused": "kind"}, iter(())
    except Image.DecompressionBombError:
        reply, rows = {"refused": "bomb"}, iter(())
    except Exception as error:  # noqa: BLE001 - on a stranger's bytes, Pillow raises whatever it comes to
        reply, rows = {"refused": "damaged", "why": repr(error)[:200]}, iter(())
    sink.write(json.dumps(reply).encode() + b"\n")
    for row in rows:
        sink.write(row)


if __name__ == "__main__":
    main()
