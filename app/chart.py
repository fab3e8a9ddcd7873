"""A chart of one run: how sure both systems are of the original's label, step by step."""

import html

from app import words
from app.page import text
from app.scenario import Reading, Step

WIDTH, HEIGHT = 680, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 500, 14, 160
"""Of the drawing area. To its right stand the names of the lines."""
APART = 18
"""Names need so much room from each other."""


def confidence(trail: tuple[Step, ...], steps: int, label: str) -> str:
    """Two lines as SVG, in the colours that ``views.css`` gives them; empty for fewer than three points.

    Args:
        trail: from the original on, as far as the attack is.
        steps: how many steps there will be: where the axis ends.
        label: the original's.
    """
    if len(trail) < 3:
        return ""
    names = {"bare": text.BARE_LINE, "defended": text.DEFENDED_LINE}
    heights = _apart({name: _y(getattr(trail[-1], name).original) for name in names})
    lines = "".join(
        _line(name, [(step.step, getattr(step, name)) for step in trail], steps, label)
        + f'<text class="{name}" x="{RIGHT + 12}" y="{heights[name] + 4:.1f}">{html.escape(title)}</text>'
        for name, title in names.items()
    )
    alt = html.escape(words.trail(trail, label))
    return (
        f'<figure class="trail"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{alt}" '
        f'xmlns="http://www.w3.org/2000/svg">{_axes(steps)}{lines}</svg>'
        f"<figcaption>{html.escape(text.TRAIL.format(label))}</figcaption></figure>"
    )


def _x(step: int, steps: int) -> float:
    return LEFT + (RIGHT - LEFT) * step / max(1, steps)


def _y(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share


def _apart(heights: dict[str, float]) -> dict[str, float]:
    """The heights of the two lines' names, moved apart where they would overlap."""
    upper, lower = sorted(heights, key=heights.__getitem__)
    missing = max(0.0, APART - (heights[lower] - heights[upper])) / 2
    return {upper: heights[upper] - missing, lower: heights[lower] + missing}


def _line(name: str, points: list[tuple[int, Reading]], steps: int, label: str) -> str:
    """A line with a disc where the system still says the label, and a ring where it does not."""
    places = [(_x(step, steps), _y(reading.original), reading.label == label) for step, reading in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dots = "".join(
        f'<circle class="{"same" if same else "other"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        for x, y, same in places
    )
    return f'<g class="{name}"><polyline points="{path}"/>{dots}</g>'


def _axes(steps: int) -> str:
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {_y(share):.1f}H{RIGHT}"/>'
        f'<text x="{LEFT - 8}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        for share in (0, 0.5, 1)
    )
    ticks = "".join(
        f'<text x="{_x(step, steps):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{step}</text>'
        for step in sorted({0, steps // 2, steps})
    )
    return grid + ticks
