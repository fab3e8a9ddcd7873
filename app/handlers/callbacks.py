"""What the page calls."""

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from app import figures, views, words
from app.handlers.errors import answered
from app.handlers.visitors import ENOUGH_PIXELS, Upload, Visitors
from app.images import ImageError, open_picture
from app.lab import Lab, resolved, resolved_codec
from app.page.text import ANY_OTHER, DONE, READY, STALE, STOPPED
from app.scenario import Outcome, ScenarioError, kept_planes, make_scenario
from model.attacks import THREAT_MODELS, AttackCancelled
from model.data import central_box
from model.zoo import find_classifier

BOTH = "both"
"""In the place of a threat model, on the page: one run for each, next to each other."""


class Callbacks:
    """The page's callbacks over one lab.

    Args:
        reports: the published evaluations, by classifier.
        clock: in seconds; by it a visitor is told how long an attack took.
    """

    def __init__(
        self,
        lab: Lab,
        visitors: Visitors,
        reports: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lab = lab
        self.visitors = visitors
        self.reports = reports or {}
        self._clock = clock

    @answered
    def attack(
        self,
        image: Upload,
        classifier: str,
        attack: str,
        threat_model: str,
        epsilon: float,
        steps: float,
        target: str | None,
        seed: float,
        codec: str,
        planes_percent: float,
        pair: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple[Any, ...]:
        """The page's run: its state, then the fields of ``AttackView``, then of ``StripView``.

        ``planes_percent`` is the share of the code's planes that are kept: codecs differ in how many they
        have. ``pair`` is what the before/after slider compares.
        """
        threat_models = THREAT_MODELS if threat_model == BOTH else (threat_model,)
        start = self._clock()
        try:
            with self.visitors.watching(request, progress) as watch:
                picture = open_picture(image, ENOUGH_PIXELS, watch.check)
                planes = self._planes(
                    planes_percent, resolved_codec(codec, resolved(classifier, picture.size))
                )
                outcomes = [
                    self.lab.run(
                        picture,
                        make_scenario(
                            classifier, attack, knowledge, epsilon, steps, target, seed, codec, planes
                        ),
                        watch,
                    )
                    for knowledge in threat_models
                ]
        except AttackCancelled:
            skipped = len(views.AttackView._fields) + len(views.StripView._fields)
            return STOPPED, *[gr.skip()] * skipped
        return (
            DONE.format(words.seconds(1000 * (self._clock() - start))),
            *views.attack(outcomes, pair, self.reports),
            *views.strip(outcomes[0]),
        )

    def _planes(self, percent: float, codec: str) -> int | None:
        """How many planes of a codec a share of them is, at least one; None for all."""
        return kept_planes(percent, self.lab.codec(codec).planes)

    def stop(self, request: gr.Request) -> str:
        """End this visitor's run."""
        self.leave(request)
        return STOPPED

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone: nobody waits for his run, but others may wait for their turn."""
        self.visitors.stop(request)

    @answered
    def show(self, outcomes: list[Outcome], threat_model: str, pair: str) -> tuple[Any, ...]:
        """The other attacker's run in detail: slider, files and strip."""
        by_attacker = {outcome.scenario.threat_model: outcome for outcome in outcomes or []}
        if threat_model not in by_attacker:
            raise ScenarioError("This run is no longer kept here: press “Attack it” once more.")
        outcome = by_attacker[threat_model]
        return (
            views.before_after(outcome, pair),
            *views.downloads(outcome),
            *views.strip(outcome),
        )

    @answered
    def compare(self, outcomes: list[Outcome], threat_model: str, pair: str) -> str:
        """The before/after slider."""
        for outcome in outcomes or []:
            if len(outcomes) == 1 or outcome.scenario.threat_model == threat_model:
                return views.before_after(outcome, pair)
        return ""  # nothing was run yet

    @answered
    def inspect(
        self,
        image: Upload,
        classifier: str,
        target: str | None = None,
        outcomes: list[Outcome] | None = None,
    ) -> tuple[str, str, Any, Any]:
        """What an upload will be to the lab: state, note, what is cropped away, the classes to aim at."""
        status = STALE if outcomes else READY
        try:
            picture = open_picture(image, least=figures.PREVIEW)
        except ImageError as error:
            return status, str(error) if image else "", gr.update(visible=False), gr.skip()
        size: tuple[int, int] = picture.info["size"]
        name = resolved(classifier, size)
        config = find_classifier(name).config()
        box = central_box(*size, config.image_size, config.crop)
        preview = gr.update(visible=False)
        if box != (0, 0, *size):
            preview = gr.update(visible=True, value=figures.crop_preview(picture, size, box))
        note = words.input_note(size, picture.info["frames"], name, config)
        aim = target if target in config.classes else ""
        return status, note, preview, gr.update(choices=[ANY_OTHER, *config.classes], value=aim)
