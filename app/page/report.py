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


def build(learning: Learning, reports: Mapping[str, Report]) -> None:
    """What stands in the tab, the report of the small pictures' classifier first."""
    if not reports:
        return
    first = default_classifier("small")
    first = first if first in reports else next(iter(reports))
    choice = FreeRadio(
        [(tab_words.choice(report), name) for name, report in reports.items()],
        value=first,
        label=text.REPORT_CHOICE,
        visible=len(reports) > 1,
        elem_id="report-of",
    )
    shown = _components(learning.report(first))
    choice.input(
        learning.report,
        choice,
        [shown[name] for name in ReportView._fields],
        trigger_mode="always_last",
        **QUICK,
    )


def _components(view: ReportView) -> Components:
    """The parts of a report, filled."""
    shown: Components = {"headline": gr.Markdown(view.headline)}
    chart = {key: value for key, value in view.chart.items() if key != "__type__"}
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            shown["chart"] = _chart(chart)
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


def _chart(values: dict[str, Any]) -> gr.LinePlot:
    """The chart, with what ``report_views.chart`` says of it."""
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
        elem_id="chart",
        **values,
    )
