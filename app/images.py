"""A visitor's file to a tensor, and tensors back to pictures."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.decoded import recent
from app.decoding import MAX_PIXELS, MAX_SCANS, MIN_SIDE, DecodingError
from model.data import central_square

SENTENCES = {
    "kind": "This file is not a picture that can be read; PNG, JPEG, WebP, GIF, BMP and TIFF are.",
    "damaged": "This picture is damaged and cannot be read.",
    "bomb": "This picture has far too many pixels.",
    "pixels": "This picture has {width} x {height} pixels; the limit is "
    f"{MAX_PIXELS // 1_000_000} million.",
    "side": f"This picture has {{width}} x {{height}} pixels; each side needs at least {MIN_SIDE}.",
    "scans": f"This progressive JPEG has more than {MAX_SCANS} scans; save it anew, with fewer.",
    "time": "This picture takes too long to decode; save it anew, smaller or in another format.",
    "memory": "This picture takes too much memory to decode; save it anew, smaller or in another format.",
    "busy": "Too many pictures are being looked at; try again in a few seconds.",
}
"""What is said to a visitor, by the reason of a :class:`app.decoding.DecodingError`."""


class ImageError(ValueError):
    """A picture cannot be used; the message is for the visitor."""


def open_picture(
    source: bytes | str | Path | None, least: int | None = None, check: Callable[[], None] = lambda: None
) -> Image.Image:
    """The picture in a file, upright, in RGB, transparency on white; the first frame of an animation.

    Its ``info`` says how many ``frames`` the file has, and its full ``size``, upright.

    Args:
        source: what the file holds, as :func:`app.uploads.read` gives it for a stranger's; or the path of a
            file of our own.
        least: sides of so many pixels will do: the picture may then be a fraction of its size.
        check: called while other pictures have their turn; may raise.

    Raises:
        ImageError: no file, not a picture, damaged, too large or too small.
    """
    if source is None:
        raise ImageError("Choose a picture first: upload one, or click an example.")
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError("This file cannot be read.") from error
    try:
        return recent.decode(data, least, check)
    except DecodingError as error:
        width, height = error.size
        sentence = SENTENCES.get(error.reason, SENTENCES["damaged"])
        raise ImageError(sentence.format(width=width, height=height)) from error


def prepare(picture: Image.Image, size: int, crop: float = 1.0) -> Tensor:
    """The picture as a classifier gets it, see :func:`model.data.central_square`.

    Shape (1,3,size,size), multiples of 1/255.
    """
    return full_size(central_square(picture, size, crop))


def full_size(picture: Image.Image) -> Tensor:
    """A picture as it is, shape (1,3,H,W), multiples of 1/255."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of that kind ("PNG", "JPEG")."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def data_url(picture: Image.Image) -> str:
    """A picture, exactly as it is, as the address of an ``img``."""
    return "data:image/png;base64," + base64.b64encode(encode(picture, "PNG")).decode()


def to_picture(x: Tensor) -> Image.Image:
    """A tensor of shape (1,3,H,W) or (3,H,W), range [0,1], as an 8-bit picture."""
    if x.ndim == 4:
        (x,) = x
    levels = (x * 255).round().clamp(0, 255).byte().permute(1, 2, 0)  # (H,W,3)
    return Image.fromarray(levels.cpu().numpy())
