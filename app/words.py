"""What happened in a run, as sentences. Pure functions of the run's JSON."""

from typing import Any

from app.scenario import Reading, Step
from model.config import ClassifierConfig
from model.evaluate.cells import find_cell, is_cascade

NO_MEMORY = "The GPU has no memory left; on with the CPU"
NO_GPU = "No GPU is to be had now; on with the CPU"


def strength(scenario: dict[str, Any]) -> str:
    """The attack with its strength, e.g. "PGD (8/255, 10 steps)"."""
    parts = []
    if scenario["epsilon"] is not None:
        parts.append(f"{scenario['epsilon']:g}/255")
    if scenario["steps"] is not None:
        unit = "queries" if scenario["attack"] == "Square" else "steps"
        parts.append(f"{scenario['steps']} {unit if scenario['steps'] != 1 else unit[:-1]}")
    return f"{scenario['attack']} ({', '.join(parts)})" if parts else scenario["attack"]


def verdict(result: dict[str, Any]) -> str:
    """Two sentences: what the attack did to the system that it attacked, and what ComDefend did."""
    return f"{attack_sentence(result)} {_defence_sentence(result)}"


def comparison(results: list[dict[str, Any]]) -> str:
    """How the pictures of a grey-box and of an adaptive attacker are read through ComDefend."""
    grey, adaptive = (_labels(result)["defended_adversarial"] for result in results)
    return (
        f"Through ComDefend, the picture of the attacker who knows only the classifier is read as “{grey}”, "
        f"that of the one who knows both as “{adaptive}”. "
        f"The bare classifier reads the original as “{_labels(results[0])['original']}”."
    )


def frame(scenario: dict[str, Any], step: int, steps: int, bare: str, defended: str) -> str:
    """Where an attack is that goes on, and what both systems say there."""
    return (
        f"{scenario['attack']} ({scenario['threat_model']}), step {step} of {steps}: “{bare}” without "
        f"ComDefend, “{defended}” through it."
    )


def progress(what: str, share: float) -> str:
    """How far something is, in [0,1]."""
    return f"{what}: {share:.0%}." if share else f"{what} …"


def waiting(ahead: int, seconds: float) -> str:
    """For whom others are before, and how long that takes, about."""
    others = f"{ahead} {'run is' if ahead == 1 else 'runs are'} before yours" if ahead else "yours is next"
    return f"Waiting: {others}{_about(', about {} to go', seconds)}"


def busy(count: int, seconds: float) -> str:
    """Why a run is refused, and when to come back."""
    wait = "1 run waits" if count == 1 else f"{count} runs wait"
    return f"The machine is busy: {wait} already{_about('; try again in {}', seconds)}"


def _about(sentence: str, seconds: float) -> str:
    whole = max(1, round(seconds))
    return sentence.format(f"{whole} s" if whole < 90 else f"{round(whole / 60)} minutes") if seconds else ""


def trail(steps: tuple[Step, ...], label: str) -> str:
    """What a chart of the confidence in a label shows, for those who do not see it."""
    first, last = steps[0], steps[-1]

    def led(before: Reading, after: Reading) -> str:
        return f"from {before.original:.0%} to {after.original:.0%}, where it says “{after.label}”"

    return (
        f"Confidence in “{label}” over {last.step} {'steps' if last.step != 1 else 'step'}. "
        f"Without ComDefend {led(first.bare, last.bare)}. "
        f"Through ComDefend {led(first.defended, last.defended)}."
    )


def difference(factor: int) -> str:
    """What is shown of the difference of reconstruction and original."""
    return f"Reconstruction minus original, {factor} times magnified; grey is no difference."


def attack_sentence(result: dict[str, Any]) -> str:
    """What the attack did to the system that it attacked."""
    scenario, said = result["scenario"], _labels(result)
    adaptive = scenario["threat_model"] == "adaptive"
    system = "the classifier behind ComDefend" if adaptive else "the classifier"
    prefix = "defended_" if adaptive else ""
    before, after = said[f"{prefix}original"], said[f"{prefix}adversarial"]
    attack, target = strength(scenario), scenario["target"]
    if target is not None:
        if after == target:
            return f"{attack} led {system} from “{before}” to its target, “{target}”."
        if after != before:
            return f"{attack} missed its target, “{target}”, but led {system} from “{before}” to “{after}”."
        return f"{attack} missed its target, “{target}”: {system} still says “{before}”."
    if after != before:
        return f"{attack} led {system} from “{before}” to “{after}”."
    return f"{attack} failed: {system} still says “{before}”."


def _defence_sentence(result: dict[str, Any]) -> str:
    said = _labels(result)
    original, adversarial = said["original"], said["adversarial"]
    clean, attacked = said["defended_original"], said["defended_adversarial"]
    if clean != original:
        return _codec_at_fault(original, clean, attacked)
    if result["scenario"]["threat_model"] == "adaptive":
        held = "held" if attacked == original else "fell"
        return (
            f"Through ComDefend the adversarial picture is “{attacked}”: the defence {held} against an "
            f"attacker who knows the codec."
        )
    if attacked == original and adversarial == original:
        return f"Through ComDefend it is “{attacked}” as well; there was nothing to repair."
    if attacked == original:
        return f"Through ComDefend the adversarial picture is “{attacked}”: the defence held."
    if adversarial == original:
        return (
            f"But through ComDefend it is “{attacked}”: here the codec made an attack succeed that the bare "
            f"classifier withstands."
        )
    if attacked == adversarial:
        return f"Through ComDefend it is still “{attacked}”: the defence fell."
    return f"Through ComDefend it is “{attacked}”, not “{original}”: the defence fell."


def _codec_at_fault(original: str, clean: str, attacked: str) -> str:
    """When the codec alone leads the original from its label, whatever the attack adds."""
    if attacked == original:
        return (
            f"The reconstruction is read as “{attacked}”, the bare classifier's answer, though the "
            f"codec alone turns the original into “{clean}”: luck more than defence."
        )
    if attacked == clean:
        return (
            f"Through ComDefend it is “{attacked}”, but so is the original without any attack: "
            f"here the codec itself changed the label, not the attack."
        )
    return (
        f"Through ComDefend it is “{attacked}”, and even the original is “{clean}”: "
        f"the codec itself costs the label here, and the attack moved it further."
    )


def _labels(result: dict[str, Any]) -> dict[str, str]:
    return {view: answer["label"] for view, answer in result["predictions"].items()}


UNMEASURED = "This codec has not been measured on many pictures yet, and one picture is no rule."


def measured(result: dict[str, Any], reports: dict[str, Any]) -> str:
    """How the same attack fares on many pictures, so that one lucky picture does not pass for the rule.

    Empty where that was not measured, unless nothing was measured of the codec: then it says so.

    Args:
        result: the run.
        reports: as published by the evaluation, by classifier.
    """
    scenario, verdict = result["scenario"], result["verdict"]
    report = reports.get(scenario["classifier"])
    if report is None or scenario["planes"] is not None or scenario["target"] is not None:
        return ""
    found = [
        cell
        for cell in report["cells"]
        if all(cell[name] == scenario[name] for name in ("attack", "epsilon", "steps"))
        and not is_cascade(cell)
    ]
    with_codec = find_cell(found, threat_model=scenario["threat_model"], defence=scenario["codec"])
    without = find_cell(found, threat_model="white-box", defence="none")
    if with_codec is None or without is None:
        known = any(cell["defence"] == scenario["codec"] for cell in report["cells"])
        return "" if known else UNMEASURED
    of_more = "" if with_codec["images"] == without["images"] else f" (of {without['images']:,} pictures)"
    had_to_defend = verdict["attack_succeeded"] or scenario["threat_model"] == "adaptive"
    lucky = verdict["defence_held"] and had_to_defend and with_codec["accuracy"] < 0.5
    return (
        f"{'This picture is an exception: on' if lucky else 'On'} {with_codec['images']:,} pictures, "
        f"the same attack ({scenario['threat_model']}) leaves {with_codec['accuracy']:.0%} classified "
        f"rightly through ComDefend, and {without['accuracy']:.0%} without it{of_more}."
    )


def input_note(size: tuple[int, int], frames: int, name: str, config: ClassifierConfig) -> str:
    """Which classifier gets an upload, and what is done to the picture to make it fit."""
    width, height = size
    side = config.image_size
    note = f"{width} × {height} pixels, for the classifier `{name}`"
    if size != (side, side):
        part = "its central square" if width != height or config.crop < 1 else "all of it"
        note += f", which sees {part}, scaled to {side} × {side}"
    return note + (f". Only the first of its {frames} frames is used." if frames > 1 else ".")


def perturbation(result: dict[str, Any], factor: int) -> dict[str, str]:
    """What is said beneath the picture of the perturbation, which is ``factor`` times magnified."""
    largest = result["metrics"]["linf_255"]
    return {
        "Shown": f"{factor} times magnified" if largest else "there is none",
        "Largest change": f"{largest:g}/255",
    }


def code(result: dict[str, Any], bits: int) -> dict[str, str]:
    """What is said beneath the picture of the adversarial picture's code, ``bits`` of which the original's
    has, too."""
    metrics = result["metrics"]
    said = {"Size": bits_per_pixel(metrics["code_bits_per_pixel"])}
    before, after = metrics["code_planes_original"], metrics["code_planes_adversarial"]
    if before != after:
        looks = "noisier" if after < before else "less noisy"
        said["Planes kept"] = f"{after}, and {before} of the original: this one looks {looks}"
    return said | {"Flipped": f"{round(metrics['code_bits_flipped'] * bits):,} of {bits:,} bits, in colour"}


def numbers(result: dict[str, Any]) -> dict[str, str]:
    """The run's figures as sentences, by what they are about."""
    metrics, sizes, times = result["metrics"], result["sizes_bytes"], result["timings_ms"]
    if metrics["linf_255"]:
        change = (
            f"No colour value differs by more than {metrics['linf_255']:g} of 255. L2 norm "
            f"{metrics['l2']:.2f}, PSNR {decibels(metrics['psnr_adversarial_db'])} to the original."
        )
    else:
        change = "The attack left the picture as it was."
    return {
        "Perturbation": change,
        "Reconstruction": (
            f"PSNR {decibels(metrics['psnr_reconstruction_db'])} and SSIM "
            f"{metrics['ssim_reconstruction']:.3f} to the original."
        ),
        "Code": (
            f"{bits_per_pixel(metrics['code_bits_per_pixel'])}, where the picture has 24. "
            f"The attack flipped {metrics['code_bits_flipped']:.1%} of them{_of_common(metrics)}."
        ),
        "Size": (
            f"The code takes {kilobytes(sizes['packed_code'])} packed, the same picture "
            f"{kilobytes(sizes['png'])} as PNG and {kilobytes(sizes['jpeg_75'])} as JPEG (quality 75)."
        ),
        "Time": (
            f"Attack {seconds(times['attack'])}, compressing {seconds(times['compress'])} and rebuilding "
            f"{seconds(times['reconstruct'])} for both pictures, classifying {seconds(times['classify'])} "
            f"for all four, on {result['device']}."
        ),
    }


def _of_common(metrics: dict[str, Any]) -> str:
    """Of which planes bits are counted, where more are kept of one picture than of the other."""
    before, after = metrics["code_planes_original"], metrics["code_planes_adversarial"]
    if before == after:
        return ""
    return f", counted in the {min(before, after)} planes that are kept of both pictures"


def bits_per_pixel(value: float) -> str:
    """The size of a code in words."""
    return f"{value:g} bit{'' if value == 1 else 's'} per pixel"


def decibels(value: float | None) -> str:
    """A PSNR in words; None stands for equal pictures."""
    return "infinite (no difference)" if value is None else f"{value:.1f} dB"


def kilobytes(count: int) -> str:
    """A number of bytes in kB of 1,000."""
    return f"{count / 1000:.1f} kB"


def seconds(milliseconds: float) -> str:
    """A time in words."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
