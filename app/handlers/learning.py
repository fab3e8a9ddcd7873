"""What the tabs beside the attack call: the lesson, and the published reports."""

from typing import Any

import gradio as gr

from app import exhibits, report_views
from app.handlers.errors import answered
from app.lab import Lab
from app.lessons import Lessons
from app.page import text
from app.places import PUBLISHED
from app.report_views import ReportView
from app.scenario import ScenarioError
from model.evaluate.cells import Report


class Learning:
    """The callbacks of both tabs.

    Args:
        reports: the published evaluations, by name.
    """

    def __init__(self, lab: Lab, lessons: Lessons, reports: dict[str, Report]) -> None:
        self._lab = lab
        self._lessons = lessons
        self._reports = reports

    @answered
    def lesson(self, seen: bool, codec: str) -> tuple[Any, ...]:
        """Whether it is seen, when to ask again, what is said meanwhile, the fields of ``LessonView``."""
        if seen:
            return tuple(gr.skip() for _ in range(3 + len(exhibits.LessonView._fields)))
        config = self._lab.codec(codec).config
        self._lessons.begin()
        if (lesson := self._lessons.lesson) is not None:
            return (
                True,
                gr.update(active=False),
                gr.update(visible=False),
                *exhibits.lesson(lesson, config, codec),
            )
        waiting = not self._lessons.failed
        said = text.LESSON_PENDING if waiting else text.LESSON_FAILED
        return False, gr.update(active=waiting), said, *(gr.skip() for _ in exhibits.LessonView._fields)

    @answered
    def codec(self, name: str) -> str:
        """A codec's networks, and what they make of a picture if that was computed."""
        config = self._lab.codec(name).config
        lesson = self._lessons.lesson
        return exhibits.through_codec(config, None if lesson is None else lesson.coded[name])

    @answered
    def report(self, name: str) -> ReportView:
        """A published report by its name."""
        if not isinstance(name, str) or name not in self._reports:
            raise ScenarioError(f"unknown report; choose from {', '.join(self._reports)}")
        return report_views.report(self._reports[name], PUBLISHED.reports / name)
