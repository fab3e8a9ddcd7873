"""What the API calls: ``/run``, ``/defend``, ``/classify`` and ``/scenarios``."""

from dataclasses import asdict
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from app import settings
from app.handlers.errors import answered
from app.handlers.visitors import ENOUGH_PIXELS, Upload, Visitors
from app.images import ImageError, full_size, open_picture, to_picture
from app.lab import Lab
from app.measure import packed
from app.scenario import AUTO, Scenario, make_scenario, whole
from app.shelf import resolved, resolved_codec
from app.views import cached_file
from model.attacks import ThreatModel


class RunResult(NamedTuple):
    """What ``/run`` answers."""

    original: Image.Image
    adversarial: Image.Image
    reconstruction: Image.Image
    code: str
    summary: dict[str, Any]


class Endpoints:
    """The API over one lab. Names and defaults of the parameters are the API's own."""

    def __init__(self, lab: Lab, visitors: Visitors) -> None:
        self.lab = lab
        self.visitors = visitors

    @answered
    def run(
        self,
        image: Upload,
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
        """Attack a picture, and see what the classifier makes of it with and without the ComDefend codec.

        The attack changes the picture by amounts too small to see; the codec squeezes it through a binary
        code and rebuilds it. The result has the classifier's answers for the original and the adversarial
        picture, each with and without the codec, and a verdict. ``scenarios`` has all choices.

        Args:
            image: the picture, as a data URL in base64: data:image/png;base64,... (also JPEG, WebP, GIF).
            classifier: ``auto`` chooses by the picture's size.
            attack: how the picture is attacked.
            threat_model: grey-box: the attacker knows the classifier only; adaptive: the codec, too.
            epsilon: the largest change of a colour value, in 1/255, from 1 to 64.
            steps: iterations of the attack (of Square: queries); null means the attack's own default.
            target: the name of a class to lead to; null means any other.
            seed: of the attack's random numbers.
            codec: ``auto`` chooses the one that suits the classifier.
            planes: how many planes of the code are kept; null: as many as the codec is meant to.

        Returns:
            the original as it was classified
            the adversarial picture
            its reconstruction from the code
            the packed code (NPZ)
            the result (JSON)
        """
        scenario = make_scenario(
            classifier, attack, threat_model, epsilon, steps, target, seed, codec, planes
        )
        with self.visitors.watching(request, progress) as watch:
            outcome = self.lab.run(open_picture(image, ENOUGH_PIXELS, watch.check), scenario, watch)
        return RunResult(
            original=to_picture(outcome.original),
            adversarial=to_picture(outcome.adversarial),
            reconstruction=to_picture(outcome.defended_adversarial),
            code=cached_file("code.npz", packed(outcome.code_adversarial, outcome.adversarial)),
            summary=outcome.summary(),
        )

    @answered
    def defend(
        self,
        image: Upload,
        codec: str = Scenario.codec,
        planes: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    ) -> tuple[Image.Image, str]:
        """Compress a picture of any shape to its binary code with the ComDefend codec, and rebuild it.

        Args:
            image: the picture, as a data URL in base64: data:image/png;base64,... (also JPEG, WebP, GIF).
            codec: ``auto`` chooses by the picture's size.
            planes: how many planes of the code are kept; null: as many as the codec is meant to.

        Returns:
            the reconstruction
            the packed code (NPZ)
        """
        count = None if planes is None else whole(planes, "Planes")
        with self.visitors.watching(request) as watch:
            picture = open_picture(image, check=watch.check)
            name = resolved_codec(codec, resolved(AUTO, picture.size))
            limit = _most_pixels(self.lab.codec(name).config.downscale)
            if picture.width * picture.height > limit:
                raise ImageError(
                    f"This picture has {picture.width} x {picture.height} pixels; {name} takes up to "
                    f"{limit:,} here."
                )
            code, rebuilt = self.lab.defend(full_size(picture), name, count, watch)
        return to_picture(rebuilt), cached_file("code.npz", packed(code, rebuilt))

    @answered
    def classify(
        self,
        image: Upload,
        classifier: str = AUTO,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    ) -> dict[str, Any]:
        """The five most probable classes of a picture, without attack or codec.

        Args:
            image: the picture, as a data URL in base64: data:image/png;base64,... (also JPEG, WebP, GIF).
            classifier: ``auto`` chooses by the picture's size.

        Returns:
            the prediction (JSON)
        """
        with self.visitors.watching(request) as watch:
            picture = open_picture(image, ENOUGH_PIXELS, watch.check)
            name = resolved(classifier, picture.size)
            return {"classifier": name, **asdict(self.lab.classify(picture, name, watch))}

    @answered
    def scenarios(self) -> dict[str, Any]:
        """All choices that a run has, with their limits: classifiers and their classes, codecs, attacks."""
        return self.lab.scenarios()


def _most_pixels(downscale: int) -> int:
    """The largest picture that ``/defend`` takes: how far a codec scales it down says what a pixel costs."""
    limits = settings.limits
    return round(1e6 * (limits.defend_paper_megapixels if downscale == 1 else limits.defend_megapixels))
