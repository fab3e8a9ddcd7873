"""The shapes of the networks, as they are saved beside the weights in ``config.json``."""

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self, get_args


def comma_separated(text: str) -> list[str]:
    """The parts of a list in one word, "a,b"."""
    return [part for part in text.split(",") if part]


class ConfigError(ValueError):
    """A configuration has an unknown, missing or impossible entry; the message names it."""


@dataclass(frozen=True)
class Config:
    """A frozen record that survives JSON and refuses what it does not know."""

    later: ClassVar[frozenset[str]] = frozenset()
    """Entries that older files lack; their defaults are what was meant then."""

    def to_dict(self) -> dict[str, Any]:
        return {name: _each(value, tuple, list) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build the record from parsed JSON. Unknown and missing keys are errors that name them."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ConfigError(f"unknown entries {unknown}; known are {sorted(known)}")
        if missing := sorted(known - cls.later - set(data)):
            raise ConfigError(f"missing entries {missing}")
        return cls(**{name: _each(value, list, tuple) for name, value in data.items()})


def _each(value: Any, old: Any, new: Any) -> Any:
    """A sequence as one of another type, and those in it; no deeper, for a stranger's file may be deep."""
    if not isinstance(value, old):
        return value
    return new(new(inner) if isinstance(inner, old) else inner for inner in value)


def _check_widths(name: str, widths: Any) -> None:
    """Refuse what is no tuple of channels."""
    whole = isinstance(widths, tuple) and all(type(w) is int and w > 0 for w in widths)
    if not whole or not widths:
        raise ConfigError(f"{name} must be positive whole numbers, got {widths!r}")


Activation = Literal["elu", "gelu"]
Dial = tuple[tuple[float, int], ...]
"""Pairs of a noise, in 1/255, and of how many planes are kept from that noise on."""


def in_words(dial: Dial) -> str:
    """How many planes are kept of which pictures."""
    (_, first), *others = dial
    return ", ".join(
        [f"{first} planes", *(f"{kept} from a noise of {noise:g}/255 on" for noise, kept in others)]
    )


@dataclass(frozen=True)
class CodecConfig(Config):
    """ComCNN and RecCNN (paper, section 3.2 and Tables 1 and 2), or a light shape of them.

    ``com_widths`` and ``rec_widths`` are the output channels of the 3x3 convolutions; the last of
    ``com_widths`` is the number of code planes. ``sigma`` is the standard deviation of the Gaussian noise
    that the paper's recipe subtracts from the code logits during training.

    ``downscale`` is the side s of the square of pixels that is folded into channels before ComCNN and
    unfolded after RecCNN, so that both work at 1/s of the picture's size and K planes are K/s^2 bits per
    pixel. ``residual``: the convolutions between the first and the last are pairs with a shortcut around
    them. ``activation`` stands between convolutions.

    ``kept`` is how many of the planes are kept where nobody says: of codecs that can do with fewer, some take
    perturbations away best with few. A number; or, by how noisy each picture is
    (:func:`model.noise.noise_level`), pairs of a noise in 1/255 and the number from there on, the noises
    rising from 0. None: all.

    ``surrogate_width`` is how wide the straight-through gradient is, in logits. Nothing in the paper's loss
    bounds the logits: trained ones may lie hundreds of sigmas from zero, where the noise's own
    bell has no slope left. An attack through a surrogate that narrow fails by masked gradients, not
    by robustness. So the trained width is the logits' own, measured, and at least sigma. With ``bounded``
    there is nothing to measure: each position's logits have a root mean square of one, and the width is one.
    """

    later = frozenset({"downscale", "residual", "activation", "bounded", "kept"})

    com_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 128, 64, 32, 12)
    rec_widths: tuple[int, ...] = (32, 64, 128, 256, 128, 64, 32, 16, 3)
    sigma: float = 20.0
    surrogate_width: float = 20.0
    downscale: int = 1
    residual: bool = False
    activation: Activation = "elu"
    bounded: bool = False
    kept: int | Dial | None = None

    def __post_init__(self) -> None:
        for name in ("com_widths", "rec_widths"):
            widths = getattr(self, name)
            _check_widths(name, widths)
            inner = widths[:-1]
            if self.residual and not (len(inner) % 2 and len(set(inner)) == 1):
                raise ConfigError(
                    f"{name} of residual networks must be one width an odd number of times, and the last "
                    f"one, got {widths!r}"
                )
        if type(self.downscale) is not int or self.downscale not in (1, 2, 4):
            raise ConfigError(f"downscale must be 1, 2 or 4, got {self.downscale!r}")
        if self.rec_widths[-1] != 3 * self.downscale**2:
            raise ConfigError(
                f"rec_widths must end with {3 * self.downscale**2} (RGB, folded), got {self.rec_widths!r}"
            )
        for name in ("sigma", "surrogate_width"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"{name} must be a positive number, got {value!r}")
        for name in ("residual", "bounded"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.activation not in get_args(Activation):
            raise ConfigError(f"activation must be one of {get_args(Activation)}, got {self.activation!r}")
        if self.bounded and self.surrogate_width != 1:
            raise ConfigError(f"the surrogate_width of bounded logits is 1, got {self.surrogate_width!r}")
        if not (self.kept is None or self._is_number(self.kept) or self._is_dial(self.kept)):
            raise ConfigError(
                f"kept must be 1 to {self.planes} planes, null for all, or pairs of a noise and of such a "
                f"number from a noise of 0 on, got {self.kept!r}"
            )

    def _is_number(self, kept: Any) -> bool:
        """Whether it is a possible number of planes."""
        return type(kept) is int and 1 <= kept <= self.planes

    def _is_dial(self, kept: Any) -> bool:
        if not isinstance(kept, tuple) or not all(isinstance(p, tuple) and len(p) == 2 for p in kept):
            return False
        noises = [noise for noise, _ in kept]
        return (
            all(type(noise) in (int, float) for noise in noises)
            and noises[:1] == [0]
            and all(a < b for a, b in pairwise(noises))  # also refuses NaN
            and all(self._is_number(planes) for _, planes in kept)
        )

    @classmethod
    def light(
        cls,
        downscale: int,
        planes: int,
        width: int,
        com_blocks: int,
        rec_blocks: int,
        kept: int | Dial | None = None,
    ) -> Self:
        """The light shape: folded pictures, residual blocks, bounded logits.

        Args:
            downscale: side of the squares that are folded, 2 or 4.
            planes: binary planes of the code, at 1/``downscale`` of the picture's size.
            width: channels throughout.
            com_blocks, rec_blocks: residual blocks, two convolutions each, of ComCNN and RecCNN.
            kept: how many of the planes are kept where nobody says, as above.
        """
        return cls(
            com_widths=(width,) * (2 * com_blocks + 1) + (planes,),
            rec_widths=(width,) * (2 * rec_blocks + 1) + (3 * downscale**2,),
            surrogate_width=1.0,
            downscale=downscale,
            residual=True,
            activation="gelu",
            bounded=True,
            kept=kept,
        )

    @property
    def planes(self) -> int:
        """Number of binary code planes."""
        return self.com_widths[-1]

    @property
    def bits_per_pixel(self) -> float:
        """Size of the whole code, in bits per pixel of the picture."""
        return self.planes / self.downscale**2

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds of both networks, per pixel of the picture."""
        total = 0
        for channels, widths in ((3 * self.downscale**2, self.com_widths), (self.planes, self.rec_widths)):
            total += sum(9 * a * b for a, b in pairwise((channels, *widths)))
        return total / self.downscale**2


@dataclass(frozen=True)
class DenoiserConfig(Config):
    """A denoising U-Net: the channels at the picture's size, at half of it, and so on."""

    widths: tuple[int, ...] = (32, 64, 128)

    def __post_init__(self) -> None:
        _check_widths("widths", self.widths)


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """A classifier: its architecture's name, what it predicts, and how it wants its input.

    ``mean`` and ``std`` normalise RGB in [0,1]; they are applied inside the module.
    ``image_size`` is the side, in pixels, of the square pictures that it wants. They show the central
    square of a picture, whose side is ``crop`` times the picture's shorter one.
    """

    arch: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.arch, str):
            raise ConfigError(f"arch must be a name, got {self.arch!r}")
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise ConfigError(f"classes must be names, got {self.classes!r}")
        if type(self.image_size) is not int or self.image_size <= 0:
            raise ConfigError(f"image_size must be a positive whole number, got {self.image_size!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(s > 0 for s in self.std):
            raise ConfigError(f"mean and std must be 3 numbers each, got {self.mean} and {self.std}")
        if not isinstance(self.crop, int | float) or not 0 < self.crop <= 1:
            raise ConfigError(f"crop must be above 0 and at most 1, got {self.crop!r}")
