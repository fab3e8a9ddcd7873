"""The shapes of the networks, as they are saved beside the weights in ``config.json``."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


def words(text: str) -> list[str]:
    """The parts of a list in one word, "a,b"."""
    return [word for word in text.split(",") if word]


class ConfigError(ValueError):
    """A configuration has an unknown, missing or impossible entry; the message names it."""


@dataclass(frozen=True)
class Config:
    """A frozen record that survives JSON and refuses what it does not know."""

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build the record from parsed JSON. Unknown and missing keys are errors that name them."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ConfigError(f"unknown entries {unknown}; known are {sorted(known)}")
        if missing := sorted(known - set(data)):
            raise ConfigError(f"missing entries {missing}")
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in data.items()})


@dataclass(frozen=True)
class CodecConfig(Config):
    """ComCNN and RecCNN (paper, section 3.2 and Tables 1 and 2).

    ``com_widths`` and ``rec_widths`` are the output channels of the 3x3 convolutions; the last of
    ``com_widths`` is the number of code planes, i.e. bits per pixel. ``sigma`` is the standard
    deviation of the Gaussian noise that is subtracted from the code logits during training.

    ``surrogate_width`` is how wide the straight-through gradient is, in logits. Nothing in the loss
    bounds the logits: trained ones may lie hundreds of sigmas from zero, where the noise's own
    bell has no slope left. An attack through a surrogate that narrow fails by masked gradients, not
    by robustness. So the trained width is the logits' own, measured, and at least sigma.
    """

    com_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 128, 64, 32, 12)
    rec_widths: tuple[int, ...] = (32, 64, 128, 256, 128, 64, 32, 16, 3)
    sigma: float = 20.0
    surrogate_width: float = 20.0

    def __post_init__(self) -> None:
        for name in ("com_widths", "rec_widths"):
            widths = getattr(self, name)
            whole = isinstance(widths, tuple) and all(type(w) is int and w > 0 for w in widths)
            if not whole or not widths:
                raise ConfigError(f"{name} must be positive whole numbers, got {widths!r}")
        if self.rec_widths[-1] != 3:
            raise ConfigError(f"rec_widths must end with 3 (RGB), got {self.rec_widths!r}")
        for name in ("sigma", "surrogate_width"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"{name} must be a positive number, got {value!r}")

    @property
    def planes(self) -> int:
        """Number of binary code planes: the code's bits per pixel."""
        return self.com_widths[-1]


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
