import pytest

from app import words


def result(
    original="cat", adversarial="dog", clean="cat", attacked="cat", *,
    threat_model="grey-box", target=None, attack="PGD", epsilon=8, steps=10,
):  # fmt: skip
    before, after = (clean, attacked) if threat_model == "adaptive" else (original, adversarial)
    labels = {
        "original": original,
        "adversarial": adversarial,
        "defended_original": clean,
        "defended_adversarial": attacked,
    }
    return {
        "scenario": {"attack": attack, "epsilon": epsilon, "steps": steps, "target": target,
                     "threat_model": threat_model},
        "predictions": {view: {"label": label} for view, label in labels.items()},
        "verdict": {
            "attack_succeeded": after == target if target else after != before,
            "defence_held": attacked == original,
            "codec_changed_label": clean != original,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("run", "parts"),
    [
        (result(), ["PGD (8/255, 10 steps) led the classifier from “cat” to “dog”.",
                    "is “cat”: the defence held."]),
        (result(attacked="dog"), ["it is still “dog”: the defence fell."]),
        (result(attacked="deer"), ["it is “deer”, not “cat”: the defence fell."]),
        (result(adversarial="cat"), ["PGD (8/255, 10 steps) failed: the classifier still says “cat”.",
                                     "nothing to repair"]),
        (result(adversarial="cat", attacked="deer"), ["failed", "“deer”, not “cat”: the defence fell."]),
        (result(clean="deer", attacked="deer"), ["the codec itself changed the label, not the attack."]),
        (result(clean="deer", attacked="frog"), ["even the original is “deer”", "moved it further"]),
        (result(clean="deer", attacked="cat"), ["luck more than defence"]),
        (result(target="dog"), ["from “cat” to its target, “dog”.", "the defence held."]),
        (result(target="ship"), ["missed its target, “ship”, but led the classifier from “cat” to “dog”."]),
        (result(adversarial="cat", target="ship"), ["missed its target, “ship”: the classifier still"]),
        (result(adversarial="cat", target="cat"), ["had nothing to do"]),
        (result(threat_model="adaptive", adversarial="cat", attacked="dog"),
         ["led the classifier behind ComDefend from “cat” to “dog”.",
          "the defence fell against an attacker who knows the codec."]),
        (result(threat_model="adaptive"),
         ["failed: the classifier behind ComDefend still says “cat”.",
          "the defence held against an attacker who knows the codec."]),
        (result(threat_model="adaptive", clean="deer", attacked="frog"),
         ["from “deer” to “frog”", "even the original is “deer”"]),
        (result(threat_model="adaptive", adversarial="cat"), ["failed", "nothing to repair"]),
    ],
)  # fmt: skip
def test_the_sentence_says_what_happened(run, parts):
    sentence = words.verdict(run)
    for part in parts:
        assert part in sentence


def test_no_case_is_silent_or_contradicts_itself():
    labels = ("cat", "dog", "deer")
    for threat_model in ("grey-box", "adaptive"):
        for target in (None, "dog"):
            for a in labels:
                for c in labels:
                    for d in labels:
                        run = result("cat", a, c, d, threat_model=threat_model, target=target)
                        sentence = words.verdict(run)
                        assert sentence.endswith(".")
                        assert ("the defence held" in sentence) <= run["verdict"]["defence_held"]
                        assert ("the defence fell" in sentence) <= (not run["verdict"]["defence_held"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"attack": "FGSM", "steps": None}, "FGSM (8/255)"),
        ({"attack": "C&W", "epsilon": None, "steps": 50}, "C&W (50 steps)"),
        ({"attack": "Square", "steps": 500}, "Square (8/255, 500 queries)"),
        ({"steps": 1}, "PGD (8/255, 1 step)"),
        ({"epsilon": 2.5}, "PGD (2.5/255, 10 steps)"),
    ],
)
def test_strength(settings, text):
    assert words.strength(result(**settings)["scenario"]) == text


def test_what_was_done_to_the_upload_is_said():
    assert words.crop_note((32, 32), 32) == ""
    assert "640 × 480 pixels: its centre square was cut out and scaled" in words.crop_note((640, 480), 32)
    assert "it was scaled to 32 × 32" in words.crop_note((100, 100), 32)
