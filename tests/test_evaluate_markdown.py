from typing import Any

import pytest

from model.evaluate.cells import failed_checks, percent, strengths
from model.evaluate.markdown import brief, details, headline, markdown, table
from model.evaluate.systems import PAIRS
from tests.reports import DEFENCES, GREY, WORST, autoattack, cell, made_up_report, rows

((PAIR, TWIN),) = PAIRS.items()


@pytest.fixture
def report() -> dict[str, Any]:
    return made_up_report()


def test_the_headline_says_the_threat_models_and_the_least_that_is_left(report):
    text = headline(report)
    assert text.startswith("ComDefend does not stop an attacker who knows of it (adaptive): at 8/255")
    assert "`comdefend-cifar10-purify`, leaves at most 11.3 (0.0 to 20.0) % of 500 pictures right" in text
    assert "own worst attack" in text
    assert (
        "(grey-box), `comdefend-cifar10-purify` leaves 61.0 (58.0 to 64.0) % under BIM at that strength"
        in text
    )
    assert "the best of the other defences, `jpeg-50`, 42.0 (39.0 to 45.0) %" in text


def test_the_headline_names_no_best_codec_where_nothing_is_left(report):
    for worst in report["worst"]:
        worst["accuracy"] = 0.0
    text = headline(report)
    assert "at 8/255 none of these codecs leaves one of 500 pictures right" in text
    assert "(95 % interval: up to 20.0 %)" in text


def test_the_table_says_of_which_attacks_the_worst_case_is(report):
    said = "The worst case is of FGSM, BIM, PGD, at 8/255 also of Square, transfer, DeepFool. "
    assert said in table(report)
    assert "greater ones. Without AutoAttack it is an upper bound." in table(report)
    one_is_not_done = report["defences"].keys() - {"jpeg-50"}
    autoattack(report, "AutoAttack (APGD-CE)", 8.0, one_is_not_done)
    assert said in table(report)  # what only some have met says nothing of the others
    assert "greater ones. Without AutoAttack it is an upper bound." in table(report)
    autoattack(report, "AutoAttack (APGD-CE)", 8.0)
    assert said.replace("DeepFool", "DeepFool, AutoAttack (APGD-CE)") in table(report)
    assert "greater ones. Without all of AutoAttack it is an upper bound." in table(report)
    autoattack(report, "AutoAttack (Square)", 8.0, one_is_not_done)
    assert said.replace("DeepFool", "DeepFool, AutoAttack (APGD-CE)") in table(report)
    assert "greater ones. Without all of AutoAttack it is an upper bound." in table(report)
    autoattack(report, "AutoAttack (Square)", 8.0)
    assert said.replace("DeepFool", "DeepFool, AutoAttack") in table(report)
    assert "greater ones. Without AutoAttack (at 2/255) it is an upper bound." in table(report)
    autoattack(report, "AutoAttack", 2.0)
    assert "upper bound" not in table(report)


def test_the_headline_claims_no_failure_where_there_is_none(report):
    for worst in report["worst"]:
        worst["accuracy"] = 0.5
    assert headline(report).startswith("Adaptive: at 8/255 the best codec here")


def test_the_headline_says_only_what_was_measured(report):
    assert "adaptive" not in headline(report | {"worst": []}).lower()
    assert headline(report | {"worst": []}).startswith("Against one who knows the classifier alone")
    assert "% under BIM at 8/255" in headline(report | {"worst": []})
    assert headline(report | {"cells": [], "worst": []}) == ""
    plain = [c for c in report["cells"] if "comdefend" not in c["defence"]]
    assert headline(report | {"worst": [], "cells": plain}) == ""


def test_the_table_has_one_line_a_defence(report):
    text = table(report)
    header, *lines = rows(text)
    assert header == [
        "defence", "clean", "FGSM, grey-box", "BIM, grey-box", "PGD, grey-box", "worst case, adaptive",
    ]  # fmt: skip
    assert [line[0] for line in lines] == [f"{about} (`{name}`)" for name, about in DEFENCES.items()]
    for line, name in zip(lines, DEFENCES, strict=True):
        grey, worst = 100 * GREY[name], 100 * WORST[name]
        assert line[1] == "90.0"
        assert line[2:5] == [f"{grey + 10:.1f} · {grey:.1f}"] * 3
        assert line[5] == f"{worst + 20:.1f} · {worst:.1f}"
    assert text.startswith(headline(report))
    assert "1,000 test pictures, 500 of them for the adaptive attacker" in text
    assert "strengths of 2 · 8 (in 1/255)" in text
    assert "Data: CIFAR-10" in text
    assert text.endswith("the figures of `none` are white-box.")


def test_the_table_leaves_out_what_was_not_measured(report):
    report["worst"] = []
    report["cells"] = [c for c in report["cells"] if c["attack"] != "FGSM"]
    report["cells"] = [c for c in report["cells"] if (c["defence"], c["epsilon"]) != ("jpeg-50", 2.0)]
    header, *lines = rows(table(report))
    assert header == ["defence", "clean", "BIM, grey-box", "PGD, grey-box"]
    assert lines[3][2] == "– · 42.0"
    assert "adaptive attacker" not in table(report)


def test_the_table_shows_grey_box_figures_only_under_grey_box(report):
    adaptive = [cell("jpeg-50", "BIM", 8.0, "adaptive", 0.987)]
    assert "98.7" not in table(report | {"cells": adaptive + report["cells"]})


def test_the_table_is_the_headline_and_the_figures_in_brief(report):
    assert table(report) == f"{headline(report)}\n\n{brief(report)}"
    nameless = report | {"cells": [], "worst": []}
    assert headline(nameless) == ""
    assert table(nameless) == brief(nameless)


def test_the_details_are_the_sections_of_the_report(report):
    """The page shows them by themselves."""
    text = details(report)
    assert text.startswith("## Clean pictures\n")
    assert markdown(report).endswith(f"\n\n{text}\n")
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [line for line in markdown(report).splitlines() if line.startswith("#")][1:]
    for above in (headline(report), "test pictures, 500 of them"):
        assert above not in text


def test_accuracy_in_percent():
    assert percent({"accuracy": 0.1234, "interval": [0.1, 0.15]}) == "12.3 (10.0 to 15.0)"
    assert percent(None) == ""


def test_strengths_rise(report):
    assert strengths(report | {"cells": report["cells"][::-1]}) == [2, 8]


def test_failed_checks_are_at_the_top_of_the_report(report):
    assert failed_checks(report) == []
    assert "checks of the evaluation failed" not in markdown(report)
    report["checks"]["jpeg-50"].append(
        {"name": "gradients do not vanish", "passed": False, "detail": "100.0% of the pictures have none"}
    )
    report["checks"]["jpeg-50"].append({"name": "nothing survives", "passed": None, "detail": "not measured"})
    line = "jpeg-50: gradients do not vanish: 100.0% of the pictures have none"
    assert failed_checks(report) == [line]
    text = markdown(report)
    assert "**Some checks of the evaluation failed**" in text
    assert text.index(f"- {line}") < text.index("| defence |")
    verdicts = {row[1]: row[2] for row in rows(text) if len(row) == 4 and row[0] == "`jpeg-50`"}
    assert verdicts == {
        "iterating beats a single step": "PASS",
        "gradients do not vanish": "**FAIL**",
        "nothing survives": "–",
    }


def test_what_was_not_run_is_listed_at_the_top(report):
    assert "Not run" not in markdown(report)
    text = markdown(report | {"not_run": ["adaptive jpeg-50: PGD, 10, 8", "dial comdefend-cifar10"]})
    line = "Not run, for lack of time (2 parts): adaptive jpeg-50: PGD, 10, 8; dial comdefend-cifar10."
    assert text.index(line) < text.index("| defence |")


def section(text: str, title: str) -> list[list[str]]:
    return rows(text.partition(f"## {title}")[2].partition("\n## ")[0])


def test_the_report_has_every_section_with_its_figures(report):
    text = markdown(report)
    assert text.startswith(f"# cifar10: accuracy under attack\n\n{headline(report)}")
    assert text.count(headline(report)) == 1

    header, clean = section(text, "Clean pictures")
    assert header == ["", *(f"`{name}`" for name in DEFENCES)]
    assert clean[:2] == ["clean (no attacker)", "90.0 (87.0 to 93.0)"]
    assert clean[2] == "90.0 (87.0 to 93.0); -2.0 (-3.5 to -0.5)"

    attacks = [row[0] for row in section(text, "8/255, pictures made against")[1:]]
    assert attacks == [
        "noise, 10 steps (no attacker)", "FGSM (grey-box)", "BIM, 10 steps (grey-box)",
        "PGD, 10 steps (grey-box)", "transfer, 10 steps (black-box)",
    ]  # fmt: skip

    worst = section(text, "The worst case, adaptive")
    assert worst[0] == ["defence", "2/255", "8/255"]
    assert worst[3] == ["`comdefend-cifar10-purify`", "31.3 (0.0 to 20.0)", "11.3 (0.0 to 20.0)"]

    direct = section(text, "Attacks on the defended system")[1:]
    assert [row[0] for row in direct] == [f"`{n}`" for n in list(DEFENCES)[1:]] + ["`jpeg-50`"] * 2
    assert direct[0][1:6] == ["8/255", "PGD", "10", "identity", "margin"]
    assert direct[3][2] == "PGD, cascade, 5 restarts"
    assert direct[3][-2:] == ["12.3 (9.3 to 15.3)", "500"]
    assert direct[4][2] == "Square"

    (unbounded,) = section(text, "Attacks without a strength")[1:]
    assert unbounded == [
        "`jpeg-50`", "DeepFool, 10 steps", "grey-box", "95%", "0.11", "3.20", "90%", "0.15", "4.00",
        "55.0 (52.0 to 58.0)", "100",
    ]  # fmt: skip

    dial = section(text, "Planes kept: `comdefend-cifar10-purify`")
    assert dial[0] == ["planes", "clean"]
    assert [row[0] for row in dial[1:]] == [str(planes) for planes in range(1, 13)]
    assert dial[6][1] == "50.0 (0.0 to 100.0)"


def test_the_report_says_how_it_was_measured(report):
    text = markdown(report)
    for wanted in ("`python app.py --evaluate`", "Seed 3, device: a CPU", "12.5 minutes", "torch 2.0",
                   "SHA-256 of `cifar10`: `abc123`"):  # fmt: skip
        assert wanted in text


def test_a_report_of_hardly_anything_can_be_read(report):
    few = report | {"cells": report["cells"][:1], "worst": [], "checks": {}, "dial": [], "not_run": ["all"]}
    assert "| no defence (`none`) | 90.0 |" in markdown(few)
    nothing = few | {"cells": []}
    assert "(1 parts): all." in markdown(nothing)


def test_a_cell_of_a_few_pictures_stands_for_no_row(report):
    """Attacks that some pictures got alone come in any order with those that all pictures got."""
    whole = table(report)
    report["cells"].insert(0, cell("none", "FGSM", 8.0, "white-box", 0.9, images=10))
    assert table(report) == whole


def test_twins_are_compared_in_points(report):
    assert "in points, paired" not in markdown(report)
    twin = {"defence": "a@b", "twin": "none@c", "epsilon": 8.0, "difference": 0.021,
            "difference_interval": [-0.005, 0.047]}  # fmt: skip
    report["twins"] = [twin, twin | {"epsilon": 16.0, "difference": -0.01}]
    wanted = "`a@b` less `none@c`, in points, paired: +2.1 (-0.5 to +4.7) at 8/255; -1.0 (-0.5 to +4.7) at 16"
    assert wanted in markdown(report)


def test_the_headline_has_the_pair_that_was_trained_against_its_attacker(report):
    assert "Trained together" not in headline(report)
    pair = {"epsilon": 8.0, "accuracy": 0.46, "interval": [0.43, 0.49], "images": 1000}
    report["worst"].append(pair | {"defence": PAIR})
    left = "against such an attacker, it leaves at most 46.0 (43.0 to 49.0) %. Against one who"
    assert left in headline(report)
    autoattack(report, "AutoAttack", 8.0)
    assert left.replace(" at most", "") in headline(report)
    report["worst"].append(pair | {"defence": TWIN, "accuracy": 0.45})
    assert "it leaves 46.0 (43.0 to 49.0) %; the classifier alone, trained likewise, 45.0" in headline(report)
