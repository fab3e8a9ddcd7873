"""What the page calls for the questions that take longer than a run: :mod:`app.ask`."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr

from app.ask import charts, views
from app.ask.breaking import until_it_breaks
from app.ask.defences import Survey, find_row, survey
from app.ask.fifty import robust_accuracy
from app.ask.planes import carried, chosen_planes, without
from app.events import Progress
from app.handlers.errors import answered, answered_stream
from app.handlers.visitors import ENOUGH_PIXELS, Upload, Visitors
from app.images import open_picture
from app.lab import Lab
from app.page import ask_text
from app.scenario import (
    Outcome,
    Scenario,
    ScenarioError,
    Watch,
    in_detail,
    kept_planes,
    make_scenario,
    percent_of,
    whole,
)
from app.shelf import resolved, resolved_codec
from model.attacks import AttackCancelled
from model.zoo import CODECS

T = TypeVar("T")
Shown = tuple[Any, ...]
"""Values of components; the first one is always the state."""


class Asking:
    """The questions over one lab. A visitor has one of them going at a time: the next one ends it.

    Args:
        visitors: who has a question going; another than who has a run going.
        reports: the published evaluations, by classifier.
    """

    def __init__(self, lab: Lab, visitors: Visitors, reports: dict[str, Any] | None = None) -> None:
        self.lab = lab
        self.visitors = visitors
        self.reports = reports or {}

    @answered_stream
    def until_it_breaks(
        self,
        image: Upload,
        classifier: str,
        attack: str,
        steps: float,
        target: str | None,
        seed: float,
        codec: str,
        planes_percent: float,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """The four numbers on their axis."""

        def work(watch: Watch) -> Iterator[Any]:
            picture = open_picture(image, ENOUGH_PIXELS, watch.check)
            scenario = self._scenario(
                picture.size, classifier, attack, steps, target, seed, codec, planes_percent
            )
            return until_it_breaks(self.lab, picture, scenario, watch)

        yield from self._stream(request, work, lambda found: (charts.breaking(found),))

    @answered_stream
    def fifty(
        self,
        classifier: str,
        attack: str,
        steps: float,
        seed: float,
        codec: str,
        planes_percent: float,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """The curves of robust accuracy."""

        def work(watch: Watch) -> Iterator[Any]:
            scenario = self._scenario((1, 1), classifier, attack, steps, None, seed, codec, planes_percent)
            return robust_accuracy(self.lab, scenario, watch)

        yield from self._stream(
            request,
            work,
            lambda found: (charts.accuracy(found, self.reports.get(found.scenario.classifier)),),
        )

    @answered_stream
    def defences(self, outcomes: list[Outcome], detail: str, request: gr.Request) -> Iterator[Shown]:
        """The table of all defences, and what it is made of."""
        outcome = _shown(outcomes, detail)
        yield from self._stream(
            request,
            lambda watch: survey(self.lab, outcome, watch),
            lambda found: (views.table(found), found),
            others=2,
        )

    @answered
    def choose(self, found: Survey | None, event: gr.EventData) -> Shown:
        """The line that was pressed: its strip; for a codec, it and its share of the planes as controls."""
        row = find_row(found, whole(_sent(event, "row"), "The number of a line"))
        assert found is not None  # noqa: S101 - else there is no such line
        if row.name.base not in CODECS:
            return views.strip(found, row, rerun=False), gr.skip(), gr.skip()
        percent = percent_of(row.name.planes, self.lab.codec(row.name.base).planes)
        return views.strip(found, row, rerun=True), gr.update(value=row.name.base), gr.update(value=percent)

    @answered
    def look(
        self, outcomes: list[Outcome], detail: str, event: gr.EventData
    ) -> tuple[bool, str | dict[str, Any], str | dict[str, Any]]:
        """A tab was chosen: whether it is that of the planes; if so, they are drawn."""
        if _sent(event, "value") != ask_text.TABS["planes"]:
            return False, gr.skip(), gr.skip()
        return (True, *self.planes(True, outcomes, detail))

    @answered
    def planes(
        self, are_looked_at: bool, outcomes: list[Outcome], detail: str
    ) -> tuple[str | dict[str, Any], str | dict[str, Any]]:
        """The tiles, all of them on; not drawn while nobody looks."""
        if not are_looked_at:
            return gr.skip(), gr.skip()
        return (views.tiles(_shown(outcomes, detail)) if outcomes else views.said(ask_text.NO_RUN)), ""

    @answered
    def without(self, outcomes: list[Outcome], detail: str, event: gr.EventData, request: gr.Request) -> str:
        """Both pictures without the planes that are off."""
        outcome = _shown(outcomes, detail)
        off = chosen_planes(_sent(event, "off"), outcome.code_adversarial.shape[1])
        with self.visitors.watching(request) as watch:
            return views.without(outcome, without(self.lab, outcome, off, watch))

    @answered_stream
    def carried(self, outcomes: list[Outcome], detail: str, request: gr.Request) -> Iterator[Shown]:
        """The tiles, by what each carries; they are drawn anew once all are known."""
        outcome = _shown(outcomes, detail)
        count = outcome.code_adversarial.shape[1]
        yield from self._stream(
            request,
            lambda watch: carried(self.lab, outcome, watch),
            lambda found: (views.tiles(outcome, found) if len(found.changes) == count else gr.skip(),),
        )

    def stop(self, request: gr.Request) -> str:
        """End this visitor's question."""
        self.leave(request)
        return views.said(ask_text.STOPPED)

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone: nobody waits for his question."""
        self.visitors.stop(request)

    def _scenario(
        self,
        size: tuple[int, int],
        classifier: str,
        attack: str,
        steps: float,
        target: str | None,
        seed: float,
        codec: str,
        planes_percent: float,
    ) -> Scenario:
        """What the controls hold, for a picture of that size; strength and attacker are the question's."""
        name = resolved_codec(codec, resolved(classifier, size))
        planes = kept_planes(planes_percent, self.lab.codec(name).planes)
        return make_scenario(
            classifier, attack, Scenario.threat_model, None, steps, target, seed, codec, planes
        )

    def _stream(
        self,
        request: gr.Request,
        work: Callable[[Watch], Iterator[Any]],
        show: Callable[[Any], Shown],
        others: int = 1,
    ) -> Iterator[Shown]:
        """How far it is, and what was found, until it is done or stopped.

        Args:
            work: the question's events, by a watch.
            show: what was found as values of the other components.
            others: how many those are.
        """
        self.visitors.stop(request)
        untouched = [gr.skip()] * others
        try:
            with self.visitors.watching(request) as watch:
                for event in work(watch):
                    if isinstance(event, Progress):
                        yield (views.progress(event), *untouched)
                    else:
                        yield (gr.skip(), *show(event))
        except AttackCancelled:
            yield (views.said(ask_text.STOPPED), *untouched)
            return
        yield (views.said(ask_text.DONE), *untouched)


def _shown(outcomes: list[Outcome] | None, detail: str) -> Outcome:
    """The run that is shown in detail."""
    outcome = in_detail(outcomes, detail)
    if outcome is None:
        raise ScenarioError(ask_text.NO_RUN)
    return outcome


def _sent(event: gr.EventData, name: str) -> Any:
    """What came with an event, which may be anything."""
    return event._data.get(name) if isinstance(event._data, dict) else None
