"""Charts of what was found, in the page's own colours: strengths on one axis, accuracy against strength."""

import html
from typing import Any

from app.ask import words
from app.ask.breaking import FURTHEST, QUESTIONS, Breaking, Question
from app.ask.fifty import LINES, STRENGTHS, Count, Curves, Line
from app.page.ask_text import ACCURACY, AXIS
from model.evaluate.cells import Cell, find_cell, is_cascade

TICKS = (0, 4, 8, 16, 24, 32)


def breaking(found: Breaking) -> str:
    """The four numbers on one axis: a mark where one is known, a bar where it must lie."""
    rows = "".join(_strength(found, asked) for asked in QUESTIONS)
    ticks = "".join(f'<span style="left:{_percent(tick):.2f}%">{tick}</span>' for tick in TICKS)
    return (
        f'<div class="ask-strengths"><p>{html.escape(words.breaking(found))}</p><ul>{rows}</ul>'
        f'<div class="axis" aria-hidden="true">{ticks}</div>'
        f'<p class="axis-name">{html.escape(AXIS)}</p></div>'
    )


def _percent(strength: float) -> float:
    return 100 * strength / FURTHEST


def _strength(found: Breaking, asked: Question) -> str:
    bracket = found.brackets[asked]
    low, high = max(0, bracket.held), FURTHEST if bracket.broke is None else bracket.broke
    if bracket.found and bracket.broke is not None:
        mark = f'<b style="left:{_percent(high):.2f}%"></b>'
    elif bracket.found:
        mark = '<b class="beyond" style="left:100%"></b>'
    else:
        mark = f'<i style="left:{_percent(low):.2f}%;width:{_percent(high - low):.2f}%"></i>'
    return (
        f'<li class="{asked.threat_model} {asked.system}"><span>{html.escape(words.question(asked))}</span>'
        f"<strong>{html.escape(words.strength(found, asked))}</strong>"
        f'<div class="track" aria-hidden="true">{mark}</div></li>'
    )


WIDTH, HEIGHT = 380, 250
LEFT, TOP, RIGHT, BOTTOM = 42, 12, 368, 206
"""Of the chart of accuracies, and of its plane."""


def accuracy(found: Curves, report: dict[str, Any] | None) -> str:
    """Accuracy against strength with its intervals, over the published report's figures where it has any.

    Args:
        report: of the classifier, as it was published; None: there is none.
    """
    published = {line: reported(found, line, report) for line in LINES}
    cells = [cell for line in published.values() for _, cell in line]
    count = max((cell["images"] for cell in cells), default=None)
    drawn = "".join(_published(line, published[line]) + _measured(line, found.line(line)) for line in LINES)
    said = words.fifty(found, count)
    return (
        f'<figure class="ask-accuracy"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(ACCURACY)}: {html.escape(said)}">{_frame()}{drawn}</svg>'
        f"<figcaption>{_legend()}<p>{html.escape(said)}</p>{_table(found)}</figcaption></figure>"
    )


def reported(found: Curves, line: Line, report: dict[str, Any] | None) -> list[tuple[float, Cell]]:
    """The published figures of the same attack on the same systems, by strength in 1/255.

    None where planes of the code were dropped: reports have such figures of one strength alone.
    """
    scenario = found.scenario
    if report is None or (line != "none" and scenario.planes is not None):
        return []
    defence = "none" if line == "none" else scenario.codec
    cells = [c for c in report["cells"] if c["defence"] == defence and not is_cascade(c)]
    clean = find_cell(cells, attack="clean")
    attacked = [
        (strength, find_cell(cells, attack=scenario.attack, steps=scenario.steps, epsilon=float(strength),
                             threat_model="white-box" if line == "none" else line))
        for strength in STRENGTHS
    ]  # fmt: skip
    known = [(float(strength), cell) for strength, cell in attacked if cell is not None]
    return [(0.0, clean), *known] if known and clean is not None else known


def _x(strength: float) -> float:
    return LEFT + (RIGHT - LEFT) * strength / STRENGTHS[-1]


def _y(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share


def _frame() -> str:
    lines = "".join(
        f'<path class="grid" d="M{LEFT} {_y(share):.1f}H{RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    ticks = "".join(
        f'<text x="{_x(strength):.1f}" y="{BOTTOM + 16}" text-anchor="middle">{strength}</text>'
        for strength in (0, *STRENGTHS)
    )
    name = f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(AXIS)}</text>'
    return lines + ticks + name


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_x(strength):.1f} {_y(share):.1f}" for strength, share in points)


def _published(line: Line, cells: list[tuple[float, Cell]]) -> str:
    if not cells:
        return ""
    path = _path([(strength, cell["accuracy"]) for strength, cell in cells])
    return f'<path class="line published {line}" d="{path}"/>'


def _measured(line: Line, counts: list[tuple[int, Count]]) -> str:
    # A nudge to the side, so that the bars of three curves do not hide each other.
    shift = 3 * (LINES.index(line) - 1)
    bars = "".join(
        f'<path class="line {line}" d="M{_x(strength) + shift:.1f} {_y(count.interval[0]):.1f}'
        f'V{_y(count.interval[1]):.1f}"/><circle class="{line}" cx="{_x(strength) + shift:.1f}" '
        f'cy="{_y(count.share):.1f}" r="3.5"><title>{html.escape(_said(strength, count))}</title></circle>'
        for strength, count in counts
    )
    path = _path([(strength, count.share) for strength, count in counts]) if counts else ""
    drawn = f'<path class="line measured {line}" transform="translate({shift},0)" d="{path}"/>'
    return (drawn if path else "") + bars


def _said(strength: int, count: Count) -> str:
    low, high = count.interval
    return f"{strength}/255: {count.right} of {count.of} ({100 * low:.0f} to {100 * high:.0f} %)"


def _legend() -> str:
    names = "".join(f'<li class="{line}">{html.escape(words.line(line))}</li>' for line in LINES)
    return f'<ul class="key">{names}</ul>'


def _table(found: Curves) -> str:
    """The same in numbers: for who does not see the chart, and for who wants them."""
    strengths = (0, *STRENGTHS)
    head = "".join(f'<th scope="col">{strength}/255</th>' for strength in strengths)
    rows = ""
    for line in LINES:
        counts = dict(found.line(line))
        cells = "".join(
            f"<td>{counts[s].right} of {counts[s].of}</td>" if s in counts else "<td>–</td>"
            for s in strengths
        )
        rows += f'<tr><th scope="row">{html.escape(words.line(line))}</th>{cells}</tr>'
    return f'<div class="scroll" tabindex="0"><table><tr><td></td>{head}</tr>{rows}</table></div>'
