"""A report as files: in its own folder, among those that were published, and in the pages that show it."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from model import files
from model.data import DataError
from model.evaluate.cells import Report
from model.evaluate.markdown import markdown, table
from model.evaluate.summary import summary
from model.evaluate.systems import System

REPORT, MARKDOWN, SHEET = "report.json", "report.md", "examples.png"
WRITTEN_BY = "written by --evaluate"
SUMMARY = (f"<!-- summary: {WRITTEN_BY} -->", "<!-- end of summary -->")
"""Between which lines of a page the summary of all reports stands."""


class Places(NamedTuple):
    """Where published reports go. The application says so: a library does not know."""

    reports: Path
    """A folder, in which each report has one of its name."""
    results: Path
    """The Markdown file between whose markers the table of each report stands."""
    summary: Path
    """The Markdown file between whose markers the summary of all reports stands."""


def markers(name: str) -> tuple[str, str]:
    """Between which lines of a page a report's table stands."""
    return f"<!-- figures of {name}: {WRITTEN_BY} -->", f"<!-- end of {name} -->"


def write(folder: Path, report: Report) -> None:
    """Write ``report.json`` and ``report.md``."""
    files.write_json(folder / REPORT, report)
    files.write_atomically(folder / MARKDOWN, markdown(report).encode())


def draw(folder: Path, report: Report, systems: list[System], pictures: dict[str, Tensor]) -> None:
    """Write the report's figures.

    Args:
        pictures: for the sheet of examples, by what they are, shape (N,3,H,W) each, range [0,1].
    """
    # Imported when used: training, whose options stand beside these, does without matplotlib.
    import matplotlib as mpl

    from model.evaluate import plots

    drawn = {"accuracy": plots.accuracy_against_strength(report)}
    if any("bits_flipped" in cell for cell in report["cells"]):
        drawn["bits"] = plots.flipped_bits(report)
    if report["dial"]:
        drawn["dial"] = plots.dial(report)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):  # text stays text
        for name, figure in drawn.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    with torch.no_grad():
        sheet = plots.examples(systems, pictures)
    sheet.savefig(folder / SHEET, dpi=80)


def published(reports: Path) -> dict[str, Report]:
    """The reports of a folder, by name: mostly their classifier's."""
    return {path.parent.name: files.read_json(path) for path in sorted(reports.glob(f"*/{REPORT}"))}


def publish(folder: Path, report: Report, name: str, places: Places) -> None:
    """Copy a report to where the page shows it, its table into the results, and renew the summary.

    Raises:
        DataError: a page lacks the markers. Then nothing was written.
    """
    results = _between(places.results, markers(name), table(report))
    reports = published(places.reports) | {name: report}
    brief = _between(places.summary, SUMMARY, summary(reports))
    target = places.reports / name
    if target.resolve() != folder.resolve():
        files.replace_folder(folder, target)
    places.results.write_text(results, encoding="utf-8")
    places.summary.write_text(brief, encoding="utf-8")


def _between(page: Path, lines: tuple[str, str], text: str) -> str:
    """A Markdown file with ``text`` between two of its lines."""
    begin, end = lines
    if not page.is_file():
        raise DataError(f"{page} is missing, so nothing can be published there")
    before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise DataError(f"{page} lacks the markers {begin!r} and {end!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"
