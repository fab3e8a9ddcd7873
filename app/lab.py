"""One run of the lab: a picture, an attack, the code, the reconstruction, four predictions."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from app.images import encode, prepare, to_picture
from model import ComDefend, DefendedClassifier, load_classifier
from model.attacks import (
    ATTACKS,
    MAX_EPSILON,
    MIN_EPSILON,
    THREAT_MODELS,
    AttackCancelled,
    ThreatModel,
    attack,
    find_attack,
    interruptible,
)
from model.classifiers import Classifier
from model.defences import Codec
from model.device import choose_device, device_name
from model.metrics import psnr, ssim
from model.ops import pack_code
from model.zoo import CLASSIFIERS, CODECS, SMALL, classifier_for, codec_for, find_classifier

View = Literal["original", "adversarial", "defended_original", "defended_adversarial"]
VIEWS: tuple[View, ...] = ("original", "adversarial", "defended_original", "defended_adversarial")

AUTO = "auto"
"""In the place of a classifier's or a codec's name: the one that suits the picture's size."""


def resolved(classifier: str, size: tuple[int, int]) -> str:
    """The name of the classifier that is meant for a picture of that size, in pixels."""
    return classifier_for(*size) if classifier == AUTO else classifier


def resolved_codec(codec: str, classifier: str) -> str:
    """The name of the codec that is meant before a classifier."""
    return codec_for(classifier) if codec == AUTO else codec


class ScenarioError(ValueError):
    """A run was asked for something that is no choice; the message says what is."""


class Watch:
    """How a run tells how far it is, and how it is told to stop, from another thread.

    Args:
        on_progress: called with the share done, and of what.
        limit_s: how many seconds the run may take.
    """

    def __init__(
        self, on_progress: Callable[[float, str], None] | None = None, limit_s: float = math.inf
    ) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s

    def stop(self) -> None:
        """End the run at its next layer."""
        self._stop.set()

    def check(self) -> None:
        """Raise ``AttackCancelled`` if the run is to stop, ``ScenarioError`` if it takes too long."""
        if self._stop.is_set():
            raise AttackCancelled
        if time.monotonic() > self._end:
            raise ScenarioError(
                f"this run took more than {self._limit_s:.0f} s and was ended; choose fewer steps"
            )

    def report(self, share: float, what: str) -> None:
        """Say that ``share`` of ``what`` is done."""
        self.check()
        if self._on_progress is not None:
            self._on_progress(share, what)


@dataclass(frozen=True)
class Scenario:
    """What is asked of one run. ``epsilon`` is in 1/255; None where the attack has none.

    ``classifier`` and ``codec`` may be ``auto``; the scenario of an outcome names what they were.
    ``planes`` is how many planes of the code are kept; None keeps all.
    """

    classifier: str = AUTO
    codec: str = AUTO
    attack: str = "BIM"
    threat_model: ThreatModel = "grey-box"
    epsilon: float | None = 4
    steps: int | None = 10
    target: str | None = None
    seed: int = 0
    planes: int | None = None


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture."""

    label: str
    confidence: float
    top: list[tuple[str, float]]
    """The five most probable classes with their probabilities."""


@dataclass(frozen=True)
class Outcome:
    """All that one run found. Pictures have shape (1,3,H,W), codes (1,K,h,w), K planes being kept."""

    scenario: Scenario
    original: Tensor
    adversarial: Tensor
    defended_original: Tensor
    defended_adversarial: Tensor
    code_original: Tensor
    code_adversarial: Tensor
    predictions: dict[View, Prediction]
    verdict: dict[str, bool]
    metrics: dict[str, float | None]
    sizes_bytes: dict[str, int]
    """Of the adversarial picture: as a packed code, as PNG, as JPEG of quality 75."""
    timings_ms: dict[str, float]
    device: str

    @property
    def is_small(self) -> bool:
        """Whether a page will enlarge its pictures."""
        return self.original.shape[-1] <= SMALL

    def summary(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "scenario": asdict(self.scenario),
            "predictions": {view: asdict(self.predictions[view]) for view in VIEWS},
            "verdict": self.verdict,
            "metrics": self.metrics,
            "sizes_bytes": self.sizes_bytes,
            "timings_ms": self.timings_ms,
            "device": self.device,
        }


class Lab:
    """Owns the models, the device and the lock that lets one computation run at a time."""

    def __init__(self, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._lock = threading.Lock()
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
        with self._turn(watch), torch.inference_mode():
            return self._predictions(model, model(x))[0]

    def defend(
        self, x: Tensor, codec: str = AUTO, planes: int | None = None, watch: Watch | None = None
    ) -> tuple[Tensor, Tensor]:
        """Code (1,K,h,w) of the planes that are kept, and reconstruction (1,3,H,W), of (1,3,H,W) in [0,1]."""
        watch = watch or Watch()
        height, width = x.shape[-2:]
        defence = self._defence(resolved_codec(codec, classifier_for(width, height)), planes)
        with self._turn(watch), interruptible(defence, watch.check):
            code = defence.codec.compress(x.to(self.device), defence.planes)
            return code[:, :planes].cpu(), defence.codec.reconstruct(code, (height, width)).cpu()

    def _defence(self, codec: str, planes: int | None) -> Codec:
        model = self.codec(codec)
        if planes is not None and not 1 <= planes <= model.planes:
            raise ScenarioError(f"the code has 1 to {model.planes} planes to keep, not {planes}")
        return Codec(model, planes)

    def run(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch | None = None,
    ) -> Outcome:
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
        name = resolved(scenario.classifier, picture.size)
        scenario = replace(scenario, classifier=name, codec=resolved_codec(scenario.codec, name))
        if scenario.planes == self.codec(scenario.codec).planes:
            scenario = replace(scenario, planes=None)
        if scenario.threat_model not in THREAT_MODELS:
            raise ScenarioError(
                f"unknown threat model {scenario.threat_model!r}; choose from {', '.join(THREAT_MODELS)}"
            )
        find_attack(scenario.attack).check(scenario.epsilon, scenario.steps, None)
        defence = self._defence(scenario.codec, scenario.planes)
        codec = defence.codec
        classifier = self.classifier(scenario.classifier, watch)
        target = _target_index(scenario, classifier)
        config = classifier.config
        original = prepare(picture, config.image_size, config.crop).to(self.device)
        adaptive = scenario.threat_model == "adaptive"
        system = DefendedClassifier(classifier, defence) if adaptive else classifier

        everything = torch.nn.ModuleList((classifier, codec))
        with self._turn(watch), interruptible(everything, watch.check):
            with torch.inference_mode():
                labels = system(original).argmax(1)
            if target == labels.item():
                raise ScenarioError(
                    f"{'through the codec ' if adaptive else ''}the picture is {scenario.target!r} already; "
                    f"choose another class to aim at"
                )
            timings: dict[str, float] = {}
            with self._timed("attack", timings):
                adversarial = attack(
                    scenario.attack,
                    system,
                    original.clone(),
                    labels.clone(),
                    epsilon=scenario.epsilon,
                    steps=scenario.steps,
                    target=target,
                    seed=scenario.seed,
                    on_progress=lambda share: watch.report(
                        share, f"{scenario.attack} at work ({scenario.threat_model})"
                    ),
                )
            watch.report(1, "Through the codec")
            # One picture at a time: in a batch the last digits differ, and with them, now and then,
            # a bit of the code. So anyone who repeats this on the downloaded PNG gets the same.
            pair = [original, adversarial]
            with self._timed("compress", timings):
                codes = [codec.compress(x, scenario.planes) for x in pair]
            with self._timed("reconstruct", timings):
                size = (original.shape[-2], original.shape[-1])
                rebuilt = [codec.reconstruct(code, size) for code in codes]
            with self._timed("classify", timings), torch.inference_mode():
                logits = [classifier(x) for x in pair + rebuilt]  # in VIEWS' order
            answers = self._predictions(classifier, torch.cat(logits))

        predictions = dict(zip(VIEWS, answers, strict=True))
        before, after = (answers[2], answers[3]) if adaptive else (answers[0], answers[1])
        succeeded = after.label != before.label
        if scenario.target is not None:
            succeeded = after.label == scenario.target
        original, adversarial, clean, defended, code, attacked_code = (
            tensor.cpu() for tensor in (*pair, *rebuilt, *(code[:, : scenario.planes] for code in codes))
        )
        delta = adversarial - original
        return Outcome(
            scenario=scenario,
            original=original,
            adversarial=adversarial,
            defended_original=clean,
            defended_adversarial=defended,
            code_original=code,
            code_adversarial=attacked_code,
            predictions=predictions,
            verdict={
                "attack_succeeded": succeeded,
                "defence_held": answers[3].label == answers[0].label,
                "codec_changed_label": answers[2].label != answers[0].label,
            },
            metrics={
                "linf_255": round(delta.abs().max().item() * 255, 3),
                "l2": round(delta.norm().item(), 4),
                "psnr_adversarial_db": _finite(psnr(adversarial, original).item()),
                "psnr_reconstruction_db": _finite(psnr(defended, original).item()),
                "ssim_reconstruction": round(ssim(defended, original).item(), 4),
                "code_bits_per_pixel": code.numel() / original[0, 0].numel(),
                "code_bits_flipped": round((code != attacked_code).float().mean().item(), 5),
            },
            sizes_bytes={
                "packed_code": len(packed(attacked_code, original)),
                "png": len(encode(to_picture(adversarial), "PNG")),
                "jpeg_75": len(encode(to_picture(adversarial), "JPEG", quality=75)),
            },
            timings_ms=timings,
            device=device_name(self.device),
        )

    @contextmanager
    def _turn(self, watch: Watch) -> Iterator[None]:
        """The lock, for which a run waits only until it is told to stop."""
        while not self._lock.acquire(timeout=0.1):
            watch.check()
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _timed(self, name: str, timings: dict[str, float]) -> Iterator[None]:
        """Milliseconds of a block into ``timings``, the GPU's pending work included."""

        def now() -> float:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return time.perf_counter()

        start = now()
        yield
        timings[name] = round((now() - start) * 1000, 2)

    def _predictions(self, classifier: Classifier, logits: Tensor) -> list[Prediction]:
        probabilities = logits.float().softmax(1)
        values, indices = probabilities.topk(min(5, probabilities.shape[1]))
        answers = []
        for row, which in zip(values.tolist(), indices.tolist(), strict=True):
            top = [(classifier.classes[i], round(p, 5)) for p, i in zip(row, which, strict=True)]
            answers.append(Prediction(label=top[0][0], confidence=top[0][1], top=top))
        return answers


def packed(code: Tensor, picture: Tensor) -> bytes:
    """The file of a code, (1,K,h,w), of a picture, (1,3,H,W); one that is smaller than it tells its size."""
    size = (picture.shape[-2], picture.shape[-1])
    return pack_code(code[0], None if tuple(code.shape[-2:]) == size else size)


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


def _finite(value: float) -> float | None:
    """JSON has no infinity; equal pictures have no PSNR."""
    return round(value, 3) if value != float("inf") else None
