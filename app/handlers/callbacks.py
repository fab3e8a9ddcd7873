"""What the page calls without running anything: another look at what is there."""

from typing import Any

import gradio as gr

from app import figures, views, words
from app.handlers.errors import answered
from app.handlers.visitors import Upload, Visitors
from app.images import ImageError, open_picture
from app.page.text import ANY_OTHER
from app.scenario import Outcome, ScenarioError, in_detail
from app.shelf import resolved
from model.data import central_box
from model.zoo import find_classifier


class Callbacks:
    """The page's callbacks that need no model."""

    def __init__(self, visitors: Visitors) -> None:
        self.visitors = visitors

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone: nobody waits for his run, but others may wait for their turn."""
        self.visitors.stop(request)

    @answered
    def show(self, outcomes: list[Outcome], threat_model: str, left: str, right: str) -> tuple[Any, ...]:
        """The other attacker's run in detail: slider, files and strip."""
        by_attacker = {outcome.scenario.threat_model: outcome for outcome in outcomes or []}
        if threat_model not in by_attacker:
            raise ScenarioError("This run is no longer kept here: press “Attack it” once more.")
        outcome = by_attacker[threat_model]
        return (
            views.before_after(outcome, left, right),
            *views.downloads(outcome),
            *views.strip(outcome),
        )

    @answered
    def compare(self, outcomes: list[Outcome], threat_model: str, left: str, right: str) -> str:
        """The before/after slider."""
        outcome = in_detail(outcomes, threat_model)
        return "" if outcome is None else views.before_after(outcome, left, right)

    @answered
    def inspect(
        self,
        image: Upload,
        classifier: str,
        target: str | None = None,
    ) -> tuple[str, Any, Any]:
        """What an upload will be to the lab: note, what is cropped away, the classes to aim at."""
        try:
            picture = open_picture(image, least=figures.PREVIEW)
        except ImageError as error:
            return str(error) if image else "", gr.update(visible=False), gr.skip()
        size: tuple[int, int] = picture.info["size"]
        name = resolved(classifier, size)
        config = find_classifier(name).config()
        box = central_box(*size, config.image_size, config.crop)
        preview = gr.update(visible=False)
        if box != (0, 0, *size):
            preview = gr.update(visible=True, value=figures.crop_preview(picture, size, box))
        note = words.input_note(size, picture.info["frames"], name, config)
        targets = gr.update(choices=[ANY_OTHER, *config.classes])
        if target and target not in config.classes:  # else it is left alone: an address may have just set it
            targets["value"] = ""
        return note, preview, targets
