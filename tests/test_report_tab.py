"""The tab of the reports, without a browser: what is taken from report.json, and how it is named."""

import json
import re

import pytest

from app import report_views, tab_words
from app.page import text
from app.places import PUBLISHED
from app.reports import COLOURS, bound_of, for_visitors, lines, of_classifiers, remains, short_names, worst_of
from model.evaluate import published
from model.zoo import Pair
from tests.reports import GREY, WORST, autoattack, cell, made_up_report

LIGHT, DARK = "#ffffff", "#27272a"
"""The grounds on which the theme's charts stand."""
REPORTS = published(PUBLISHED.reports)
NO_FOLDER = PUBLISHED.reports / "nothing-here"


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_the_lines_can_be_told_from_the_ground(ground):
    assert min(contrast(colour, ground) for colour in COLOURS) >= 3
    assert len(set(COLOURS)) == len(COLOURS)


def test_the_lines_are_the_most_telling_systems():
    found = {(line.defence, line.attacker): line.cells for line in lines(made_up_report())}
    purify = "comdefend-cifar10-purify"
    assert list(found) == [
        ("none", "white-box"),
        ("comdefend-cifar10", "grey-box"),
        (purify, "grey-box"),
        ("jpeg-50", "grey-box"),
        (purify, "adaptive"),
    ]
    grey = found[purify, "grey-box"]
    assert {strength: c["accuracy"] for strength, c in grey.items()} == pytest.approx(
        {0: 0.9, 2: GREY[purify] + 0.1, 8: GREY[purify]}
    )
    worst = found[purify, "adaptive"]
    assert worst[8.0]["accuracy"] == WORST[purify]
    assert worst[8.0]["images"] == 500


def test_a_system_that_stands_better_when_all_is_known_gets_a_line():
    report = made_up_report()
    pair = "comdefend-cifar10-robust@cifar10-robust"
    report["defences"] = report["defences"] | {pair: "ComDefend, trained with its classifier"}
    report["codecs"] = [*report["codecs"], pair]
    report["cells"].append(cell(pair, "clean", None, "no attacker", 0.8))
    for epsilon in (2.0, 8.0):
        report["worst"].append(
            {"defence": pair, "epsilon": epsilon, "accuracy": 0.4, "interval": [0.3, 0.5], "images": 500}
        )
    assert (pair, "adaptive") in {(line.defence, line.attacker) for line in lines(report)}
    assert (pair, "grey-box") not in {(line.defence, line.attacker) for line in lines(report)}


def test_the_twin_of_a_pair_that_stands_is_drawn_beside_it():
    report = REPORTS["cifar10-robust"]
    twin, pair = "none@cifar10-adversarial", "comdefend-cifar10-robust@cifar10-robust"
    drawn = [(line.defence, line.attacker) for line in lines(report)]
    assert drawn == [("none", "white-box"), (pair, "adaptive"), (twin, "adaptive")]
    assert drawn[1:] == [(line.defence, line.attacker) for line in lines(REPORTS["seed-cifar10"])][-2:]
    assert max(len(lines(each)) for each in REPORTS.values()) <= len(COLOURS)


def test_without_an_adaptive_attacker_there_is_no_line_of_one():
    report = made_up_report() | {"worst": []}
    assert {line.attacker for line in lines(report)} == {"white-box", "grey-box"}


def test_the_chart_has_the_values_of_the_report_and_the_legend_says_them():
    report = made_up_report()
    drawn = lines(report)
    chart = report_views.chart(report, drawn)
    value = chart["value"]
    assert len(value) == sum(len(line.cells) for line in drawn) == 15
    label = tab_words.line("ComDefend, trained to purify", text.LINE_ATTACKERS["adaptive"])
    (row,) = value[(value.system == label) & (value.strength == 8)].to_dict("records")
    assert row["accuracy"] == 11.3
    assert row["interval"] == "0.0 to 20.0"
    assert row["pictures"] == "500"
    assert list(chart["color_map"]) == list(dict.fromkeys(value.system))
    assert chart["x_lim"] == [0, 8]
    said = report_views.legend(report, drawn)
    assert said.count("<li>") == len(drawn)
    assert f"{label}: 90.0 %, 31.3 % at 2/255, 11.3 % at 8/255" in said
    for colour in chart["color_map"].values():
        assert said.count(f'style="background:{colour}"') == 1


@pytest.mark.parametrize("name", REPORTS)
def test_visitors_see_no_paths_of_ours(name):
    view = report_views.report(REPORTS[name], PUBLISHED.reports / name)
    rows = json.dumps(view.chart["value"].to_dict("records"))
    shown = "\n".join([view.headline, view.legend, view.table, view.drawings, view.details, rows])
    assert not re.findall(
        r"(?:runs|weights|app|model|report)/[\w-]+|[\w-]+\.(?:json|py|safetensors)\b", shown
    )
    assert REPORTS[name]["command"] not in view.details
    codec = short_names(REPORTS[name]).get(REPORTS[name]["codecs"][-1], REPORTS[name]["codecs"][-1])
    assert codec in view.table
    assert len(view.chart["value"]) >= 4
    ours = view.table.partition("**published**")[0]
    assert ours.count("\n|") == 2 + len(REPORTS[name]["defences"])


def test_a_codec_from_a_folder_keeps_the_last_part_of_its_name():
    report = made_up_report()
    long, same = "runs/some/thing", ("runs/a/x", "runs/b/x")
    report["defences"] = {**report["defences"], long: "ComDefend, thing", same[0]: "1", same[1]: "2"}
    report["codecs"] = [*report["codecs"], long]
    report["cells"].append(cell(long, "clean", None, "no attacker", 0.5))
    report["not_run"] = [f"{long}: FGSM"]
    shown = for_visitors(report)
    assert list(shown["defences"])[-3:] == ["thing", "runs-a-x", "runs-b-x"]
    assert shown["codecs"][-1] == shown["cells"][-1]["defence"] == "thing"
    assert shown["not_run"] == ["thing: FGSM"]
    assert "command" in report
    assert not {"command", "strikes"} & set(shown)
    assert short_names(report) == {long: "thing", same[0]: "runs-a-x", same[1]: "runs-b-x"}


def test_a_picture_with_names_of_folders_stays_away():
    sheets = {name: (PUBLISHED.reports / name / "examples.png").is_file() for name in REPORTS}
    for name, there in sheets.items():
        view = report_views.report(REPORTS[name], PUBLISHED.reports / name)
        assert view.sheet["visible"] is (there and not short_names(REPORTS[name]))
    assert any(sheets.values())


def test_failed_checks_are_said_first():
    report = made_up_report()
    report["checks"] = {"jpeg-50": [{"name": "noise hurts less", "passed": False, "detail": "it does not"}]}
    assert "- jpeg-50: noise hurts less: it does not" in report_views.report(report, NO_FOLDER).headline


def test_each_report_has_a_name_of_its_own():
    names = [tab_words.choice(name, report) for name, report in REPORTS.items()]
    assert len(set(names)) == len(names)
    assert "cifar10: ten classes, 32 × 32 pixels (16 systems, 1,000 pictures)" in names
    seed = "seed-cifar10: the paper's comparison, ten classes, 32 × 32 pixels (11 systems, 500 pictures)"
    assert seed in names


def test_a_classifier_has_the_report_of_its_name_before_any_other():
    named, other, only = ({"classifier": name} for name in ("cifar10", "cifar10", "fashion-mnist"))
    every = {"a-first": other, "cifar10": named, "seed-cifar10": other, "seed-fashion-mnist": only}
    found = of_classifiers(every)
    assert found["cifar10"] is named
    assert found["fashion-mnist"] is only
    assert len(found) == 2


def test_what_remains_is_what_the_report_says():
    left = remains({"cifar10": made_up_report()})
    assert left is not None
    assert tab_words.remains(left) == [
        ("No attack", 0.9),
        ("Knows the classifier only, 8/255", 0.61),
        ("Knows both, 8/255, of 500", 0.113),
    ]
    assert "behind comdefend-cifar10-purify (ComDefend, trained to purify), of 1,000" in tab_words.remains_of(
        left
    )
    assert remains({}) is None
    assert remains({"cifar10": made_up_report() | {"cells": []}}) is None


PAIR = Pair("codec", "trained-with-it", "alone")


def robust_report(images: int, *attacked: str) -> dict:
    """Of a pair and its twin, with AutoAttack on these systems, and what it leaves of the pair."""
    report = {
        "defences": {PAIR.system: "a pair", "none@alone": "its twin"},
        "cells": [],
        "worst": [{"defence": PAIR.system, "epsilon": 8.0, "accuracy": 0.44, "images": images}],
    }
    autoattack(report, "AutoAttack (Square)", 8.0, attacked)
    return report


def test_the_worst_case_of_the_pair_is_that_of_autoattack_on_the_most_pictures():
    every = (PAIR.system, "none@alone")
    reports = [robust_report(500, *every), robust_report(300, *every), robust_report(900, PAIR.system)]
    found = worst_of(reports, PAIR)
    assert found is not None
    assert found["images"] == 500
    assert worst_of(reports[2:], PAIR) is None  # not of all systems
    assert worst_of([made_up_report()], PAIR) is None


def test_the_bound_of_the_pair_is_that_of_the_most_pictures_with_or_without_autoattack():
    every = (PAIR.system, "none@alone")
    found = bound_of([robust_report(100, *every), robust_report(500), robust_report(300)], PAIR.system)
    assert found is not None
    assert found["images"] == 500
    assert bound_of([made_up_report()], PAIR.system) is None


def test_what_the_pair_withstands_is_said_with_its_attacker():
    record = {
        "recipe": {"settings": {"epsilon": 8.0}},
        "test": {"robust_accuracy": 0.4685},
        "test_images": 2000,
    }
    said = tab_words.withstands("?classifier=pair", record, None)
    assert said.startswith("On CIFAR-10, one codec here was trained to")
    assert "[codec and classifier trained together](?classifier=pair)" in said
    assert "46.9% of 2,000 attacked pictures (PGD, 20 steps, 8/255; stronger" in said
    bound = {"accuracy": 0.436, "images": 500, "epsilon": 8.0}
    said = tab_words.withstands("?classifier=pair", record, None, bound)
    assert "right on at most 43.6% of 500 attacked pictures (each under its worst" in said
    assert said.endswith("not all of AutoAttack among them yet, 8/255).")
    twin = {"accuracy": 0.462, "images": 500, "epsilon": 8.0}
    said = tab_words.withstands("?classifier=pair", record, None, bound, twin)
    assert said.endswith("yet, 8/255); the classifier alone, trained likewise, on at most 46.2%.")
    said = tab_words.withstands("?classifier=pair", record, None, bound, twin | {"images": 100})
    assert "alone" not in said
    said = tab_words.withstands("?classifier=pair", record, None, bound | {"accuracy": 0.48})
    assert "46.9% of 2,000 attacked pictures (PGD" in said
    worst = {"accuracy": 0.442, "images": 500, "epsilon": 8.0}
    said = tab_words.withstands("?classifier=pair", record, worst, bound, twin)
    assert said.endswith("8/255); the classifier alone, trained likewise, on 46.2%.")
    assert (
        "44.2% of 500 attacked pictures (each under its worst attack, AutoAttack among them, 8/255)" in said
    )
