"""A published report as the values of the components that show it."""

import html
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from app import svg, tab_words
from app.page import text
from app.reports import COLOURS, Line, for_visitors, lines, short_names
from model.evaluate.cells import Report, failed_checks
from model.evaluate.markdown import brief, details, headline
from model.evaluate.publish import SHEET


class ReportView(NamedTuple):
    """One report, in the order of the page's components."""

    headline: str
    chart: Any
    legend: str
    table: str
    drawings: str
    sheet: Any
    details: str


def report(raw: Report, folder: Path) -> ReportView:
    """What is shown of a report, worst first.

    Args:
        raw: as it was published.
        folder: where its drawings are.
    """
    shown, names = for_visitors(raw), short_names(raw)
    drawn = lines(shown)
    sheet = folder / SHEET
    # Names are part of that picture: with those of folders, it stays away.
    has_sheet = sheet.is_file() and not names
    return ReportView(
        headline=_headline(shown),
        chart=gr.update(**chart(shown, drawn)),
        legend=legend(shown, drawn),
        table=brief(shown),
        drawings=svg.of_report(folder, names),
        sheet=gr.update(value=str(sheet) if has_sheet else None, visible=has_sheet),
        details=details(shown),
    )


def _headline(shown: Report) -> str:
    failed = failed_checks(shown)
    checks = "\n".join([text.FAILED_CHECKS, "", *(f"- {check}" for check in failed)]) if failed else ""
    return "\n\n".join(filter(None, [headline(shown), checks]))


def chart(shown: Report, drawn: list[Line]) -> dict[str, Any]:
    """What ``gr.LinePlot`` is told: its values, colours, and how far its strengths go."""
    named = {name(shown, line): line for line in drawn}
    rows = [
        {
            "strength": strength,
            "accuracy": round(100 * cell["accuracy"], 1),
            "system": label,
            "interval": " to ".join(f"{100 * end:.1f}" for end in cell["interval"]),
            "pictures": f"{cell['images']:,}",
        }
        for label, line in named.items()
        for strength, cell in line.cells.items()
    ]
    columns = ["strength", "accuracy", "system", "interval", "pictures"]
    return {
        "value": pd.DataFrame(rows, columns=columns),
        "color_map": dict(zip(named, COLOURS, strict=False)),
        "x_lim": [0, max((row["strength"] for row in rows), default=1)],
        "visible": bool(rows),
    }


def name(shown: Report, line: Line) -> str:
    """A line's name."""
    return tab_words.line(shown["defences"][line.defence], text.LINE_ATTACKERS[line.attacker])


def legend(shown: Report, drawn: list[Line]) -> str:
    """Which colour is which line, and its values: the chart for those who do not see it."""
    items = "".join(
        f'<li><span class="key" style="background:{colour}"></span>{html.escape(name(shown, line))}: '
        f"{html.escape(tab_words.along(line))}</li>"
        for colour, line in zip(COLOURS, drawn, strict=False)
    )
    return f'<ul class="key-list">{items}</ul>'
