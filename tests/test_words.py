import itertools

import pytest

from app import words
from model.config import ClassifierConfig


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
                     "threat_model": threat_model, "codec": "codec", "planes": None},
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
        (result(adversarial="cat", attacked="deer"),
         ["failed", "But through ComDefend it is “deer”", "the codec made an attack succeed"]),
        (result(clean="deer", attacked="deer"), ["the codec itself changed the label, not the attack."]),
        (result(clean="deer", attacked="frog"), ["even the original is “deer”", "moved it further"]),
        (result(clean="deer", attacked="cat"), ["luck more than defence"]),
        (result(target="dog"), ["from “cat” to its target, “dog”.", "the defence held."]),
        (result(target="ship"), ["missed its target, “ship”, but led the classifier from “cat” to “dog”."]),
        (result(adversarial="cat", target="ship"), ["missed its target, “ship”: the classifier still"]),
        (result(threat_model="adaptive", adversarial="cat", attacked="dog"),
         ["led the classifier behind ComDefend from “cat” to “dog”.",
          "the defence fell against an attacker who knows the codec."]),
        (result(threat_model="adaptive"),
         ["failed: the classifier behind ComDefend still says “cat”.",
          "the defence held against an attacker who knows the codec."]),
        (result(threat_model="adaptive", clean="deer", attacked="frog"),
         ["from “deer” to “frog”", "even the original is “deer”"]),
        (result(threat_model="adaptive", adversarial="cat"),
         ["failed", "the defence held against an attacker who knows the codec."]),
        (result(threat_model="adaptive", adversarial="cat", attacked="deer", target="dog"),
         ["missed its target, “dog”, but led the classifier behind ComDefend from “cat” to “deer”.",
          "the defence fell against an attacker who knows the codec."]),
    ],
)  # fmt: skip
def test_the_sentence_says_what_happened(run, parts):
    sentence = words.verdict(run)
    for part in parts:
        assert part in sentence


def test_no_case_is_silent_or_contradicts_itself():
    labels = ("cat", "dog", "deer")
    for threat_model, target, a, c, d in itertools.product(
        ("grey-box", "adaptive"), (None, *labels), labels, labels, labels
    ):
        run = result("cat", a, c, d, threat_model=threat_model, target=target)
        if target == ("cat" if threat_model == "grey-box" else c):
            continue  # refused: there is nothing to lead to
        sentence = words.verdict(run)
        moved = a != "cat" if threat_model == "grey-box" else d != c
        assert sentence.endswith(".")
        # What is said of the attack.
        assert (" from “" in sentence) is moved
        assert ("its target, “" in sentence) is (target is not None)
        assert ("missed" in sentence) is (target not in (None, a if threat_model == "grey-box" else d))
        # What is said of the defence: it can hold or fall only where the codec alone leaves the label be.
        assert ("the defence held" in sentence) is (c == d == "cat" and (moved or threat_model == "adaptive"))
        assert ("nothing to repair" in sentence) is (c == d == a == "cat" and threat_model == "grey-box")
        fell = c == "cat" and d != "cat"
        assert ("the defence fell" in sentence or "made an attack succeed" in sentence) is fell
        assert ("the codec itself" in sentence or "codec alone" in sentence) is (c != "cat")
        assert sentence.count(f"“{d}”") >= 1


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


@pytest.mark.parametrize(
    ("size", "frames", "crop", "end"),
    [
        ((32, 32), 1, 1.0, "for the classifier `c`."),
        ((640, 480), 1, 0.875, "for the classifier `c`, which sees its central square, scaled to 32 × 32."),
        ((100, 100), 1, 1.0, "which sees all of it, scaled to 32 × 32."),
        ((100, 100), 1, 0.875, "which sees its central square, scaled to 32 × 32."),
        ((32, 32), 12, 1.0, "for the classifier `c`. Only the first of its 12 frames is used."),
    ],
)
def test_what_is_done_to_an_upload_is_said(size, frames, crop, end):
    config = ClassifierConfig("resnet9", ("a", "b"), 32, (0, 0, 0), (1, 1, 1), crop)
    note = words.input_note(size, frames, "c", config)
    assert note.startswith(f"{size[0]} × {size[1]} pixels")
    assert note.endswith(end)


def measured_report() -> dict:
    def cell(threat_model: str, defence: str, accuracy: float, images: int) -> dict:
        return {"threat_model": threat_model, "attack": "PGD", "epsilon": 8, "steps": 10, "defence": defence,
                "accuracy": accuracy, "images": images}  # fmt: skip

    cells = [cell("white-box", "none", 0.05, 400), cell("grey-box", "codec", 0.1, 400),
             cell("adaptive", "codec", 0.03, 20), cell("grey-box", "jpeg-75", 0.2, 400)]  # fmt: skip
    return {"c": {"weights": {"codec": "hash"}, "cells": cells}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "n 400 pictures, the same attack (grey-box) leaves 10% classified rightly through ComDefend"),
        ({}, "and 5% without it."),
        ({"threat_model": "adaptive"}, "On 20 pictures, the same attack (adaptive) leaves 3% classified"),
        ({"threat_model": "adaptive"}, "and 5% without it (of 400 pictures)."),
        ({"epsilon": 7}, ""),
        ({"steps": 11}, ""),
        ({"target": "dog"}, ""),
        ({"codec": "another"}, words.UNMEASURED),
        ({"planes": 6}, ""),
        ({"classifier": "another"}, ""),
    ],
)  # fmt: skip
def test_a_run_stands_beside_what_was_measured(change, sentence):
    run = result(attacked="dog")
    run["scenario"] |= {"classifier": "c", **change}
    said = words.measured(run, measured_report())
    assert sentence in said
    assert bool(sentence) is bool(said)


@pytest.mark.parametrize(
    ("run", "accuracy", "lucky"),
    [
        (result(), 0.1, True),
        (result(), 0.6, False),
        (result(attacked="dog"), 0.1, False),
        (result(adversarial="cat"), 0.1, False),  # there was nothing to defend against
        (result(threat_model="adaptive"), 0.1, True),
        (result(threat_model="adaptive", adversarial="cat"), 0.1, True),
        (result(threat_model="adaptive", attacked="dog"), 0.1, False),
    ],
)
def test_a_lucky_picture_does_not_pass_for_the_rule(run, accuracy, lucky):
    run["scenario"] |= {"classifier": "c"}
    reports = measured_report()
    for cell in reports["c"]["cells"][1:]:
        cell["accuracy"] = accuracy
    assert words.measured(run, reports).startswith("This picture is an exception: on" if lucky else "On ")


def test_both_attackers_in_one_sentence():
    sentence = words.comparison([result(), result(threat_model="adaptive", attacked="ship")])
    assert sentence == (
        "Through ComDefend, the picture of the attacker who knows only the classifier is read as “cat”, "
        "that of the one who knows both as “ship”. The bare classifier reads the original as “cat”."
    )


def test_the_numbers_in_words():
    run = {
        "metrics": {"linf_255": 4, "l2": 3.901, "psnr_adversarial_db": 40.02, "psnr_reconstruction_db": 30.24,
                    "ssim_reconstruction": 0.883, "code_bits_per_pixel": 12, "code_bits_flipped": 0.038,
                    "code_planes_original": 12, "code_planes_adversarial": 12},
        "sizes_bytes": {"packed_code": 75812, "png": 93900, "jpeg_75": 9810},
        "timings_ms": {"attack": 705.2, "compress": 1404, "reconstruct": 1100, "classify": 77},
        "device": "cpu",
    }  # fmt: skip
    said = words.numbers(run)
    assert "more than 4 of 255. L2 norm 3.90, PSNR 40.0 dB" in said["Perturbation"]
    assert "PSNR 30.2 dB and SSIM 0.883" in said["Reconstruction"]
    assert "12 bits per pixel" in said["Code"]
    assert "flipped 3.8%" in said["Code"]
    assert said["Size"] == (
        "The code takes 75.8 kB packed, the same picture 93.9 kB as PNG and 9.8 kB as JPEG (quality 75)."
    )
    assert "Attack 705 ms, compressing 1.4 s and rebuilding 1.1 s" in said["Time"]
    assert said["Code"].endswith("of them.")
    assert words.code(run, 1000) == {"Size": "12 bits per pixel", "Flipped": "38 of 1,000 bits, in colour"}
    run["metrics"] |= {"linf_255": 0, "psnr_adversarial_db": None}
    assert words.numbers(run)["Perturbation"] == "The attack left the picture as it was."


@pytest.mark.parametrize(("before", "after", "looks"), [(64, 8, "noisier"), (16, 64, "less noisy")])
def test_it_is_said_when_the_noise_of_a_picture_changes_what_is_kept(before, after, looks):
    metrics = {"code_planes_original": before, "code_planes_adversarial": after,
               "code_bits_per_pixel": 0.5, "code_bits_flipped": 0.25}  # fmt: skip
    assert words.code({"metrics": metrics}, 400) == {
        "Size": "0.5 bits per pixel",
        "Planes kept": f"{after}, and {before} of the original: this one looks {looks}",
        "Flipped": "100 of 400 bits, in colour",
    }
