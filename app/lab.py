"""A run: what is asked for is resolved, the picture is attacked, rebuilt from its code, and measured."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from app.images import prepare
from app.measure import measure, predictions
from app.scenario import AUTO, Outcome, Prediction, Scenario, ScenarioError, Watch
from app.turns import Turns
from model import ComDefend, DefendedClassifier, load_classifier
from model.attacks import (
    ATTACKS,
    MAX_EPSILON,
    MIN_EPSILON,
    THREAT_MODELS,
    attack,
    find_attack,
    interruptible,
)
from model.classifiers import Classifier
from model.defences import Codec
from model.device import choose_device, device_name
from model.zoo import CLASSIFIERS, CODECS, classifier_for, codec_for, find_classifier


def resolved(classifier: str, size: tuple[int, int]) -> str:
    """The name of the classifier that is meant for a picture of that size, in pixels."""
    return classifier_for(*size) if classifier == AUTO else classifier


def resolved_codec(codec: str, classifier: str) -> str:
    """The name of the codec that is meant before a classifier."""
    return codec_for(classifier) if codec == AUTO else codec


@dataclass(frozen=True)
class Setup:
    """A scenario with all that its names stand for."""

    scenario: Scenario
    """As it was asked for, with the names that ``auto`` stood for."""
    classifier: Classifier
    defence: Codec
    """The codec, with the planes that are kept."""
    target: int | None
    """The number of the class that is aimed at."""

    @property
    def is_adaptive(self) -> bool:
        """Whether the attacker knows the codec, too."""
        return self.scenario.threat_model == "adaptive"

    @property
    def attacked(self) -> torch.nn.Module:
        """The system that the attacker knows, and attacks."""
        return DefendedClassifier(self.classifier, self.defence) if self.is_adaptive else self.classifier


class Lab:
    """Owns the models, the device and the turns by which one computation runs at a time.

    Args:
        device: auto, cpu, cuda, cuda:1, ...
        clock: in seconds; runs are timed by it.
    """

    def __init__(self, device: str = "auto", clock: Callable[[], float] = time.perf_counter) -> None:
        self.device = choose_device(device)
        self._clock = clock
        self.turns = Turns()
        self._classifiers: dict[str, Classifier] = {}
        self._codecs: dict[str, ComDefend] = {}

    def classifier(self, name: str, watch: Watch | None = None) -> Classifier:
        """A classifier by name, loaded once, and downloaded where that is so."""
        find_classifier(name)
        if name not in self._classifiers:
            watch = watch or Watch()
            model = load_classifier(
                name, self.device, lambda share: watch.report(share, f"Downloading {name}, once")
            ).to(memory_format=torch.channels_last)
            # Some attacks go backwards through everything: spare them the weights' gradients.
            self._classifiers[name] = model.requires_grad_(False)
        return self._classifiers[name]

    def codec(self, name: str) -> ComDefend:
        """A codec by name, loaded once."""
        if not isinstance(name, str) or name not in CODECS:
            raise ScenarioError(f"unknown codec {name!r}; choose from {', '.join(CODECS)}")
        if name not in self._codecs:
            model = ComDefend.from_pretrained(CODECS[name].folder, map_location=self.device)
            self._codecs[name] = model.to(memory_format=torch.channels_last).requires_grad_(False)
        return self._codecs[name]

    def warm_up(self, pictures: Iterable[Image.Image]) -> None:
        """Throw-away runs, so that the first visitor does not wait for imports and caches."""
        for picture in pictures:
            self.run(picture, Scenario(attack="FGSM", steps=None))

    def scenarios(self) -> dict[str, Any]:
        """The choices that a run has, and their limits."""
        default = Scenario()
        return {
            "classifiers": {name: list(entry.config().classes) for name, entry in CLASSIFIERS.items()},
            "codecs": list(CODECS),
            "planes": {"min": 1, "max": {name: self.codec(name).planes for name in CODECS}, "default": None},
            "threat_models": list(THREAT_MODELS),
            "attacks": {
                spec.name: {
                    "about": spec.about,
                    "epsilon": {"min": MIN_EPSILON, "max": MAX_EPSILON, "default": default.epsilon}
                    if spec.has_epsilon
                    else None,
                    "steps": {
                        "min": 1,
                        "max": spec.max_steps,
                        "default": spec.default_steps,
                        "label": spec.steps_label,
                    }
                    if spec.has_steps
                    else None,
                    "targetable": spec.targetable,
                    "seeded": spec.seeded,
                }
                for spec in ATTACKS.values()
            },
            "defaults": asdict(default),
        }

    def classify(self, picture: Image.Image, classifier: str, watch: Watch | None = None) -> Prediction:
        """The classifier's answer for a picture, without attack or codec."""
        watch = watch or Watch()
        model = self.classifier(classifier, watch)
        x = prepare(picture, model.config.image_size, model.config.crop).to(self.device)
        with self.turns.turn(watch.check), torch.inference_mode():
            return predictions(model, model(x))[0]

    def defend(
        self, x: Tensor, codec: str = AUTO, planes: int | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, Tensor]:
        """Code (1,K,h,w) of the planes that are kept, and reconstruction (1,3,H,W), of (1,3,H,W) in [0,1]."""
        watch = watch or Watch()
        height, width = x.shape[-2:]
        defence = self._defence(resolved_codec(codec, classifier_for(width, height)), planes)
        with self.turns.turn(watch.check), interruptible(defence, watch.check):
            code = defence.codec.compress(x.to(self.device), defence.planes)
            return code[:, :planes].cpu(), defence.codec.reconstruct(code, (height, width)).cpu()

    def _defence(self, codec: str, planes: int | None) -> Codec:
        model = self.codec(codec)
        if planes is not None and not 1 <= planes <= model.planes:
            raise ScenarioError(f"the code has 1 to {model.planes} planes to keep, not {planes}")
        return Codec(model, planes)

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
        watch = watch or Watch()
        setup = self.resolve(scenario, picture.size, watch)
        classifier, config = setup.classifier, setup.classifier.config
        original = prepare(picture, config.image_size, config.crop).to(self.device)
        timings: dict[str, float] = {}
        everything = torch.nn.ModuleList((classifier, setup.defence.codec))
        with self.turns.turn(watch.check), interruptible(everything, watch.check):
            adversarial = self._attack(setup, original, watch, timings)
            watch.report(1, "Through the codec")
            pictures = [original, adversarial]
            codes, rebuilt = self._rebuild(setup.defence, pictures, timings)
            with self._timed("classify", timings), torch.inference_mode():
                logits = [classifier(x) for x in pictures + rebuilt]  # in VIEWS' order
            answers = predictions(classifier, torch.cat(logits))
        return measure(
            setup.scenario,
            pictures=pictures,
            codes=[code[:, : setup.scenario.planes] for code in codes],
            rebuilt=rebuilt,
            answers=answers,
            timings_ms=timings,
            device=device_name(self.device),
        )

    def resolve(self, scenario: Scenario, size: tuple[int, int], watch: Watch) -> Setup:
        """Load what a scenario names, for a picture of that size; refuse what does not exist."""
        name = resolved(scenario.classifier, size)
        scenario = replace(scenario, classifier=name, codec=resolved_codec(scenario.codec, name))
        if scenario.planes == self.codec(scenario.codec).planes:
            scenario = replace(scenario, planes=None)
        if scenario.threat_model not in THREAT_MODELS:
            raise ScenarioError(
                f"unknown threat model {scenario.threat_model!r}; choose from {', '.join(THREAT_MODELS)}"
            )
        find_attack(scenario.attack).check(scenario.epsilon, scenario.steps, None)
        defence = self._defence(scenario.codec, scenario.planes)
        classifier = self.classifier(scenario.classifier, watch)
        return Setup(scenario, classifier, defence, _target_index(scenario, classifier))

    def _attack(self, setup: Setup, original: Tensor, watch: Watch, timings: dict[str, float]) -> Tensor:
        """The adversarial picture, (1,3,H,W)."""
        scenario, system = setup.scenario, setup.attacked
        with torch.inference_mode():
            labels = system(original).argmax(1)
        if setup.target == labels.item():
            raise ScenarioError(
                f"{'through the codec ' if setup.is_adaptive else ''}the picture is {scenario.target!r} "
                f"already; choose another class to aim at"
            )
        with self._timed("attack", timings):
            return attack(
                scenario.attack,
                system,
                original.clone(),
                labels.clone(),
                epsilon=scenario.epsilon,
                steps=scenario.steps,
                target=setup.target,
                seed=scenario.seed,
                on_progress=lambda share: watch.report(
                    share, f"{scenario.attack} at work ({scenario.threat_model})"
                ),
            )

    def _rebuild(
        self, defence: Codec, pictures: list[Tensor], timings: dict[str, float]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Codes, (1,K,h,w), and reconstructions, (1,3,H,W), of pictures of one size.

        One picture at a time: in a batch the last digits differ, and with them, now and then, a bit of the
        code. So anyone who repeats this on the downloaded PNG gets the same.
        """
        codec, size = defence.codec, (pictures[0].shape[-2], pictures[0].shape[-1])
        with self._timed("compress", timings):
            codes = [codec.compress(x, defence.planes) for x in pictures]
        with self._timed("reconstruct", timings):
            return codes, [codec.reconstruct(code, size) for code in codes]

    @contextmanager
    def _timed(self, name: str, timings: dict[str, float]) -> Iterator[None]:
        """Milliseconds of a block into ``timings``, the GPU's pending work included."""

        def now() -> float:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return self._clock()

        start = now()
        yield
        timings[name] = round((now() - start) * 1000, 2)


def _target_index(scenario: Scenario, classifier: Classifier) -> int | None:
    if scenario.target is None:
        return None
    if scenario.target not in classifier.classes:
        raise ScenarioError(
            f"{scenario.classifier} knows no class {scenario.target!r} to aim at; "
            f"it knows {', '.join(classifier.classes[:10])}"
            f"{', ...' if len(classifier.classes) > 10 else ''}"
        )
    return classifier.classes.index(scenario.target)
