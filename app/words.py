"""What happened in a run, as sentences. Pure functions of the run's JSON."""

from typing import Any


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
    return f"{_attack_sentence(result)} {_defence_sentence(result)}"


def _attack_sentence(result: dict[str, Any]) -> str:
    scenario, said = result["scenario"], _labels(result)
    adaptive = scenario["threat_model"] == "adaptive"
    system = "the classifier behind ComDefend" if adaptive else "the classifier"
    prefix = "defended_" if adaptive else ""
    before, after = said[f"{prefix}original"], said[f"{prefix}adversarial"]
    attack, target = strength(scenario), scenario["target"]
    if target is not None:
        if before == target and after == target:
            return f"{attack} had nothing to do: {system} says “{target}” of the original already."
        if after == target:
            return f"{attack} led {system} from “{before}” to its target, “{target}”."
        if after != before:
            return f"{attack} missed its target, “{target}”, but led {system} from “{before}” to “{after}”."
        return f"{attack} missed its target, “{target}”: {system} still says “{before}”."
    if after != before:
        return f"{attack} led {system} from “{before}” to “{after}”."
    return f"{attack} failed: {system} still says “{before}”."


def _defence_sentence(result: dict[str, Any]) -> str:
    said, verdict = _labels(result), result["verdict"]
    original, adversarial = said["original"], said["adversarial"]
    clean, attacked = said["defended_original"], said["defended_adversarial"]
    adaptive = result["scenario"]["threat_model"] == "adaptive"
    knowing = " against an attacker who knows the codec" if adaptive else ""

    if verdict["defence_held"]:
        if verdict["codec_changed_label"]:
            return (
                f"The reconstruction is read as “{attacked}”, the bare classifier's answer, though the "
                f"codec alone turns the original into “{clean}”: luck more than defence."
            )
        if not verdict["attack_succeeded"] and adversarial == original:
            return f"Through ComDefend it is “{attacked}” as well; there was nothing to repair."
        return f"Through ComDefend the adversarial picture is “{attacked}”: the defence held{knowing}."
    if verdict["codec_changed_label"] and attacked == clean:
        return (
            f"Through ComDefend it is “{attacked}”, but so is the original without any attack: "
            f"here the codec itself changed the label, not the attack."
        )
    if verdict["codec_changed_label"]:
        return (
            f"Through ComDefend it is “{attacked}”, and even the original is “{clean}”: "
            f"the codec itself costs the label here, and the attack moved it further."
        )
    if attacked == adversarial:
        return f"Through ComDefend it is still “{attacked}”: the defence fell{knowing}."
    return f"Through ComDefend it is “{attacked}”, not “{original}”: the defence fell{knowing}."


def _labels(result: dict[str, Any]) -> dict[str, str]:
    return {view: answer["label"] for view, answer in result["predictions"].items()}


def crop_note(size: tuple[int, int], side: int) -> str:
    """What was done to the upload to make it fit the classifier; empty if nothing."""
    width, height = size
    if (width, height) == (side, side):
        return ""
    cut = "its centre square was cut out and" if width != height else "it was"
    return f"Your picture has {width} × {height} pixels: {cut} scaled to {side} × {side} for this classifier."
