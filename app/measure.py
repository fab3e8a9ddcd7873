"""What a run came to: predictions, verdict and figures. Pure functions of its pictures, codes and logits."""

from torch import Tensor

from app.images import encode, to_picture
from app.scenario import VIEWS, Outcome, Prediction, Reading, Scenario, Step, View
from model.classifiers import Classifier
from model.metrics import psnr, ssim
from model.ops import pack_code, turned_bits


def measure(
    scenario: Scenario,
    *,
    pictures: list[Tensor],
    codes: list[Tensor],
    rebuilt: list[Tensor],
    answers: list[Prediction],
    timings_ms: dict[str, float],
    device: str,
    trail: tuple[Step, ...] = (),
) -> Outcome:
    """The outcome of a run.

    Args:
        scenario: resolved: with the names that ``auto`` stood for.
        pictures: the original and the adversarial one, (1,3,H,W).
        codes: theirs, (1,K,h,w), of the planes that are kept.
        rebuilt: their reconstructions, (1,3,H,W).
        answers: the classifier's, in the order of ``VIEWS``.
        timings_ms: how long each part of the run took.
        device: where it was computed.
        trail: what both systems said on the way.
    """
    original, adversarial, clean, defended, code, attacked_code = (
        tensor.cpu() for tensor in (*pictures, *rebuilt, *codes)
    )
    predicted = dict(zip(VIEWS, answers, strict=True))
    delta = adversarial - original
    return Outcome(
        scenario=scenario,
        original=original,
        adversarial=adversarial,
        defended_original=clean,
        defended_adversarial=defended,
        code_original=code,
        code_adversarial=attacked_code,
        predictions=predicted,
        verdict=judge(scenario, {view: answer.label for view, answer in predicted.items()}),
        metrics={
            "linf_255": round(delta.abs().max().item() * 255, 3),
            "l2": round(delta.norm().item(), 4),
            "psnr_adversarial_db": _finite(psnr(adversarial, original).item()),
            "psnr_reconstruction_db": _finite(psnr(defended, original).item()),
            "ssim_reconstruction": round(ssim(defended, original).item(), 4),
            "code_planes_original": code.shape[1],
            "code_planes_adversarial": attacked_code.shape[1],
            "code_bits_per_pixel": attacked_code.numel() / original[0, 0].numel(),
            "code_bits_flipped": round(turned_bits(code, attacked_code).float().mean().item(), 5),
        },
        sizes_bytes={
            "packed_code": len(packed(attacked_code, original)),
            "png": len(encode(to_picture(adversarial), "PNG")),
            "jpeg_75": len(encode(to_picture(adversarial), "JPEG", quality=75)),
        },
        timings_ms=timings_ms,
        device=device,
        trail=trail,
    )


def judge(scenario: Scenario, labels: dict[View, str]) -> dict[str, bool]:
    """Whether the attack succeeded against the system that it attacked, and what the codec did."""
    adaptive = scenario.threat_model == "adaptive"
    before = labels["defended_original" if adaptive else "original"]
    after = labels["defended_adversarial" if adaptive else "adversarial"]
    return {
        "attack_succeeded": after != before if scenario.target is None else after == scenario.target,
        "defence_held": labels["defended_adversarial"] == labels["original"],
        "codec_changed_label": labels["defended_original"] != labels["original"],
    }


def predictions(classifier: Classifier, logits: Tensor) -> list[Prediction]:
    """What logits, (B,classes), say of each picture."""
    probabilities = logits.float().softmax(1)
    values, indices = probabilities.topk(min(5, probabilities.shape[1]))
    answers = []
    for row, which in zip(values.tolist(), indices.tolist(), strict=True):
        top = [(classifier.classes[i], round(p, 5)) for p, i in zip(row, which, strict=True)]
        answers.append(Prediction(label=top[0][0], confidence=top[0][1], top=top))
    return answers


def readings(classifier: Classifier, logits: Tensor, label: int) -> list[Reading]:
    """What logits, (B,classes), say of each picture, and how sure they are of a class."""
    answers = predictions(classifier, logits)
    shares = logits.float().softmax(1)[:, label].tolist()
    return [
        Reading(answer.label, answer.confidence, round(share, 5))
        for answer, share in zip(answers, shares, strict=True)
    ]


def packed(code: Tensor, picture: Tensor) -> bytes:
    """The file of a code, (1,K,h,w), of a picture, (1,3,H,W); one that is smaller than it tells its size."""
    size = (picture.shape[-2], picture.shape[-1])
    return pack_code(code[0], None if tuple(code.shape[-2:]) == size else size)


def _finite(value: float) -> float | None:
    """JSON has no infinity; equal pictures have no PSNR."""
    return round(value, 3) if value != float("inf") else None
