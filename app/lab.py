"""A run: what is asked for is resolved, the picture is attacked, rebuilt from its code, and measured."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn

from app.events import Frame, Progress, streamed
from app.images import prepare
from app.measure import measure, predictions
from app.run import FRAMES_SHARE, Film, Look, Setup, target_index
from app.scenario import AUTO, Outcome, Prediction, Scenario, ScenarioError, Watch
from app.shelf import Shelf, resolved, resolved_codec
from app.turns import BusyError, Turns
from app.words import NO_MEMORY, busy, waiting
from model import cores
from model.attacks import THREAT_MODELS, attack, find_attack, interruptible
from model.device import device_name, settle
from model.entries import SMALL
from model.zoo import classifier_for

log = logging.getLogger(__name__)


@contextmanager
def _undisturbed(gpus: list[torch.device]) -> Iterator[None]:
    """While others go first: they take none of this thread's random numbers, and meet none of its helpers."""
    cores.dismiss()
    with torch.random.fork_rng(devices=gpus):
        yield


class Lab(Shelf):
    """Models of one device, and the turns by which one computation runs at a time.

    Args:
        device: auto, cpu, cuda, cuda:1, ...
        clock: in seconds; runs are timed by it.
        waiting: how many may wait for their turn.
    """

    def __init__(
        self,
        device: str = "auto",
        clock: Callable[[], float] = time.perf_counter,
        waiting: float = math.inf,
    ) -> None:
        super().__init__(device)
        self._clock = clock
        gpus = [self.device] if self.device.type == "cuda" else []
        self.turns = Turns(partial(_undisturbed, gpus), waiting)
        self._reserve: Lab | None = None
        """Computes what this one's device has no memory for."""

    def warm_up(self, pictures: Iterable[Image.Image]) -> None:
        """Throw-away runs, so that the first visitor does not wait for imports and caches."""
        for picture in pictures:
            self.run(picture, Scenario(attack="FGSM", steps=None))

    def classify(self, picture: Image.Image, classifier: str, watch: Watch | None = None) -> Prediction:
        """The classifier's answer for a picture, without attack or codec."""
        watch = watch or Watch()
        model = self.classifier(classifier, watch)
        x = prepare(picture, model.config.image_size, model.config.crop).to(self.device)
        with self.step(model, watch, x), torch.inference_mode():
            return predictions(model, model(x))[0]

    def defend(
        self, x: Tensor, codec: str = AUTO, planes: int | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, Tensor]:
        """Code (1,K,h,w) of the planes that are kept, and reconstruction (1,3,H,W), of (1,3,H,W) in [0,1]."""
        watch = watch or Watch()
        height, width = x.shape[-2:]
        defence = self.defence(resolved_codec(codec, classifier_for(width, height)), planes)
        with self.step(defence, watch, x):
            x = x.to(self.device)
            planes = defence.kept(x)
            code = defence.codec.compress(x, planes)
            return code[:, :planes].cpu(), defence.codec.reconstruct(code, (height, width)).cpu()

    def logits(self, x: Tensor, codec: str, watch: Watch | None = None) -> Tensor:
        """What ComCNN says of pictures, (B,3,H,W) in [0,1], before the threshold: (B,K,h,w)."""
        watch, model = watch or Watch(), self.codec(codec)
        with self.step(model, watch, x), torch.inference_mode():
            return model.logits(x.to(self.device)).float().cpu()

    def run(self, picture: Image.Image, scenario: Scenario, watch: Watch | None = None) -> Outcome:
        """Attack a picture and look at it with and without the codec.

        Everything is computed on 8-bit pictures, so that the PNG that a visitor downloads is the
        one that was classified. The label attacked is the attacked system's own answer.

        Args:
            watch: is told how far the run is, and can stop it.

        Raises:
            AttackCancelled: the watch stopped it.
            AttackError: the attack does not exist or refuses its parameters.
            ScenarioError: the scenario asks for another thing that does not exist.
            WeightsError: weights are missing or damaged.
        """
        return self._run(picture, scenario, watch or Watch(), None)

    def events(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch | None = None,
        share: float = FRAMES_SHARE,
    ) -> Iterator[Progress | Frame | Outcome]:
        """The same run, told as it goes on: how far it is, frames of the attack, and at last the outcome.

        Frames are made of attacks that take steps one by one, BIM and its kin; they cost at most that share
        of the attack's time, if it is not infinite. Closing the generator stops the run.
        """
        watched = watch or Watch()

        def work(tell: Callable[[Progress | Frame], None]) -> Outcome:
            hearing = watched.heard_by(lambda share, what: tell(Progress(share, what)))
            return self._run(picture, scenario, hearing, tell, share)

        return streamed(work, watched.stop)

    def _run(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch,
        on_frame: Callable[[Frame], None] | None,
        share: float = 0,
    ) -> Outcome:
        """A run on the device, or on the CPU where the device's memory does not suffice."""
        try:
            return self._run_here(picture, scenario, watch, on_frame, share)
        except torch.OutOfMemoryError:
            if self.device.type == "cpu":
                raise
            log.warning("%s has no memory left: a run goes on the CPU", self.device)
        torch.cuda.empty_cache()
        watch.report(0, NO_MEMORY)
        if self._reserve is None:
            self._reserve = Lab("cpu", self._clock)
            self._reserve.turns = self.turns
        return self._reserve._run_here(picture, scenario, watch, on_frame, share)

    def _run_here(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch,
        on_frame: Callable[[Frame], None] | None,
        share: float,
    ) -> Outcome:
        setup = self.resolve(scenario, picture.size, watch)
        config = setup.classifier.config
        x = prepare(picture, config.image_size, config.crop).to(self.device)
        timings = dict.fromkeys(("attack", "compress", "reconstruct", "classify"), 0.0)
        everything = nn.ModuleList((setup.classifier, setup.defence.codec))
        with self.step(everything, watch, x):
            original = self._look(setup, x, timings)
            film = Film(
                setup,
                lambda now: self._look(setup, now, {}),
                original,
                sum(timings.values()) / 1000,
                on_frame,
                share,
                self._worked,
            )
            adversarial = self._attack(setup, original, film, watch, timings)
            watch.report(1, "Through the codec")
            found = self._look(setup, adversarial, timings)
            looks = (original, found)
            logits = torch.cat([look.bare for look in looks] + [look.defended for look in looks])
            answers = predictions(setup.classifier, logits)  # in VIEWS' order
        return measure(
            setup.scenario,
            pictures=[look.picture for look in looks],
            codes=[look.code for look in looks],
            rebuilt=[look.rebuilt for look in looks],
            answers=answers,
            timings_ms=timings,
            device=device_name(self.device),
            trail=film.ended(found),
        )

    def resolve(self, scenario: Scenario, size: tuple[int, int], watch: Watch) -> Setup:
        """Load what a scenario names, for a picture of that size; refuse what does not exist."""
        name = resolved(scenario.classifier, size)
        scenario = replace(scenario, classifier=name, codec=resolved_codec(scenario.codec, name))
        if scenario.planes == self.codec(scenario.codec).kept:
            scenario = replace(scenario, planes=None)
        if scenario.threat_model not in THREAT_MODELS:
            raise ScenarioError(
                f"unknown threat model {scenario.threat_model!r}; choose from {', '.join(THREAT_MODELS)}"
            )
        find_attack(scenario.attack).check(scenario.epsilon, scenario.steps, None)
        defence = self.defence(scenario.codec, scenario.planes)
        classifier = self.classifier(scenario.classifier, watch)
        return Setup(scenario, classifier, defence, target_index(scenario, classifier))

    def _attack(
        self, setup: Setup, original: Look, film: Film, watch: Watch, timings: dict[str, float]
    ) -> Tensor:
        """The adversarial picture, (1,3,H,W)."""
        scenario = setup.scenario
        labels = (original.defended if setup.is_adaptive else original.bare).argmax(1)
        if setup.target == labels.item():
            raise ScenarioError(
                f"{'through the codec ' if setup.is_adaptive else ''}the picture is {scenario.target!r} "
                f"already; choose another class to aim at"
            )
        with self._timed("attack", timings):
            found = attack(
                scenario.attack,
                setup.attacked,
                original.picture.clone(),
                labels.clone(),
                epsilon=scenario.epsilon,
                steps=scenario.steps,
                target=setup.target,
                seed=scenario.seed,
                on_progress=lambda share: watch.report(
                    share, f"{scenario.attack} at work ({scenario.threat_model})"
                ),
                on_step=film.on_step,
            )
        timings["attack"] = round(timings["attack"] - 1000 * film.spent, 2)
        return found

    def _look(self, setup: Setup, x: Tensor, timings: dict[str, float]) -> Look:
        """What both systems make of a picture, (1,3,H,W).

        One picture at a time: in a batch the last digits differ, and with them, now and then, a bit of the
        code. So anyone who repeats this on the downloaded PNG gets the same.
        """
        codec = setup.defence.codec
        with torch.no_grad():
            with self._timed("compress", timings):
                planes = setup.defence.kept(x)
                code = codec.compress(x, planes)
            with self._timed("reconstruct", timings):
                rebuilt = codec.reconstruct(code, (x.shape[-2], x.shape[-1]))
            with self._timed("classify", timings):
                bare, defended = setup.classifier(x), setup.classifier(rebuilt)
        return Look(x, code[:, :planes], rebuilt, bare, defended)

    @contextmanager
    def step(self, models: nn.Module, watch: Watch, x: Tensor) -> Iterator[None]:
        """A turn for work by ``models`` on pictures (B,C,H,W): a stop ends it at their next layer.

        Between layers it lets others go first, if it is their turn. A generator must not yield in it: whoever
        goes through it may never come back, and others wait.

        Raises:
            AttackCancelled: the watch stopped it.
            ScenarioError: it took too long, or too many wait already.
        """

        def told(ahead: int, seconds: float) -> None:
            watch.report(0, waiting(ahead, seconds))

        def check() -> None:
            watch.check()
            self.turns.give_way(watch.check)

        lane = "small" if x[:, 0].numel() <= SMALL**2 else "large"
        asked, away = self._clock(), self.turns.away
        try:
            with self.turns.turn(watch.check, lane, told), cores.all_of_them(), interruptible(models, check):
                waited = self._clock() - asked
                try:
                    yield
                finally:
                    watch.waits.append(waited + self.turns.away - away)
        except BusyError as error:
            raise ScenarioError(busy(error.count, error.seconds)) from None

    def _worked(self) -> float:
        """The clock, without the time in which this thread let others go first."""
        return self._clock() - self.turns.away

    @contextmanager
    def _timed(self, name: str, timings: dict[str, float]) -> Iterator[None]:
        """Add the milliseconds of a block to ``timings``, the GPU's pending work included."""

        def now() -> float:
            settle(self.device)
            return self._worked()

        start = now()
        yield
        timings[name] = round(timings.get(name, 0.0) + (now() - start) * 1000, 2)
