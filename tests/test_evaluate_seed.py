"""The paper's own comparison: its lines, its columns, and the published figures beside it."""

from pathlib import Path

import pytest

from app.cli import build_parser
from model import pretrained, zoo
from model.data import DataError
from model.entries import ClassifierEntry
from model.evaluate import seed
from model.evaluate.literature import COMDEFEND, HGD, beside, contradictions
from model.evaluate.markdown import brief
from model.evaluate.presets import PRESETS, SEED
from model.evaluate.wanted import reports_wanted
from tests.reports import cell, made_up_report, rows


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """An empty folder of weights, and all models offered."""
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    monkeypatch.setattr(ClassifierEntry, "pictures", property(kind))
    for name in ("CODECS", "CLASSIFIERS", "DENOISERS"):
        every = {entry.name: entry for entry in getattr(zoo, f"EVERY_{name[:-1]}")}
        monkeypatch.setattr(zoo, name, every)
    return tmp_path


def kind(entry: ClassifierEntry) -> str:
    return {"cifar10": "small", "fashion": "garments"}.get(entry.name.partition("-")[0], "photographs")


def wanted(*options: str) -> list[tuple[str, list[str], Path | None, str]]:
    args = build_parser().parse_args(["--evaluate", *options])
    return [(w.name, w.defences, w.data, w.data_name) for w in reports_wanted(args)]


def test_data_are_folders_by_name():
    assert seed.datasets("cifar10=a/b,imagenet=c=d") == {"cifar10": Path("a/b"), "imagenet": Path("c=d")}


@pytest.mark.parametrize(
    "text", ["", "folder", "cifar10=", "=folder", "mnist=folder", "cifar10=a,cifar10=b", "cifar10=a,b"]
)
def test_what_is_no_folder_by_name_is_an_error_that_says_what_is_wanted(text):
    with pytest.raises(
        DataError, match=r"--data NAME=FOLDER.* the names are cifar10, fashion-mnist, imagenet"
    ):
        seed.datasets(text)


def test_lines_appear_as_their_weights_do(weights):
    for name in ("comdefend-cifar10", "comdefend-cifar10-purify", "comdefend-photo"):
        (weights / name).mkdir()
    monkey = zoo.DENOISERS.pop("hgd")
    codecs = ["comdefend-cifar10", "comdefend-cifar10-purify"]
    assert seed.defences("cifar10", None) == ["none", "jpeg-75", "jpeg-30", *codecs]
    zoo.DENOISERS["hgd"] = monkey
    for name in (
        "cifar10-smoothed", "cifar10-adversarial", "cifar10-robust", "cifar10-on-reconstructions",
        "comdefend-cifar10-robust", "comdefend-cifar10-light", "cifar10-resnet50",
    ):  # fmt: skip
        (weights / name).mkdir()
    assert seed.defences("cifar10", Path("authors.safetensors")) == [
        "none",
        "none@cifar10-smoothed",
        "none@cifar10-adversarial",
        "hgd",
        "jpeg-75",
        "jpeg-30",
        *codecs,
        "comdefend-cifar10-light",
        "authors",
        "comdefend-cifar10-purify@cifar10-on-reconstructions",
        "comdefend-cifar10-robust@cifar10-robust",
    ]
    large = seed.defences("cifar10-resnet50", None)
    assert large == ["none", "hgd", "jpeg-75", "jpeg-30", *codecs, "comdefend-cifar10-light"]
    (weights / "cifar10-resnet50-on-reconstructions").mkdir()
    tuned = "comdefend-cifar10-purify@cifar10-resnet50-on-reconstructions"
    assert seed.defences("cifar10-resnet50", None) == [*large, tuned]
    assert tuned not in seed.defences("cifar10", None)
    assert seed.defences("imagenet", None) == [
        "none", "jpeg-75", "jpeg-30", "comdefend-photo", "comdefend-cifar10",
    ]  # fmt: skip
    for name in (
        "comdefend-fashion-mnist",
        "comdefend-fashion-mnist-light",
        "fashion-mnist-on-reconstructions",
    ):
        (weights / name).mkdir()
    assert seed.defences("fashion-mnist", None) == [
        "none", "jpeg-75", "jpeg-30", "comdefend-fashion-mnist", "comdefend-fashion-mnist-light",
        "comdefend-fashion-mnist-light@fashion-mnist-on-reconstructions",
    ]  # fmt: skip


def test_each_classifier_that_there_is_has_a_report(weights):
    data = ("--preset", "seed", "--data", "cifar10=a/cifar,imagenet=b")
    found = wanted(*data)
    assert [(name, folder, about) for name, _, folder, about in found] == [
        ("seed-cifar10", Path("a/cifar"), "cifar"),
        ("seed-cifar10-resnet50", Path("a/cifar"), "cifar"),
        ("seed-imagenet", Path("b"), "b"),
    ]
    assert found[0][1] == seed.defences("cifar10", None)
    zoo.CLASSIFIERS.pop("cifar10-resnet50")
    assert [name for name, *_ in wanted(*data)] == ["seed-cifar10", "seed-imagenet"]
    one = wanted(
        *data, "--classifier", "imagenet", "--defences", "none", "--data-name", "some", "--report", "x"
    )
    assert one == [("seed-imagenet", ["none"], Path("b"), "some")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "wants --data NAME=FOLDER"),
        (("--data", "folder"), "got 'folder'"),
        (("--data", "cifar10=a", "--classifier", "imagenet"), "no classifier imagenet"),
        (("--data", "cifar10=a,imagenet=b", "--report", "x"), "--classifier chooses one of cifar10, "),
        (("--data", "cifar10=a,imagenet=b", "--publish", "x"), "--classifier chooses one of cifar10, "),
    ],
)
def test_what_several_reports_cannot_have_is_said(weights, options, said):
    with pytest.raises(DataError, match=said):
        wanted("--preset", "seed", *options)


def test_all_other_presets_have_one_report(weights):
    (weights / "comdefend-cifar10").mkdir()
    ((name, defences, folder, about),) = wanted()
    assert (name, folder, about) == ("cifar10", None, "CIFAR-10")
    assert "median-3" in defences
    assert wanted("--classifier", "imagenet", "--data", "a/b", "--defences", "none") == [
        ("imagenet", ["none"], Path("a/b"), "b")
    ]


def test_deepfool_and_cw_see_all_pictures_and_count_inside_both_balls():
    preset = PRESETS[SEED]
    assert preset.images >= 500
    assert preset.adaptive_images >= 100
    assert preset.costly_images >= 20
    assert preset.epsilons == (8.0, 16.0)
    assert preset.unbounded == "all"


@pytest.fixture
def report():
    """Of the paper's comparison: HGD does best under FGSM, and all others fall far short of the paper."""
    found = made_up_report() | {"preset": SEED}
    found["defences"] = found["defences"] | {"hgd": "HGD"}
    found["cells"] += [
        cell(name, attack, 8.0, "white-box" if name == "none" else "grey-box", left)
        for name in found["defences"]
        for attack, left in (("DeepFool", 0.25), ("C&W", 0.35))
    ]
    found["cells"] += [cell("hgd", "FGSM", 8.0, "grey-box", 0.75), cell("hgd", "BIM", 8.0, "grey-box", 0.1)]
    return found


def test_its_columns_are_the_papers(report):
    header, *lines = rows(brief(report))[:6]
    assert header[:6] == [
        "defence", "clean", "FGSM, grey-box", "BIM, grey-box", "DeepFool, grey-box", "C&W, grey-box",
    ]  # fmt: skip
    assert lines[0][5] == "– · 35.0"
    plain = made_up_report()
    assert "PGD, grey-box" in rows(brief(plain))[0]
    assert "DeepFool, grey-box" not in rows(brief(plain))[0]


def test_published_figures_stand_beside_it_marked_as_such(report):
    text = beside(report)
    assert text in brief(report)
    assert "**published**" in text
    assert "Inception-ResNet-v2" in text
    assert rows(text)[1:] == [
        [line.defence, str(line.clean), *(f"{a} · {b}" for a, b in line.attacks.values())]
        for line in (COMDEFEND, HGD)
    ]
    assert rows(text)[1] == ["ComDefend", "77", "62 · 61", "51 · 42", "60 · 60", "61 · 63"]


def test_they_stand_beside_photographs_and_beside_nothing_else():
    plain = made_up_report()
    assert beside(plain) == ""
    assert beside(plain | {"classifier": "resnet20"}) == ""
    assert "**published**" in beside(plain | {"classifier": "imagenet"})


def test_what_contradicts_the_paper_is_said(report):
    text = contradictions(report)
    assert "The paper reports 51 % behind ComDefend under I-FGSM at 8/255; here it is 30.0 % with" in text
    assert "here HGD leaves more under FGSM at 8/255" in text
    assert "here such a one leaves at most 11.3 % at 8/255 behind the best codec" in text


def test_what_does_not_contradict_it_is_not_said(report):
    report["cells"] = [c for c in report["cells"] if c["defence"] not in ("hgd", "comdefend-cifar10")]
    report["worst"] = []
    assert contradictions(report) == ""
    report["cells"].append(cell("comdefend-cifar10", "BIM", 8.0, "grey-box", 0.45))
    assert contradictions(report) == ""
    report["cells"].append(cell("authors", "BIM", 8.0, "grey-box", 0.4))
    assert contradictions(report) == (
        "The paper reports 51 % behind ComDefend under I-FGSM at 8/255; here it is 40.0 % with the authors' "
        "released weights."
    )
