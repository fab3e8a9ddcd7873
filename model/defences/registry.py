"""Which defences there are, and what their names mean."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from torch import Tensor

from model import files, pretrained
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.defences.base import Defence, Nothing, UnknownDefenceError
from model.defences.classic import BitDepth, GaussianNoise, Jpeg, JpegByNoise, Median
from model.defences.learned import Codec, Denoising
from model.denoiser import Denoiser
from model.zoo import CODECS, DENOISERS

DEFENCES: dict[str, Callable[[], Defence]] = {
    "none": Nothing,
    "jpeg-75": lambda: Jpeg(75),
    "jpeg-50": lambda: Jpeg(50),
    "bits-5": lambda: BitDepth(5),
    "bits-3": lambda: BitDepth(3),
    "median-3": Median,
    "noise-8": lambda: GaussianNoise(8 / 255),
}
"""Besides these, every denoiser is a defence, by its name; and every codec, by its name, its folder or a Hub
id, and ``NAME:PLANES``."""

QUALITIES = frozenset(map(str, range(1, 96)))
"""Of JPEG, as its defences' names say them."""
AUTHORS = "authors"
"""The authors' released weights, which are not in this repository."""


class DefenceName(NamedTuple):
    """What a defence is called: ``NAME``, or ``NAME:PLANES`` for some planes of a codec's code."""

    text: str
    """As it was given."""
    base: str
    """A key of ``DEFENCES``; "jpeg-Q"; "jpeg-Q-R"; a denoiser's name; or a codec's name, folder or Hub id."""
    planes: int | None = None
    """How many are kept; None: as many as the codec is meant to."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a name.

        Raises:
            UnknownDefenceError: after the colon there is no number.
        """
        base, colon, planes = text.partition(":")
        if not colon or text in DEFENCES:
            return cls(text, text)
        if not (planes.isdecimal() and len(planes) < 5):  # int() takes no number of thousands of digits
            raise UnknownDefenceError(f"{text!r} wants a number of planes after the colon")
        return cls(text, base, int(planes))


def load_defence(
    name: str | DefenceName, authors: Path | None = None, pictures: Tensor | None = None
) -> Defence:
    """A defence by its name.

    Args:
        name: a key of ``DEFENCES``; a denoiser's name; a codec's name, folder or Hub id, with ``:6`` after it
            for six planes; "jpeg-Q" for a quality of 1 to 95; or "jpeg-Q-R" for another of pictures that
            look noisy.
        authors: the safetensors file with the authors' weights, for the name "authors".
        pictures: shape (B,3,H,W) in [0,1], to fit the width of that codec's straight-through gradient to.

    Raises:
        UnknownDefenceError: there is no such defence.
        WeightsError: a codec's weights are missing or damaged.
    """
    text, base, planes = DefenceName.parse(name) if isinstance(name, str) else name
    if text in DEFENCES:
        return DEFENCES[text]()
    if (jpeg := _jpeg(text)) is not None:
        return jpeg
    if text == AUTHORS:
        if authors is None:
            raise UnknownDefenceError("the defence 'authors' wants their weights: --authors FILE.safetensors")
        about = "ComDefend, the authors' released weights"
        return Codec(load_authors(authors, pictures), about=about, file=authors)
    if text in DENOISERS:
        entry = DENOISERS[text]
        return Denoising(
            Denoiser.from_pretrained(entry.folder), entry.about, entry.folder / pretrained.TENSORS_FILE
        )
    if base not in CODECS and "/" not in base and not _is_folder(base):
        known = [*DEFENCES, *CODECS, *DENOISERS, AUTHORS]
        raise UnknownDefenceError(f"unknown defence {text!r}; choose from {', '.join(known)} or a folder")
    folder = pretrained.find_folder(base)
    what = CODECS[base].about if base in CODECS else Path(base).name
    about = f"ComDefend, {what}" + (f", {planes} planes" if planes is not None else "")
    file = folder / pretrained.TENSORS_FILE if folder else None
    return Codec(ComDefend.from_pretrained(base), planes, about, file)


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except OSError:  # too long for a name, say
        return False


def _jpeg(name: str) -> Defence | None:
    """JPEG of that name, "jpeg-Q" or "jpeg-Q-R", if it is one."""
    kind, *qualities = name.split("-")
    if kind != "jpeg" or not all(text in QUALITIES for text in qualities):
        return None
    match [int(text) for text in qualities]:
        case [quality]:
            return Jpeg(quality)
        case [quality, lower]:
            return JpegByNoise(quality, lower)
    return None


def load_authors(file: Path, pictures: Tensor | None = None) -> ComDefend:
    """The paper's networks with tensors from a safetensors file.

    Args:
        file: ``com.conv0.weight`` to ``rec.conv8.bias``, as in our own files.
        pictures: shape (B,3,H,W) in [0,1]: the straight-through gradient becomes as wide as their logits.
            Without them it is as wide as the training noise.
    """
    codec = ComDefend(CodecConfig())
    tensors, _ = files.read_tensors(file)
    files.load_tensors(codec, tensors, file)
    if pictures is not None:
        codec.measure_surrogate(pictures)
    return codec.eval()
