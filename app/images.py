"""A visitor's file to a tensor, and tensors back to pictures."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from model.data import central_square

MAX_PIXELS = 40_000_000
MIN_SIDE = 4


class ImageError(ValueError):
    """A picture cannot be used; the message is for the visitor."""


def open_picture(path: str | Path | None, least: int | None = None) -> Image.Image:
    """The picture in a file, upright, in RGB, transparency on white; the first frame of an animation.

    Its ``info`` says how many ``frames`` the file has, and its full ``size``, upright.

    Args:
        path: of the file.
        least: sides of so many pixels will do: a JPEG is then decoded faster, at a fraction of its size.

    Raises:
        ImageError: no file, not a picture, damaged, too large or too small.
    """
    if path is None:
        raise ImageError("Choose a picture first: upload one, or click an example.")
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"This picture has {width} x {height} pixels; the limit is "
                    f"{MAX_PIXELS // 1_000_000} million."
                )
            if min(width, height) < MIN_SIDE:
                raise ImageError(
                    f"This picture has {width} x {height} pixels; each side needs at least {MIN_SIDE}."
                )
            if least is not None:
                image.draft("RGB", (least, least))
            picture = _to_rgb(ImageOps.exif_transpose(image))
            turned = (picture.width < picture.height) != (image.width < image.height)
            size = (height, width) if turned else (width, height)
            picture.info = {"frames": getattr(image, "n_frames", 1), "size": size}
            return picture
    except UnidentifiedImageError as error:
        raise ImageError("This file is not a picture that can be read.") from error
    except Image.DecompressionBombError as error:
        raise ImageError("This picture has far too many pixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"This picture is damaged and cannot be read ({error}).") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # more than 8 bits of grey; convert() alone would clip them
        levels = np.nan_to_num(np.asarray(image).astype(np.float64))
        # Which white is meant, a file does not say: that of the fewest bits that hold its values.
        whites = (65535,) if image.mode.startswith("I;16") else (1, 255, 65535)
        white = next((w for w in whites if levels.max() <= w), levels.max())
        levels = 255 * levels / white
        image = Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


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


def to_picture(x: Tensor) -> Image.Image:
    """A tensor of shape (1,3,H,W) or (3,H,W), range [0,1], as an 8-bit picture."""
    if x.ndim == 4:
        (x,) = x
    levels = (x * 255).round().clamp(0, 255).byte().permute(1, 2, 0)  # (H,W,3)
    return Image.fromarray(levels.cpu().numpy())
