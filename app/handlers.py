"""What the page and the API call. The only place that raises gr.Error."""

import functools
import html
import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple, ParamSpec, TypeVar

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from app import figures, words
from app.images import ImageError, full_size, open_picture, to_picture
from app.lab import Lab, Prediction, Scenario, ScenarioError
from model.attacks import AttackError, ThreatModel, find_attack
from model.checkpoint import WeightsError
from model.classifiers import UnknownClassifierError
from model.ops import pack_code

P = ParamSpec("P")
T = TypeVar("T")
MAX_CODEC_PIXELS = 1024 * 1024
log = logging.getLogger(__name__)


def answered(handler: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that a visitor can cause into one sentence; log all others in full."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except (ImageError, AttackError, ScenarioError, UnknownClassifierError) as error:
            raise gr.Error(_sentence(error), print_exception=False) from error
        except WeightsError as error:
            log.exception("weights do not load")
            raise gr.Error(
                f"{_sentence(error)} Repair: `git checkout -- weights`, or train anew with "
                f"`python app.py --train` (and `--train classifier`).",
                print_exception=False,
            ) from error
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a handler failed")
            raise gr.Error("Something went wrong on our side; the log has the details.") from error

    return wrapper


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


class RunView(NamedTuple):
    """Outputs of a run, in the order of the page's components."""

    verdict: str
    original: Image.Image
    perturbation: Image.Image
    adversarial: Image.Image
    code: Image.Image
    reconstruction: Image.Image
    original_notes: str
    perturbation_notes: str
    adversarial_notes: str
    code_notes: str
    reconstruction_notes: str
    summary: dict[str, Any]


class Handlers:
    """The page's callbacks over one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @answered
    def run(
        self,
        image: str | None,
        classifier: str,
        attack: str,
        threat_model: ThreatModel,
        epsilon: float,
        steps: float,
        target: str | None = None,
        seed: float = 0,
        codec: str = Scenario.codec,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> RunView:
        """Attack a picture, and look at it with and without ComDefend."""
        picture = open_picture(image)
        scenario = make_scenario(classifier, attack, threat_model, epsilon, steps, target, seed, codec)
        shown = 0.0
        progress(0, desc=f"{attack} is looking for a perturbation")

        def show(done: float) -> None:
            nonlocal shown
            if done - shown >= 0.01:  # Square asks thousands of times
                shown = done
                progress(done, desc=f"{attack}: {done:.0%}")

        outcome = self.lab.run(picture, scenario, show)
        result = outcome.summary()
        size = outcome.original.shape[-1]
        metrics = result["metrics"]
        note = words.crop_note(picture.size, size)
        factor = figures.magnification(outcome.original, outcome.adversarial)
        bits = outcome.code_original.numel()
        flipped = round(metrics["code_bits_flipped"] * bits)
        says = outcome.predictions
        return RunView(
            verdict=f"**{words.verdict(result)}**" + (f"\n\n{note}" if note else ""),
            original=to_picture(outcome.original),
            perturbation=figures.perturbation(outcome.original, outcome.adversarial),
            adversarial=to_picture(outcome.adversarial),
            code=figures.code_mosaic(outcome.code_adversarial),
            reconstruction=to_picture(outcome.defended_adversarial),
            original_notes=bars("The classifier says", says["original"])
            + bars("Through ComDefend", says["defended_original"]),
            perturbation_notes=notes(
                ("Shown", f"{factor} times magnified" if metrics["linf_255"] else "there is none"),
                ("Largest change", f"{metrics['linf_255']:g}/255"),
                ("L2 norm", f"{metrics['l2']:.3f}"),
                ("PSNR", decibels(metrics["psnr_adversarial_db"])),
            ),
            adversarial_notes=bars("The classifier says", says["adversarial"]),
            code_notes=notes(
                ("Size", f"{metrics['code_bits_per_pixel']:g} bits per pixel; the picture has 24"),
                (
                    "Flipped by the attack",
                    f"{flipped:,} of {bits:,} bits ({metrics['code_bits_flipped']:.1%})",
                ),
            ),
            reconstruction_notes=bars("Through ComDefend", says["defended_adversarial"])
            + notes(
                ("PSNR to the original", decibels(metrics["psnr_reconstruction_db"])),
            ),
            summary=result,
        )

    @answered
    def defend(self, image: str | None, codec: str = Scenario.codec) -> tuple[Image.Image, str]:
        """Compress a picture of any size to its binary code, and rebuild it."""
        picture = open_picture(image)
        if picture.width * picture.height > MAX_CODEC_PIXELS:
            raise ImageError(
                f"This picture has {picture.width} x {picture.height} pixels; the codec takes up to "
                f"{MAX_CODEC_PIXELS:,} here, since it needs 1 kB of memory for each."
            )
        code, rebuilt = self.lab.defend(full_size(picture), codec)
        # Into Gradio's own cache, which the page's delete_cache empties.
        path = save_bytes_to_cache(pack_code(code[0]), "code.npz", get_upload_folder())
        return to_picture(rebuilt), path

    @answered
    def classify(self, image: str | None, classifier: str = Scenario.classifier) -> dict[str, Any]:
        """The bare classifier's five most probable classes."""
        answer = self.lab.classify(open_picture(image), classifier)
        return {"classifier": classifier, **asdict(answer)}

    @answered
    def scenarios(self) -> dict[str, Any]:
        """The choices that a run has, and their limits."""
        return self.lab.scenarios()


def make_scenario(
    classifier: str,
    attack: str,
    threat_model: ThreatModel,
    epsilon: float | None,
    steps: float | None,
    target: str | None,
    seed: float | None,
    codec: str,
) -> Scenario:
    """A scenario from what the components hold.

    What the attack lacks becomes None; a strength or a number of steps that is None, its default.
    """
    spec = find_attack(attack)
    return Scenario(
        classifier=classifier,
        codec=codec,
        attack=attack,
        threat_model=threat_model,
        epsilon=_or(epsilon, Scenario.epsilon) if spec.has_epsilon else None,
        steps=whole(_or(steps, spec.default_steps), spec.steps_label) if spec.has_steps else None,
        target=target or None,
        seed=whole(seed, "Seed"),
    )


def _or(value: float | None, default: float | None) -> float | None:
    return default if value is None else value


def whole(value: float | None, name: str) -> int:
    """A whole number from a component's value."""
    if value is None or not math.isfinite(value) or value != int(value) or abs(value) >= 2**31:
        raise AttackError(f"{name} must be a whole number, got {value}")
    return int(value)


def bars(title: str, prediction: Prediction) -> str:
    """The five most probable classes as a small table with bars."""
    rows = "".join(
        f'<div class="bar"><span class="fill" style="width:{100 * share:.1f}%"></span>'
        f"<span>{html.escape(label)}</span><span>{share:.1%}</span></div>"
        for label, share in prediction.top
    )
    return f'<div class="says"><div class="title">{html.escape(title)}</div>{rows}</div>'


def notes(*rows: tuple[str, str]) -> str:
    """Named figures beneath a picture."""
    body = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows)
    return f'<dl class="notes">{body}</dl>'


def decibels(value: float | None) -> str:
    """A PSNR in words; None stands for equal pictures."""
    return "no difference" if value is None else f"{value:.1f} dB"
