"""The models that runs name: which is meant, and each loaded once."""

from dataclasses import asdict
from typing import Any

from app.scenario import AUTO, Scenario, ScenarioError, Watch
from model import ComDefend, load_classifier
from model.attacks import ATTACKS, MAX_EPSILON, MIN_EPSILON, THREAT_MODELS
from model.classifiers import Classifier
from model.defences import Codec
from model.device import choose_device
from model.zoo import CLASSIFIERS, CODECS, classifier_for, codec_for, find_classifier


def resolved(classifier: str, size: tuple[int, int]) -> str:
    """The name of the classifier that is meant for a picture of that size, in pixels."""
    return classifier_for(*size) if classifier == AUTO else classifier


def resolved_codec(codec: str, classifier: str) -> str:
    """The name of the codec that is meant before a classifier."""
    return codec_for(classifier) if codec == AUTO else codec


class Shelf:
    """The models of one device.

    Args:
        device: auto, cpu, cuda, cuda:1, ...
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._classifiers: dict[str, Classifier] = {}
        self._codecs: dict[str, ComDefend] = {}

    def classifier(self, name: str, watch: Watch | None = None) -> Classifier:
        """A classifier by name, loaded once, and downloaded where that is so."""
        find_classifier(name)
        if name not in self._classifiers:
            watch = watch or Watch()
            model = load_classifier(
                name, self.device, lambda share: watch.report(share, f"Downloading {name}, once")
            )
            # Some attacks go backwards through everything: spare them the weights' gradients.
            self._classifiers[name] = model.freeze()
        return self._classifiers[name]

    def codec(self, name: str) -> ComDefend:
        """A codec by name, loaded once."""
        if not isinstance(name, str) or name not in CODECS:
            raise ScenarioError(f"unknown codec {name!r}; choose from {', '.join(CODECS)}")
        if name not in self._codecs:
            model = ComDefend.from_pretrained(CODECS[name].folder, map_location=self.device)
            self._codecs[name] = model.freeze()
        return self._codecs[name]

    def adopt(self, other: "Shelf") -> None:
        """Have the models that another one of the same device has loaded."""
        self._classifiers.update(other._classifiers)
        self._codecs.update(other._codecs)

    def loaded(self) -> dict[str, list[str]]:
        """The names of the models that are in memory."""
        return {"classifiers": list(self._classifiers), "codecs": list(self._codecs)}

    def defence(self, codec: str, planes: int | None) -> Codec:
        """A codec that keeps so many planes; None: as many as it is meant to."""
        model = self.codec(codec)
        if planes is not None and not 1 <= planes <= model.planes:
            raise ScenarioError(f"the code has 1 to {model.planes} planes to keep, not {planes}")
        return Codec(model, planes)

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
