"""Drawings in the page, as SVG in its own colours: the networks, and what was measured."""

import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from app.page.text import DRAWINGS
from model import curve
from model.config import CodecConfig
from model.files import read_json

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)

WIDTH, ROW = 520, 150
LEFT, RIGHT = 92, WIDTH - 92


def networks(config: CodecConfig) -> str:
    """ComCNN above, RecCNN beneath, as SVG: a bar for each convolution, as high as it has channels.

    Drawn in ``currentColor``, so that it is readable on any background. Arcs are the shortcuts of residual
    networks; what is folded is said beneath the picture.
    """
    scale = config.downscale
    code = f"{config.planes} planes, {config.bits_per_pixel:g} bits per pixel"
    folded = f", folded {scale} × {scale}" if scale > 1 else ""
    alt = (
        f"ComCNN turns a picture{folded} into a binary code of {code} with "
        f"{len(config.com_widths)} convolutions, RecCNN turns the code into a picture with "
        f"{len(config.rec_widths)} convolutions."
    )
    sheets, begin, end = _code(config), _picture("picture", scale), _picture("reconstruction", scale)
    rows = "".join(
        (
            _row(0, "ComCNN", config.com_widths, config.residual, begin, sheets),
            _row(ROW, "RecCNN", config.rec_widths, config.residual, sheets, end),
        )
    )
    return (
        f'<svg class="networks" viewBox="0 0 {WIDTH} {2 * ROW}" role="img" aria-label="{html.escape(alt)}" '
        f'fill="none" stroke="currentColor" xmlns="http://www.w3.org/2000/svg">{rows}</svg>'
    )


def _row(top: int, name: str, widths: tuple[int, ...], residual: bool, start: str, end: str) -> str:
    middle = top + 66
    step = (RIGHT - LEFT - 40) / len(widths)
    tallest = math.log2(max(widths) + 1)
    bars = []
    for i, width in enumerate(widths):
        height = 84 * math.log2(width + 1) / tallest
        x = LEFT + 20 + i * step
        bars.append(
            f'<rect x="{x:.1f}" y="{middle - height / 2:.1f}" width="{step * 0.55:.1f}" '
            f'height="{height:.1f}" rx="2" fill="currentColor" fill-opacity="0.25"/>'
            + _text(x + step * 0.275, middle + 58, str(width), 11)
        )
        if residual and i % 2 and i < len(widths) - 1:  # around this convolution and the next
            left, right = x - 0.2 * step, x + 1.75 * step
            bars.append(
                f'<path d="M{left:.1f} {middle - 42}q{(right - left) / 2:.1f} -14 {right - left:.1f} 0"/>'
            )
    return (
        f'<g transform="translate(14,{middle - 32})">{start}</g>'
        f'<g transform="translate({RIGHT + 14},{middle - 32})">{end}</g>'
        + _arrow(LEFT - 10, middle)
        + _arrow(RIGHT - 14, middle)
        + "".join(bars)
        + _text(WIDTH / 2, top + 10, f"{name}: {len(widths)} convolutions of 3 × 3, their channels", 13)
    )


def _arrow(x: float, y: float) -> str:
    return f'<path d="M{x} {y}h20m-6 -5l6 5l-6 5"/>'


def _text(x: float, y: float, label: str, size: int) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="middle" '
        f'fill="currentColor" stroke="none">{html.escape(label)}</text>'
    )


def _picture(caption: str, scale: int) -> str:
    """A small landscape in a frame, and the grid by which it is folded."""
    grid = "".join(
        f'<path d="M{64 * i / 4:g} 0v64M0 {64 * i / 4:g}h64" opacity="0.35"/>'
        for i in range(1, 4)
        if scale > 1
    )
    folded = _text(32, 95, f"folded {scale} × {scale}", 11) if scale > 1 else ""
    return (
        '<rect width="64" height="64" rx="3"/><circle cx="46" cy="17" r="7"/>'
        '<path d="M2 54l18 -26l14 18l10 -12l18 20"/>' + grid + _text(32, 82, caption, 11) + folded
    )


def _code(config: CodecConfig) -> str:
    """A stack of sheets with zeros and ones."""
    sheets = (
        "".join(f'<path d="M{12 - 4 * i} {4 + 4 * i}v-4h52v52h-4"/>' for i in range(3))
        + '<rect y="12" width="52" height="52" rx="2" fill="currentColor" fill-opacity="0.12"/>'
    )
    planes = _text(32, 95, f"{config.planes} planes", 11) if config.downscale > 1 else ""
    return (
        sheets
        + _text(26, 43, "0110", 14)
        + _text(32, 82, f"{config.bits_per_pixel:g} bits per pixel", 11)
        + planes
    )


def histogram(shares: Sequence[float], alt: str) -> str:
    """Shares of numbers from 0 to 1 in bins of one width, as bars in ``currentColor``."""
    width, height, foot = 160, 80, 16
    step, tallest = width / len(shares), max(shares)
    bars = "".join(
        f'<rect x="{i * step + 0.5:.1f}" y="{height * (1 - share / tallest):.1f}" width="{step - 1:.1f}" '
        f'height="{height * share / tallest:.1f}" fill="currentColor" fill-opacity="0.6" stroke="none"/>'
        for i, share in enumerate(shares)
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {width} {height + foot}" role="img" '
        f'aria-label="{html.escape(alt)}" stroke="currentColor" xmlns="http://www.w3.org/2000/svg">{bars}'
        f'<path d="M0 {height}h{width}"/>'
        + _text(5, height + foot - 2, "0", 13)
        + _text(width - 5, height + foot - 2, "1", 13)
        + "</svg>"
    )


def training(folder: Path) -> str:
    """The training curve of a model in a folder; empty where the model was scored only once."""
    path = folder / curve.FILE
    if not path.is_file():
        return ""
    return _inline(path, curve.summary(read_json(folder / "history.json")), {})


def of_report(folder: Path, names: Mapping[str, str] | None = None) -> str:
    """The drawings of a published report besides its chart, those that there are.

    Args:
        folder: the report's.
        names: what defences are called on the page, where that is not the name they have in the drawings.
    """
    drawn = [(folder / f"{name}.svg", alt) for name, alt in DRAWINGS.items()]
    shown = "".join(_inline(path, alt, names or {}) for path, alt in drawn if path.is_file())
    return f'<div class="curves">{shown}</div>'


def _inline(path: Path, alt: str, names: Mapping[str, str]) -> str:
    """An SVG file of matplotlib's as a part of the page.

    Its black and its white become the page's colours by the rules for ``.curve`` in ``views.css``. A text
    that begins with one of ``names`` gets the other name in its place.
    """
    data = path.read_bytes()
    drawing = ElementTree.fromstring(data)  # noqa: S314 - our own file
    own = f"c{hashlib.sha256(data).hexdigest()[:8]}-"
    for element in list(drawing.iter()):
        for name in sorted(names, key=len, reverse=True):
            if element.text is not None and element.text.startswith(name):
                element.text = element.text.replace(name, names[name], 1)
        for child in element.findall(f"{{{SVG}}}style") + element.findall(f"{{{SVG}}}metadata"):
            element.remove(child)  # in a page, a style sheet would be the whole page's
        for name, value in element.items():  # and so would ids
            if name == "id":
                element.set(name, own + value)
            elif name == f"{{{XLINK}}}href":
                element.set(name, value.replace("#", f"#{own}", 1))
            elif "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{own}"))
    for name, value in {
        "class": "curve",
        "role": "img",
        "fill": "currentColor",
        "stroke-linejoin": "round",
        "aria-label": alt,
    }.items():
        drawing.set(name, value)
    return ElementTree.tostring(drawing, encoding="unicode")
