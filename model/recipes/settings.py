"""What a run can choose of a recipe: its values' kinds and ranges, checked here and nowhere else."""

import math
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Self, get_args, get_origin

from model.config import Config, comma_separated


class SettingError(ValueError):
    """A recipe was given a setting that it does not have or cannot have; the message names it."""


@dataclass(frozen=True)
class Range:
    """Which finite numbers a setting can be."""

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    """Whether ``low`` itself is outside."""
    without_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.without_low else value >= self.low
        below = value < self.high if self.without_high else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"above {self.low:g}" if self.without_low else f"at least {self.low:g}")
        if self.high < math.inf:
            parts.append(f"below {self.high:g}" if self.without_high else f"at most {self.high:g}")
        return " and ".join(parts) or "finite"


SHARE = Range(0, 1)
WEIGHT = Range(0)
ANY = Range()


def setting(
    default: Any, about: str, within: Range = ANY, *, names: Collection[str] = (), wanted: bool = False
) -> Any:
    """A field of a :class:`Settings`.

    Args:
        default: the recipe's own choice, where its task does not say otherwise.
        about: what it means, for the help of the command line.
        within: which numbers it can be, or the numbers in it.
        names: which words it can be, or the words in it; all where there are none.
        wanted: whether a list must have at least one entry.
    """
    return field(
        default=default, metadata={"about": about, "within": within, "names": names, "wanted": wanted}
    )


@dataclass(frozen=True)
class Settings(Config):
    """What a run can choose of a recipe; a recipe's own has a field for each, made by :func:`setting`.

    A value is a number, a word, or a tuple of either. It is kept as JSON in checkpoints, records and cards.

    Raises:
        SettingError: a value is of another kind, or out of its range; the message names it.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _checked(each, getattr(self, each.name)))

    def changed(self, given: Mapping[str, Any]) -> Self:
        """The same with the given values, by name; text is read as what the setting is.

        A list is read from text with commas.
        """
        kinds = {each.name: each.type for each in fields(self)}
        return replace(
            self,
            **{
                name: _read(name, kinds[name], value) if isinstance(value, str) else value
                for name, value in given.items()
            },
        )


def spelled_out(settings: Mapping[str, Any]) -> list[str]:
    """Settings in JSON as "name=value", by name, for people to read."""
    return [f"{name}={as_text(value)}" for name, value in sorted(settings.items())]


def as_text(value: Any) -> str:
    """A setting's value as it is given on the command line."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(name: str, kind: Any, text: str) -> Any:
    """The value that a text means."""
    if get_origin(kind) is tuple:
        return tuple(_read(name, get_args(kind)[0], part) for part in comma_separated(text))
    try:
        return kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise SettingError(f"{name} must be {what}, got {text!r}") from error


def _checked(each: "Field[Any]", value: Any) -> Any:
    """A setting's value, as its kind has it."""
    if get_origin(each.type) is not tuple:
        return _checked_one(each, each.type, value)
    if not isinstance(value, list | tuple):
        raise SettingError(f"{each.name} must be a list, got {value!r}")
    if each.metadata["wanted"] and not value:
        raise SettingError(f"{each.name} must name at least one")
    return tuple(_checked_one(each, get_args(each.type)[0], part) for part in value)


def _checked_one(each: "Field[Any]", kind: Any, value: Any) -> Any:
    if kind is str:
        names = each.metadata["names"]
        if not isinstance(value, str):
            raise SettingError(f"{each.name} must be a word, got {value!r}")
        if names and value not in names:
            raise SettingError(f"{each.name} must be one of {', '.join(names)}, got {value!r}")
        return value
    numbers = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, numbers):
        what = "a whole number" if kind is int else "a number"
        raise SettingError(f"{each.name} must be {what}, got {value!r}")
    if value not in each.metadata["within"]:
        raise SettingError(f"{each.name} must be {each.metadata['within']}, got {value:g}")
    return kind(value)
