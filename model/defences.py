"""Defences by name: what stands between a picture and the classifier.

Adding one is a :class:`Defence` with ``about`` and ``forward`` and a line in :data:`DEFENCES`. One that
cannot be differentiated says what stands in for its gradient, or the attacker of the evaluation is told
nothing and the checks report it as masked.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model import files, pretrained
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.jpeg import jpeg, no_round, soft_round
from model.ops import SURROGATES, Surrogate, straight_through
from model.zoo import CODECS


class UnknownDefenceError(ValueError):
    """No defence has that name; the message lists the names."""


class Defence(nn.Module, ABC):
    """Pictures in, cleaner pictures out: (B,3,H,W) in [0,1] to the same.

    A defence is differentiable end to end, by a stand-in where it has to be. One that knows several
    stand-ins lists them in ``gradients``, best first, and ``gradient`` chooses among them.
    """

    gradients: tuple[str, ...] = ("exact",)
    noisy: bool = False
    """Whether it draws random numbers, so that an attacker has to average over them."""
    learned: ClassVar[bool] = False
    """Whether a network is inside, which makes a gradient expensive."""

    def __init__(self) -> None:
        super().__init__()
        self.gradient = self.gradients[0]

    @property
    @abstractmethod
    def about(self) -> str:
        """What it does, in a few words."""

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file that its weights came from, where it has any."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The pictures that the classifier gets to see."""


class Nothing(Defence):
    """The undefended classifier, the yardstick."""

    about = "no defence"

    def forward(self, x: Tensor) -> Tensor:
        return x


class Codec(Defence):
    """A ComDefend codec, hard codes.

    Args:
        codec: the networks.
        planes: how many planes of the code are kept; None keeps all.
        about: what it is, in a few words.
        file: its tensors, for the hash in the report.
    """

    gradients = SURROGATES
    learned = True
    about = ""

    def __init__(
        self, codec: ComDefend, planes: int | None = None, about: str = "", file: Path | None = None
    ) -> None:
        super().__init__()
        self.codec = codec
        self.planes = planes
        self.about = about
        self.file = file
        if planes is not None and not 1 <= planes <= codec.planes:
            raise UnknownDefenceError(f"the codec has 1 to {codec.planes} planes, not {planes}")

    @property
    def digest(self) -> str | None:
        return None if self.file is None else files.file_hash(self.file)

    def forward(self, x: Tensor) -> Tensor:
        gradient: Surrogate = self.gradient  # type: ignore[assignment]
        reconstruction: Tensor = self.codec(x, gradient, self.planes)
        return reconstruction

    def code(self, x: Tensor) -> Tensor:
        """The binary code of the planes that are kept, shape (B,K,H,W), uint8."""
        return self.codec.compress(x)[:, : self.planes]


class Jpeg(Defence):
    """JPEG at a quality from 1 to 95 (Dziugaite et al. 2016; Das et al. 2017).

    Its stand-ins: JPEG with a soft rounding, JPEG without rounding, and none of JPEG at all.
    """

    gradients = ("soft rounding", "no rounding", "identity")

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    @property
    def about(self) -> str:
        return f"JPEG, quality {self.quality}, 4:2:0"

    def forward(self, x: Tensor) -> Tensor:
        pixels = (x.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
        found = []
        for picture in pixels:
            file = io.BytesIO()
            Image.fromarray(picture.numpy()).save(file, "JPEG", quality=self.quality)
            found.append(torch.from_numpy(np.array(Image.open(file))))
        hard = torch.stack(found).permute(0, 3, 1, 2).to(x) / 255
        if self.gradient == "identity" or not x.requires_grad:
            return straight_through(hard, x)
        return straight_through(
            hard, jpeg(x, self.quality, soft_round if self.gradient == "soft rounding" else no_round)
        )


class BitDepth(Defence):
    """Fewer levels a channel (feature squeezing; Xu, Evans and Qi 2018)."""

    gradients = ("identity",)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    @property
    def about(self) -> str:
        return f"{self.bits} bits a channel"

    def forward(self, x: Tensor) -> Tensor:
        top = 2**self.bits - 1
        return straight_through((x.detach() * top).round() / top, x)


class Median(Defence):
    """The median of 3x3 pixels, each channel alone (feature squeezing; Xu, Evans and Qi 2018)."""

    about = "median of 3 × 3 pixels"

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        around = nn.functional.unfold(nn.functional.pad(x, (1, 1, 1, 1), "reflect"), 3)
        return around.view(batch, channels, 9, height, width).median(2).values


class GaussianNoise(Defence):
    """White noise on the picture at inference, drawn anew each time."""

    noisy = True

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    @property
    def about(self) -> str:
        return f"Gaussian noise, standard deviation {255 * self.deviation:g}/255"

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.deviation * torch.randn_like(x)).clamp(0, 1)


DEFENCES: dict[str, Callable[[], Defence]] = {
    "none": Nothing,
    "jpeg-75": lambda: Jpeg(75),
    "jpeg-50": lambda: Jpeg(50),
    "bits-5": lambda: BitDepth(5),
    "bits-3": lambda: BitDepth(3),
    "median-3": Median,
    "noise-8": lambda: GaussianNoise(8 / 255),
}
"""Besides these, every codec is a defence: by its name, its folder or a Hub id, and ``NAME:PLANES``."""

AUTHORS = "authors"
"""The authors' released weights, which are not in this repository."""


class DefenceName(NamedTuple):
    """What a defence is called: ``NAME``, or ``NAME:PLANES`` for some planes of a codec's code."""

    text: str
    """As it was given."""
    base: str
    """A key of ``DEFENCES``; "jpeg-Q"; or a codec's name, folder or Hub id."""
    planes: int | None = None
    """How many are kept; None: all."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a name.

        Raises:
            UnknownDefenceError: after the colon there is no number.
        """
        base, colon, planes = text.partition(":")
        if not colon or text in DEFENCES:
            return cls(text, text)
        if not planes.isdecimal():
            raise UnknownDefenceError(f"{text!r} wants a number of planes after the colon")
        return cls(text, base, int(planes))


def load_defence(
    name: str | DefenceName, authors: Path | None = None, pictures: Tensor | None = None
) -> Defence:
    """A defence by its name.

    Args:
        name: a key of ``DEFENCES``; a codec's name, folder or Hub id, with ``:6`` after it for six
            planes; or "jpeg-Q" for a quality of 1 to 95.
        authors: the safetensors file with the authors' weights, for the name "authors".
        pictures: shape (B,3,H,W) in [0,1], to fit the width of that codec's straight-through gradient to.

    Raises:
        UnknownDefenceError: there is no such defence.
        WeightsError: a codec's weights are missing or damaged.
    """
    text, base, planes = DefenceName.parse(name) if isinstance(name, str) else name
    if text in DEFENCES:
        return DEFENCES[text]()
    kind, _, quality = text.partition("-")
    if kind == "jpeg" and quality.isdecimal() and 1 <= int(quality) <= 95:
        return Jpeg(int(quality))
    if text == AUTHORS:
        if authors is None:
            raise UnknownDefenceError("the defence 'authors' wants their weights: --authors FILE.safetensors")
        about = "ComDefend, the authors' released weights"
        return Codec(load_authors(authors, pictures), about=about, file=authors)
    if base not in CODECS and "/" not in base and not (base and Path(base).is_dir()):
        known = [*DEFENCES, *CODECS, AUTHORS]
        raise UnknownDefenceError(f"unknown defence {text!r}; choose from {', '.join(known)} or a folder")
    folder = pretrained.find_folder(base)
    what = CODECS[base].about if base in CODECS else Path(base).name
    about = f"ComDefend, {what}" + (f", {planes} planes" if planes is not None else "")
    file = folder / pretrained.TENSORS_FILE if folder else None
    return Codec(ComDefend.from_pretrained(base), planes, about, file)


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
