"""What makes a run go on the page: a wish, and the callback that brings the page up to it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import gradio as gr

from app import views, words
from app.events import Frame, Progress
from app.handlers.errors import answered, warned
from app.handlers.visitors import ENOUGH_PIXELS, Upload, Visitors
from app.images import open_picture
from app.kept import KeptFile, late
from app.lab import Lab
from app.opening import Opening
from app.page import text
from app.scenario import BOTH, Outcome, Scenario, ScenarioError, Watch, kept_planes, make_scenario
from app.shelf import resolved, resolved_codec
from app.views import RunView
from model.attacks import THREAT_MODELS, AttackCancelled

PROGRESS_APART = 0.2
"""Seconds between two statements of how far a run is; Square has thousands of steps."""


@dataclass(frozen=True, eq=True)
class Wish:
    """What the controls hold, unchecked: the run that a visitor wants to see.

    ``planes_percent`` is the share of the code's planes that are kept: codecs differ in how many they have.
    What a file holds is no part of it: :mod:`app.kept` says why.
    """

    image: Upload | KeptFile
    classifier: str
    attack: str
    threat_model: str
    epsilon: float
    steps: float
    target: str | None
    seed: float
    codec: str
    planes_percent: float
    press: int = 0
    """Grows with each press of the button, which runs also what is shown already."""

    def __post_init__(self) -> None:
        if isinstance(self.image, bytes):
            object.__setattr__(self, "image", late.keep(self.image))

    def __hash__(self) -> int:  # by it, Gradio tells whether it changed; what a stranger sends may have none
        return hash((self.image, repr([getattr(self, field.name) for field in fields(self)[1:]])))


class Running:
    """The page's runs over one lab.

    The controls are written down as a wish, in the visitor's session, by :meth:`ask` and :meth:`press`. A
    change of the wish calls :meth:`follow`, which reads the latest one when it begins. So it does not matter
    how many changes came while it was busy or waited for others: what is shown at the end is what was asked
    last.

    Args:
        opening: what the page shows before anything is asked.
        reports: the published evaluations, by classifier.
        clock: in seconds; by it a visitor is told how long an attack took.
    """

    def __init__(
        self,
        lab: Lab,
        visitors: Visitors,
        opening: Opening,
        reports: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lab = lab
        self.visitors = visitors
        self.opening = opening
        self.reports = reports or {}
        self._clock = clock

    def first_wish(self) -> Wish:
        """What the controls hold when the page opens."""
        it = self.opening.scenario
        return Wish(
            self.opening.picture.read_bytes(), it.classifier, it.attack, it.threat_model,
            it.epsilon or 0, it.steps or 1, it.target or "", it.seed, it.codec, 0,
        )  # fmt: skip

    @answered
    def ask(self, alone: bool, wish: Wish | None, request: gr.Request, *values: Any) -> tuple[Any, Any]:
        """The controls changed: the wish that they are, and the status. What goes on is overtaken.

        Args:
            alone: whether a change is enough; else the button is waited for.
            wish: the one before.
            values: of the controls, in the order of ``Wish``.
        """
        new = Wish(*values)
        if wish is not None and replace(wish, press=0) == new:
            return gr.skip(), gr.skip()
        if new.image is None:
            return gr.skip(), text.NO_PICTURE
        if not alone:
            return gr.skip(), text.STALE
        self.visitors.stop(request, overtaken=True)
        return new, text.WAITING

    @answered
    def press(self, request: gr.Request, *values: Any) -> tuple[Wish, str]:
        """The button was pressed: the wish, and the status."""
        self.visitors.stop(request, overtaken=True)
        return replace(Wish(*values), press=time.monotonic_ns()), text.WAITING

    def stop(self, request: gr.Request) -> tuple[None, str, Any]:
        """End this visitor's run, and forget the wish: also a run that waits for its turn."""
        self.visitors.stop(request)
        return None, text.STOPPED, gr.update(visible=False)

    def follow(
        self,
        wish: Wish | None,
        done: Wish | None,
        outcomes: list[Outcome],
        left: str,
        right: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Bring the page up to the wish: its state, then the fields of ``AttackView`` and ``StripView``.

        Args:
            wish: the latest.
            done: the one before that was begun.
            outcomes: those that are shown.
            left, right: what the before/after slider compares.
        """
        if wish is None or wish == done:
            yield _page(RunView())
            return
        yield _page(RunView(status=text.WAITING, stop=gr.update(visible=True), done=wish))
        start = self._clock()
        found: list[Outcome] = []
        filmed: Scenario | None = None
        end = RunView(stop=gr.update(visible=False))
        try:
            with self.visitors.watching(request) as watch:
                said = -PROGRESS_APART
                for event, scenario in self._events(wish, watch):
                    if isinstance(event, Outcome):
                        found.append(event)
                    elif isinstance(event, Frame):
                        yield self._frame(event, scenario, is_first=scenario is not filmed)
                        filmed = scenario
                    elif self._clock() - said >= PROGRESS_APART:
                        said = self._clock()
                        yield _page(RunView(status=words.progress(event.what, event.share)))
                shown = self._found(found, left, right)
        except AttackCancelled:
            yield _page(end if watch.overtaken else end._replace(status=text.STOPPED))
        except Exception as error:  # noqa: BLE001 - said to the visitor, and logged where it is our mistake
            yield _page(end._replace(status=warned(error)))
        else:
            seconds = words.seconds(1000 * (self._clock() - start))
            end = end._replace(status=text.DONE.format(seconds))
            if outcomes:
                end = end._replace(before=outcomes, flip=gr.update(visible=True))
            yield _page(end, *shown)

    @answered
    def flip(self, outcomes: list[Outcome], before: list[Outcome], left: str, right: str) -> tuple[Any, ...]:
        """The run before in the place of the one that is shown, and the other way round."""
        if not before:
            raise ScenarioError("There is no run before this one any more.")
        return _page(RunView(status=text.FLIPPED, before=outcomes), *self._found(before, left, right))

    @answered
    def open(self, done: Wish | None, left: str, right: str) -> tuple[Any, ...]:
        """The opening run, as soon as it is there: whether to ask again, and what it changes on the page.

        Nothing is changed where the visitor has begun a run of his own.
        """
        if done is not None:
            return (gr.Timer(active=False), *_page(RunView()))
        if self.opening.outcome is not None:
            view = RunView(status=text.OPENED, done=self.first_wish())
            return (
                gr.Timer(active=False), *_page(view, *self._found([self.opening.outcome], left, right))
            )  # fmt: skip
        if self.opening.pending:
            return (gr.Timer(active=True), *_page(RunView(status=text.OPENING)))
        return (gr.Timer(active=False), *_page(RunView(status=text.READY)))

    def _events(self, wish: Wish, watch: Watch) -> Iterator[tuple[Progress | Frame | Outcome, Scenario]]:
        """What the lab tells of a wish's run, or of its two runs, each with the scenario that it is of."""
        source = late.read(wish.image) if isinstance(wish.image, KeptFile) else wish.image
        picture = open_picture(source, ENOUGH_PIXELS, watch.check)
        codec = self.lab.codec(resolved_codec(wish.codec, resolved(wish.classifier, picture.size)))
        planes = kept_planes(wish.planes_percent, codec.planes)
        for knowledge in THREAT_MODELS if wish.threat_model == BOTH else (wish.threat_model,):
            scenario = make_scenario(
                wish.classifier, wish.attack, knowledge, wish.epsilon, wish.steps, wish.target, wish.seed,
                wish.codec, planes,
            )  # fmt: skip
            for event in self.lab.events(picture, scenario, watch):
                yield event, scenario

    def _frame(self, frame: Frame, scenario: Scenario, is_first: bool) -> tuple[Any, ...]:
        sentence = words.frame(
            asdict(scenario), frame.step, frame.steps, frame.bare.label, frame.defended.label
        )
        return _page(
            RunView(status=sentence, stop=gr.update(visible=True)),
            views.AttackView(verdict=text.UNDER_ATTACK),
            views.frame(frame, is_first),
        )

    def _found(
        self, outcomes: list[Outcome], left: str, right: str
    ) -> tuple[views.AttackView, views.StripView]:
        return views.attack(outcomes, left, right, self.reports), views.strip(outcomes[0])


def _page(
    run: RunView,
    attack: views.AttackView = views.AttackView(),  # noqa: B008 - a tuple
    strip: views.StripView = views.StripView(),  # noqa: B008
) -> tuple[Any, ...]:
    return (*run, *attack, *strip)
