"""What the page and the API call. The only place that raises gr.Error."""

import functools
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NamedTuple, ParamSpec, TypeVar

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from app import figures, views, words
from app.images import ImageError, encode, full_size, open_picture, to_picture
from app.lab import (
    AUTO,
    Lab,
    Outcome,
    Scenario,
    ScenarioError,
    Watch,
    packed,
    resolved,
    resolved_codec,
)
from model.attacks import THREAT_MODELS, AttackCancelled, AttackError, ThreatModel, find_attack
from model.checkpoint import WeightsError
from model.data import central_box
from model.zoo import UnknownClassifierError, find_classifier

Picture = bytes | str | None
"""What a picture's file holds, which is all that is known of a visitor's; or the path of one of our own."""
P = ParamSpec("P")
T = TypeVar("T")
MAX_CODEC_PIXELS = {1: 4_000_000, 2: 12_000_000, 4: 12_000_000}
"""Of a picture for ``/defend``, by how far the codec scales it down, which decides what a pixel costs."""
ENOUGH = 1024
"""Sides of so many pixels are enough for every classifier, four times over. Only of what has twice as much it
makes a difference, a photograph of a phone, say: that is decoded in half the time, and takes a quarter of the
memory."""
MAX_SECONDS = 300
"""A run that takes longer is ended, since others wait for their turn."""
BOTH = "both"
"""In the place of a threat model, on the page: one run for each, next to each other."""
ANY_OTHER = ("any other", "")
READY = "Press **Attack it** to see what happens to this picture."
STALE = f"{READY} What is shown below is of the one before."
STOPPED = "Stopped. Press **Attack it** to start anew."
log = logging.getLogger(__name__)


def answered(handler: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that a visitor can cause into one sentence; log all others in full."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except AttackCancelled:
            raise gr.Error("This run was stopped.", print_exception=False) from None
        except (ImageError, AttackError, ScenarioError, UnknownClassifierError) as error:
            raise gr.Error(_sentence(error), print_exception=False) from error
        except WeightsError as error:
            log.exception("weights do not load")
            repair = f" Repair: {error.repair}" if error.repair else " Choose another for now."
            raise gr.Error(_sentence(error) + repair, print_exception=False) from error
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a handler failed")
            raise gr.Error("Something went wrong on our side; the log has the details.") from error

    return wrapper


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


class RunResult(NamedTuple):
    """What ``/run`` answers."""

    original: Image.Image
    adversarial: Image.Image
    reconstruction: Image.Image
    code: str
    summary: dict[str, Any]


class AttackView(NamedTuple):
    """What a run changes on the page, besides its state and the fields of :class:`app.views.StripView`."""

    verdict: str
    results: Any
    """Update of all that is hidden before the first run."""
    outcomes: list[Outcome]
    compared: Any
    """Update of the row in which both attackers stand."""
    attackers: str
    detail: Any
    """Update of the choice between them."""
    slider: str
    adversarial_file: str
    code_file: str
    summary_file: str


class Handlers:
    """The page's callbacks over one lab.

    Args:
        reports: the published evaluations, by classifier.
    """

    def __init__(self, lab: Lab, reports: dict[str, Any] | None = None) -> None:
        self.lab = lab
        self.reports = reports or {}
        self._watches: dict[str | None, Watch] = {}

    @answered
    def run(
        self,
        image: Picture,
        classifier: str = Scenario.classifier,
        attack: str = Scenario.attack,
        threat_model: ThreatModel = Scenario.threat_model,
        epsilon: float | None = Scenario.epsilon,
        steps: float | None = None,
        target: str | None = None,
        seed: float = Scenario.seed,
        codec: str = Scenario.codec,
        planes: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> RunResult:
        """Attack a picture, and look at it with and without ComDefend.

        ``steps`` None means the attack's own default; ``epsilon`` is in 1/255; ``target`` is the name of
        a class; ``planes`` is how many planes of the code are kept, None all. ``/scenarios`` has all choices.
        """
        scenario = make_scenario(
            classifier, attack, threat_model, epsilon, steps, target, seed, codec, planes
        )
        with self._watching(request, progress) as watch:
            outcome = self.lab.run(open_picture(image, ENOUGH, watch.check), scenario, watch)
        return RunResult(
            original=to_picture(outcome.original),
            adversarial=to_picture(outcome.adversarial),
            reconstruction=to_picture(outcome.defended_adversarial),
            code=_file("code.npz", packed(outcome.code_adversarial, outcome.adversarial)),
            summary=outcome.summary(),
        )

    @answered
    def attack(
        self,
        image: Picture,
        classifier: str,
        attack: str,
        threat_model: str,
        epsilon: float,
        steps: float,
        target: str | None,
        seed: float,
        codec: str,
        kept: float,
        pair: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple[Any, ...]:
        """The page's run: its state, then the fields of ``AttackView``, then of ``StripView``.

        ``kept`` is the share of the code's planes that are kept, in percent: codecs have unlike many.
        """
        threat_models = THREAT_MODELS if threat_model == BOTH else (threat_model,)
        start = time.monotonic()
        try:
            with self._watching(request, progress) as watch:
                picture = open_picture(image, ENOUGH, watch.check)
                planes = self._planes(kept, resolved_codec(codec, resolved(classifier, picture.size)))
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
            skipped = len(AttackView._fields) + len(views.StripView._fields)
            return STOPPED, *[gr.skip()] * skipped
        return (
            f"Done in {words.seconds(1000 * (time.monotonic() - start))}.",
            *self._attack_view(outcomes, pair),
            *views.strip(outcomes[0]),
        )

    def _planes(self, percent: float, codec: str) -> int | None:
        """How many planes of a codec a share of them is, at least one; None for all."""
        share = number(percent, "The share of planes kept")
        if not 0 < share <= 100:
            raise ScenarioError(f"the share of planes kept is above 0 and at most 100 %, not {share:g}")
        return None if share == 100 else max(1, round(self.lab.codec(codec).planes * share / 100))

    @contextmanager
    def _watching(self, request: gr.Request, progress: gr.Progress | None) -> Iterator[Watch]:
        """A watch on a visitor's run, by which :meth:`stop` and :meth:`leave` reach it."""
        watch = Watch(None if progress is None else _shown_on(progress), MAX_SECONDS)
        self._watches[request.session_hash] = watch
        try:
            yield watch
        finally:
            # A stopped run may end after the next one has begun.
            if self._watches.get(request.session_hash) is watch:
                del self._watches[request.session_hash]

    def _attack_view(self, outcomes: list[Outcome], pair: str) -> AttackView:
        first = outcomes[0]
        both = len(outcomes) > 1
        results = [outcome.summary() for outcome in outcomes]
        measured = [words.measured(result, self.reports) for result in results]
        if both:
            verdict = f"**{words.comparison(results)}**"
        else:
            verdict = f"**{words.verdict(results[0])}**\n\n{measured[0]}"
        return AttackView(
            verdict=verdict,
            # Small pictures are enlarged with hard pixels, large ones are shrunk and must not be.
            results=gr.update(visible=True, elem_classes=["small"] if first.is_small else []),
            outcomes=outcomes,
            compared=gr.update(visible=both),
            attackers=views.attacker_cards(outcomes, measured) if both else "",
            detail=gr.update(visible=both, value=first.scenario.threat_model),
            slider=views.before_after(first, pair),
            adversarial_file=_file("adversarial.png", encode(to_picture(first.adversarial), "PNG")),
            code_file=_file("code.npz", packed(first.code_adversarial, first.adversarial)),
            summary_file=_file("result.json", json.dumps(results[0], indent=2).encode()),
        )

    def stop(self, request: gr.Request) -> str:
        """End this visitor's run."""
        self.leave(request)
        return STOPPED

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone: nobody waits for his run, but others may wait for their turn."""
        if watch := self._watches.pop(request.session_hash, None):
            watch.stop()

    @answered
    def show(self, outcomes: list[Outcome], threat_model: str, pair: str) -> tuple[Any, ...]:
        """The other attacker's run in detail: slider, files and strip."""
        kept = {outcome.scenario.threat_model: outcome for outcome in outcomes or []}
        if threat_model not in kept:
            raise ScenarioError("This run is no longer kept here: press “Attack it” once more.")
        outcome = kept[threat_model]
        view = self._attack_view([outcome], pair)
        return (
            view.slider,
            view.adversarial_file,
            view.code_file,
            view.summary_file,
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
        image: Picture,
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
        kept = target if target in config.classes else ""
        return status, note, preview, gr.update(choices=[ANY_OTHER, *config.classes], value=kept)

    @answered
    def defend(
        self,
        image: Picture,
        codec: str = Scenario.codec,
        planes: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    ) -> tuple[Image.Image, str]:
        """Compress a picture of any shape to its binary code, and rebuild it."""
        kept = None if planes is None else whole(planes, "Planes")
        with self._watching(request, None) as watch:
            picture = open_picture(image, check=watch.check)
            name = resolved_codec(codec, resolved(AUTO, picture.size))
            limit = MAX_CODEC_PIXELS[self.lab.codec(name).config.downscale]
            if picture.width * picture.height > limit:
                raise ImageError(
                    f"This picture has {picture.width} x {picture.height} pixels; {name} takes up to "
                    f"{limit:,} here."
                )
            code, rebuilt = self.lab.defend(full_size(picture), name, kept, watch)
        return to_picture(rebuilt), _file("code.npz", packed(code, rebuilt))

    @answered
    def classify(self, image: Picture, classifier: str = AUTO) -> dict[str, Any]:
        """The bare classifier's five most probable classes."""
        watch = Watch(limit_s=MAX_SECONDS)
        picture = open_picture(image, ENOUGH, watch.check)
        name = resolved(classifier, picture.size)
        return {"classifier": name, **asdict(self.lab.classify(picture, name, watch))}

    @answered
    def scenarios(self) -> dict[str, Any]:
        """The choices that a run has, and their limits."""
        return self.lab.scenarios()


def _shown_on(progress: gr.Progress) -> Callable[[float, str], None]:
    """A run's progress on the page, at most a hundred times."""
    shown = ("", -1.0)

    def show(share: float, what: str) -> None:
        nonlocal shown
        if what != shown[0] or share - shown[1] >= 0.01:  # Square asks thousands of times
            shown = (what, share)
            progress(share, desc=what)

    return show


def _file(name: str, data: bytes) -> str:
    """The path of a new file in Gradio's own cache, which the page's delete_cache empties."""
    return save_bytes_to_cache(data, name, get_upload_folder())


def make_scenario(
    classifier: str,
    attack: str,
    threat_model: str,
    epsilon: float | None,
    steps: float | None,
    target: str | None,
    seed: float | None,
    codec: str,
    planes: float | None,
) -> Scenario:
    """A scenario from what the components hold.

    What the attack lacks becomes None; a strength or a number of steps that is None, its default.
    """
    spec = find_attack(attack)
    return Scenario(
        classifier=classifier,
        codec=codec,
        attack=attack,
        threat_model=threat_model,  # type: ignore[arg-type]  # the lab refuses others
        epsilon=number(_or(epsilon, Scenario.epsilon), "Epsilon") if spec.has_epsilon else None,
        steps=whole(_or(steps, spec.default_steps), spec.steps_label) if spec.has_steps else None,
        target=target or None,
        seed=whole(_or(seed, 0), "Seed"),
        planes=None if planes is None else whole(planes, "Planes"),
    )


def _or(value: float | None, default: float | None) -> float | None:
    return default if value is None else value


def number(value: Any, name: str) -> float:
    """A number from a component's value; whether it suits is for others to say."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AttackError(f"{name} must be a number, got {value!r}")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number from a component's value."""
    value = number(value, name)
    if not abs(value) < 2**31 or value != int(value):  # also refuses NaN
        raise AttackError(f"{name} must be a whole number, got {value}")
    return int(value)
