"""The tab "Results": a chart and a table of one published report, and all else folded."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from app import tab_words
from app.handlers.learning import Learning
from app.page import text
from app.page.components import Components, FreeRadio
from app.page.wiring import QUICK
from app.report_views import ReportView
from model.evaluate.cells import Report
from model.zoo import default_classifier

CHANGED = tuple(name for name in ReportView._fields if name != "chart")
"""What another report changes, besides which chart is seen."""


def build(learning: Learning, reports: Mapping[str, Report]) -> None:
    """What stands in the tab, the report of the small pictures' classifier first."""
    if not reports:
        return
    first = default_classifier("small")
    first = first if first in reports else next(iter(reports))
    choice = FreeRadio(
        [(tab_words.choice(name, report), name) for name, report in reports.items()],
        value=first,
        label=text.REPORT_CHOICE,
        visible=len(reports) > 1,
        elem_id="report-of",
    )
    views = {name: learning.report(name) for name in reports}
    charts: dict[str, gr.LinePlot] = {}
    shown = _components(views, first, charts)
    choice.input(
        lambda name: _changed(learning.report(name), name, charts),
        choice,
        [*(shown[name] for name in CHANGED), *charts.values()],
        trigger_mode="always_last",
        **QUICK,
    )


def _changed(view: ReportView, name: str, charts: Mapping[str, gr.LinePlot]) -> list[Any]:
    """The parts of another report, and which chart is seen."""
    seen = [gr.update(visible=view.chart["visible"] and name == each) for each in charts]
    return [*(getattr(view, part) for part in CHANGED), *seen]


def _components(views: Mapping[str, ReportView], first: str, charts: dict[str, gr.LinePlot]) -> Components:
    """The parts of the first report, filled; a chart of each goes into ``charts``."""
    view = views[first]
    shown: Components = {"headline": gr.Markdown(view.headline)}
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            for name, each in views.items():
                values = {key: value for key, value in each.chart.items() if key != "__type__"}
                charts[name] = _chart(name, values | {"visible": values["visible"] and name == first})
        with gr.Column(scale=2, min_width=300):
            shown["legend"] = gr.HTML(view.legend, padding=False, elem_id="legend")
            gr.Markdown(text.CHART_NOTE, elem_classes="hint")
    shown["table"] = gr.Markdown(view.table, elem_classes="report")
    with gr.Accordion(text.DRAWN, open=False):
        shown["drawings"] = gr.HTML(view.drawings)
        shown["sheet"] = gr.Image(
            label=text.SHEET,
            alt_text=text.SHEET_ALT,
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            elem_classes="sheet",
            value=view.sheet["value"],
            visible=view.sheet["visible"],
        )
    with gr.Accordion(text.EVERYTHING, open=False):
        shown["details"] = gr.Markdown(view.details, elem_classes="report")
    return shown


def _chart(name: str, values: dict[str, Any]) -> gr.LinePlot:
    """A report's chart, with what ``report_views.chart`` says of it.

    Each report has one of its own: Gradio 6.31 draws a chart that changes only when it changes again.
    """
    return gr.LinePlot(
        x="strength",
        y="accuracy",
        color="system",
        title=text.CHART,
        x_title=text.STRENGTH_AXIS,
        y_title=text.ACCURACY_AXIS,
        y_lim=[0, 100],
        colors_in_legend=[],  # the legend beside it says more, and is read aloud
        tooltip="all",
        height=340,
        label=text.CHART,
        show_label=False,
        elem_id=f"chart-of-{name}",
        elem_classes="report-chart",
        **values,
    )
