import pytest

from model.evaluate.summary import summary
from tests.reports import autoattack, cell, made_up_report, rows

HEADER = ["report", "defence", "clean", "FGSM 8/255, grey-box", "BIM 8/255, grey-box",
          "worst case 8/255, adaptive"]  # fmt: skip


@pytest.fixture
def report():
    return made_up_report()


def test_a_few_defences_of_a_report_at_one_strength(report):
    header, *lines = rows(summary({"cifar10": report}))
    assert header == HEADER
    assert lines == [
        ["`cifar10`", "no defence (`none`)", "90.0", "0.0", "0.0", "0.0"],
        [
            "`cifar10`",
            "ComDefend, trained to purify (`comdefend-cifar10-purify`)",
            "90.0",
            "61.0",
            "61.0",
            "11.3",
        ],
        ["`cifar10`", "ComDefend, the paper's loss (`comdefend-cifar10`)", "90.0", "30.0", "30.0", "1.0"],
        ["`cifar10`", "JPEG, quality 50, 4:2:0 (`jpeg-50`)", "90.0", "42.0", "42.0", "2.0"],
    ]


def test_it_says_of_how_many_pictures_of_what(report):
    text = summary(
        {"cifar10": report, "resnet20": report | {"classifier": "resnet20", "worst": [], "data": "others"}}
    )
    assert "`cifar10`: 1,000 test pictures, 500 of them for the adaptive attacker (CIFAR-10; " in text
    assert "`resnet20`: 1,000 test pictures (others)." in text
    assert {row[-1] for row in rows(text) if row[0] == "`resnet20`"} == {"–"}


def test_the_best_jpeg_is_the_one_that_leaves_most_under_bim(report):
    report["defences"] = {**report["defences"], "jpeg-30": "JPEG, quality 30", "jpeg-20": "JPEG, quality 20"}
    report["cells"] += [
        cell("jpeg-30", "BIM", 8.0, "grey-box", 0.5),
        cell("jpeg-20", "BIM", 8.0, "adaptive", 0.9),
        cell("jpeg-20", "BIM", 2.0, "grey-box", 0.9),
    ]
    jpegs = [row for row in rows(summary({"cifar10": report})) if "JPEG" in row[1]]
    assert jpegs == [["`cifar10`", "JPEG, quality 30 (`jpeg-30`)", "–", "–", "50.0", "–"]]


def test_reports_have_an_order_and_others_no_lines(report):
    text = summary(
        {"imagenet": report | {"classifier": "imagenet"}, "cifar10": report, "resnet20-ingredients": report}
    )
    names = [row[0] for row in rows(text)[1:]]
    assert list(dict.fromkeys(names)) == ["`cifar10`", "`imagenet`"]


def test_a_defence_has_one_line_where_it_is_both(report):
    """The codec of the paper's loss may be what the lab takes for photographs."""
    (line,) = (row for row in rows(summary({"imagenet": report})) if "the paper's loss" in row[1])
    assert line[:2] == ["`imagenet`", "ComDefend, the paper's loss (`comdefend-cifar10`)"]


@pytest.mark.parametrize("images", [20, 500])
def test_another_number_of_pictures_is_said(report, images):
    for worst in report["worst"]:
        if worst["defence"] == "comdefend-cifar10":
            worst["images"] = images
    (line,) = (row for row in rows(summary({"cifar10": report})) if "the paper's loss" in row[1])
    assert line[-1] == ("1.0" if images == 500 else "1.0 (of 20)")


def test_garments_have_lines_of_their_own_codecs(report):
    names = ("none", "comdefend-fashion-mnist", "comdefend-fashion-mnist-light", "comdefend-cifar10")
    report |= {"classifier": "fashion-mnist", "defences": {name: name for name in names}}
    lines = rows(summary({"seed-fashion-mnist": report}))[1:]
    assert [line[1].partition(" ")[0] for line in lines] == [
        "none", "comdefend-fashion-mnist-light", "comdefend-fashion-mnist",
    ]  # fmt: skip


def test_a_worst_case_without_autoattack_is_called_an_upper_bound(report):
    said = "adaptive attacker (CIFAR-10; without AutoAttack the worst case is an upper bound)."
    assert said in summary({"cifar10": report})
    autoattack(report, "AutoAttack (APGD-CE)", 8.0)
    assert said.replace("without", "without all of") in summary({"cifar10": report})
    autoattack(report, "AutoAttack", 8.0)
    assert "adaptive attacker (CIFAR-10)." in summary({"cifar10": report})


def test_what_else_was_trained_comes_last(report):
    more = ("hgd", "none@cifar10-adversarial", "comdefend-cifar10-robust@cifar10-robust")
    named = ["none", "comdefend-cifar10-purify", "comdefend-cifar10", "jpeg-50"]
    report["defences"] = {**report["defences"], **dict.fromkeys(more, "another"), "noise-8": "noise"}
    lines = rows(summary({"cifar10": report}))[1:]
    assert [row[1].rpartition("`")[0].rpartition("`")[2] for row in lines] == [*named, *more]


def test_of_one_classifier_each_defence_has_one_line(report):
    """That of the first report, which has the stronger attacks."""
    pair = "comdefend-cifar10-robust@cifar10-robust"
    defences = {**report["defences"], pair: "the pair"}
    second = {**report, "defences": defences, "preset": "seed"}
    lines = [row[:2] for row in rows(summary({"seed-cifar10": second, "cifar10": report}))[1:]]
    assert [name for name, _ in lines] == ["`cifar10`"] * 4 + ["`seed-cifar10`"]
    assert lines[-1][1] == f"the pair (`{pair}`)"
    assert "`seed-cifar10` (classifier `cifar10`): 1,000" in summary({"seed-cifar10": second})
    text = summary({"seed-cifar10": report, "cifar10": report})
    assert "seed-cifar10" not in text  # of whose lines none is new
    lines = rows(summary({"seed-cifar10": second, "cifar10": report | {"classifier": "resnet20"}}))[1:]
    assert len(lines) == 9
