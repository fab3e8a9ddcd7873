"""Files that cost more than they look, or that are no pictures at all."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of zeros, made without holding its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    channels = {0: 1, 2: 3, 6: 4}[colour]
    row = bytes(1 + width * channels * depth // 8)
    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_scans(count: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG of so many scans: one of its own, again and again."""
    buffer = io.BytesIO()
    Image.new("L", size, 90).save(buffer, "JPEG", progressive=True, quality=50)
    data = buffer.getvalue()
    first, *others = data[:-2].split(b"\xff\xda")
    scans = [b"\xff\xda" + scan for scan in others]
    return first + b"".join(scans) + scans[-1] * (count - len(scans)) + b"\xff\xd9"


def phone_jpeg(width: int = 6000, height: int = 4000) -> bytes:
    """A photograph as a phone takes it: large, with texture, lying on its side."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    picture = small.resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.fromarray(rng.integers(0, 48, (500, 500, 3), dtype=np.uint8))
    pixels = np.asarray(picture) // 2 + np.tile(np.asarray(noise), (height // 500, width // 500, 1))
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=88, exif=exif)
    return buffer.getvalue()


def postscript(program: str) -> bytes:
    """A program that Pillow hands to Ghostscript, where there is one, to draw a picture of 64 x 64."""
    return (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{program}\nshowpage\n%%EOF\n"
    ).encode()


def tiff(*entries: tuple[int, int]) -> bytes:
    """A TIFF that has nothing but these tags, numbers of 16 bits each."""
    tags = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + struct.pack("<I", 0)


def qoi(width: int, height: int) -> bytes:
    """A black picture of a format that Pillow reads and the lab does not."""
    return (
        b"qoif"
        + struct.pack(">IIBB", width, height, 3, 0)
        + b"\xfe\0\0\0" * (width * height)
        + bytes(7)
        + b"\1"
    )
