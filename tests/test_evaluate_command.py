import json
import shutil
import sys
from dataclasses import replace

import pytest
from PIL import Image

from app import places
from app.cli import build_parser
from model import defences, files, pretrained
from model.data import DataError
from model.evaluate import Places, command, measure, published
from model.evaluate.markdown import markdown, table
from model.evaluate.pictures import AGREEMENT
from model.evaluate.presets import PRESETS
from model.evaluate.publish import SUMMARY, markers
from model.evaluate.summary import summary
from model.evaluate.systems import default_names
from model.networks import ARCHITECTURES
from tests.conftest import colour_net, script

SMALL = ("--defences", "none,comdefend-cifar10", "--attacks", "BIM", "--epsilons", "2,8")


@pytest.fixture
def place(monkeypatch, tmp_path, systems, coloured):
    """A folder to work in: the classifier of colours, the codec made by hand, and pages with markers."""
    monkeypatch.setitem(ARCHITECTURES, "colours", colour_net)
    systems[0].classifier.save_pretrained(tmp_path / "weights" / "cifar10")
    systems[1].defence.codec.save_pretrained(tmp_path / "weights" / "comdefend-cifar10")
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(files, "WORKPLACE", tmp_path)
    published_in = Places(tmp_path / "published", tmp_path / "results.md", tmp_path / "README.md")
    monkeypatch.setattr(places, "PUBLISHED", published_in)
    published_in.results.write_text("\n".join(markers("cifar10")))
    published_in.summary.write_text("\n".join(SUMMARY))
    monkeypatch.setattr(command, "load_test_pictures", lambda root, config: coloured)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Nothing is drawn, for that takes longest; which folders it would have been."""
    folders = []
    monkeypatch.setattr(command, "draw", lambda folder, *_: folders.append(folder))
    return folders


def evaluate(*options: str) -> int:
    return script().main(["--evaluate", "--device", "cpu", *options])


@pytest.mark.slow
def test_the_command_publishes_what_it_measured(place, capsys):
    old = place / "published" / "cifar10" / "old.svg"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    assert (
        evaluate("--data-name", "colours", "--images", "5", *SMALL, "--attacks", "BIM,PGD", "--publish") == 0
    )
    folder = place / "runs" / "report-cifar10"
    wanted = {
        "report.json",
        "report.md",
        "accuracy.svg",
        "bits.svg",
        "dial.svg",
        "examples.png",
        "journal.jsonl",
    }
    assert {path.name for path in folder.iterdir()} == wanted
    assert {path.name for path in (place / "published" / "cifar10").iterdir()} == wanted
    for name in wanted:
        assert (place / "published" / "cifar10" / name).read_bytes() == (folder / name).read_bytes()

    report = json.loads((folder / "report.json").read_text())
    assert published(place / "published") == {"cifar10": report}
    assert report["command"].startswith("python app.py --evaluate --device cpu --data-name colours")
    assert report["data"] == "colours"
    assert report["images"] == 5
    assert report["preset"] == "quick"
    assert report["not_run"] == []
    assert {c["epsilon"] for c in report["cells"]} == {None, 2, 8, 64}  # 64 is for the checks
    assert {c["attack"] for c in report["cells"]} == {"clean", "noise", "BIM", "PGD"}
    assert set(report["weights"]) == {"cifar10", "comdefend-cifar10"}
    for name, digest in report["weights"].items():
        assert digest == files.file_hash(place / "weights" / name / "model.safetensors")
    assert {"python", "torch", "torchattacks"} <= set(report["versions"])
    assert any(attack["name"] == "BIM" for attack in report["strikes"])

    text = table(report)
    begin, end = markers("cifar10")
    assert (place / "results.md").read_text() == f"{begin}\n{text}\n{end}"
    begin, end = SUMMARY
    assert (place / "README.md").read_text() == f"{begin}\n{summary({'cifar10': report})}\n{end}"
    assert text in capsys.readouterr().out
    assert (folder / "report.md").read_text() == markdown(report)


def test_a_report_may_be_published_under_another_name(place, drawn):
    begin, end = markers("cifar10-full")
    (place / "results.md").write_text(f"before\n{begin}\n{end}\nafter")
    assert evaluate(*SMALL, "--publish", "cifar10-full") == 0
    assert list(published(place / "published")) == ["cifar10-full"]
    assert table(published(place / "published")["cifar10-full"]) in (place / "results.md").read_text()


def test_what_cannot_be_published_is_said_and_kept(place, drawn, capsys):
    assert evaluate(*SMALL, "--publish", "another") == 1
    assert "results.md lacks the markers" in capsys.readouterr().err
    assert not (place / "published").exists()
    assert (place / "runs" / "report-cifar10" / "report.json").exists()


def test_a_trial_publishes_nothing(place, drawn):
    pages = [place / "README.md", place / "results.md"]
    before = [page.read_text() for page in pages]
    assert evaluate(*SMALL, "--report", str(place / "trial")) == 0
    assert drawn == [place / "trial"]
    assert (place / "trial" / "report.md").exists()
    assert not (place / "published").exists()
    assert [page.read_text() for page in pages] == before


def test_a_report_in_its_published_place_can_be_published(place, drawn):
    folder = place / "published" / "cifar10"
    assert evaluate(*SMALL, "--report", str(folder), "--publish") == 0
    assert (folder / "report.json").exists()


def test_pictures_without_labels_are_measured_by_agreement(place, drawn):
    folder = place / "photographs"
    folder.mkdir()
    for number in range(6):
        Image.effect_noise((20, 20), 90).convert("RGB").save(folder / f"{number}.png")
    assert evaluate("--data", str(folder), *SMALL) == 0
    report = json.loads((place / "runs" / "report-cifar10" / "report.json").read_text())
    assert report["data"] == f"photographs, {AGREEMENT}"
    clean = {c["defence"]: c["accuracy"] for c in report["cells"] if c["attack"] == "clean"}
    assert clean["none"] == 1


def without_time(report: dict) -> dict:
    cells = [{name: value for name, value in c.items() if name != "seconds"} for c in report["cells"]]
    return report | {"cells": cells, "minutes": None, "command": None}


@pytest.mark.slow
def test_a_budget_leaves_parts_undone_and_the_same_command_goes_on(place, drawn, capsys):
    folder = place / "runs" / "report-cifar10"
    assert evaluate(*SMALL, "--max-minutes", "0.00001") == 0
    assert "parts are left to do: the same command goes on" in capsys.readouterr().out
    partly = json.loads((folder / "report.json").read_text())
    assert "clean none" in partly["not_run"]
    assert "adaptive comdefend-cifar10: BIM, 10, 8" in partly["not_run"]
    assert partly["cells"] == []
    assert "Not run, for lack of time" in (folder / "report.md").read_text()
    assert evaluate(*SMALL) == 0
    assert "parts are left" not in capsys.readouterr().out
    whole = json.loads((folder / "report.json").read_text())
    assert whole["not_run"] == []
    assert evaluate(*SMALL, "--report", str(place / "unbroken")) == 0
    unbroken = json.loads((place / "unbroken" / "report.json").read_text())
    assert without_time(whole) == without_time(unbroken)


@pytest.mark.parametrize("other", [("--seed", "1"), ("--images", "5")])
def test_another_evaluation_does_not_go_on_in_its_folder(place, drawn, capsys, other):
    assert evaluate(*SMALL, "--max-minutes", "0.00001") == 0
    assert evaluate(*SMALL, *other, "--max-minutes", "0.00001") == 1
    assert "holds another evaluation" in capsys.readouterr().err
    assert evaluate(*SMALL, *other, "--report", str(place / "other"), "--max-minutes", "0.00001") == 0


def jobs_done(place) -> list[dict]:
    lines = (place / "runs" / "report-cifar10" / "journal.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "job" in line]


def test_one_more_strength_or_attack_is_measured_alone(place, drawn):
    """And what was asked for before is in the report no more when it is asked for no more."""
    report = place / "runs" / "report-cifar10" / "report.json"
    assert evaluate(*SMALL, "--epsilons", "8") == 0
    before = len(jobs_done(place))
    assert evaluate(*SMALL, "--epsilons", "8,2") == 0
    added = [job["job"] for job in jobs_done(place)[before:]]
    assert len(added) > 1
    assert all(key.endswith(" 2") for key in added)
    whole = len(jobs_done(place))
    assert evaluate(*SMALL, "--epsilons", "2") == 0
    assert len(jobs_done(place)) == whole
    assert {cell["epsilon"] for cell in json.loads(report.read_text())["cells"]} == {None, 2}


def test_of_other_weights_of_the_same_name_all_is_measured_anew_and_of_nothing_else(place, drawn, systems):
    name = "comdefend-cifar10"
    assert evaluate(*SMALL) == 0
    before = jobs_done(place)
    codec = pretrained.find_folder(name)
    shutil.rmtree(codec)
    other = type(systems[1].defence.codec)(systems[1].defence.codec.config)
    other.save_pretrained(codec)
    assert evaluate(*SMALL) == 0
    added = jobs_done(place)[len(before) :]
    assert {record["system"] for job in added for record in job["records"]} == {name}
    assert {job["job"] for job in added} == {
        job["job"] for job in before if name in (record["system"] for record in job["records"])
    }
    report = json.loads((place / "runs" / "report-cifar10" / "report.json").read_text())
    assert report["not_run"] == []
    assert report["weights"][name] == files.file_hash(codec / "model.safetensors")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(place, drawn, monkeypatch, capsys):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "craft", interrupt)
    assert evaluate(*SMALL) == 130
    assert "the same command goes on from it" in capsys.readouterr().err
    lines = (place / "runs" / "report-cifar10" / "journal.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["job"] == "clean none"


def test_the_options_change_the_preset():
    parser = build_parser()

    def chosen(*options: str):
        return command.chosen_preset(parser.parse_args(["--evaluate", *options]))

    assert chosen() == PRESETS["quick"]
    assert chosen("--preset", "full") == PRESETS["full"]
    found = chosen("--preset", "standard", "--images", "50", "--epsilons", "4,8", "--attacks", "PGD,Square")
    assert found == replace(
        PRESETS["standard"], images=50, adaptive_images=50, epsilons=(4, 8), attacks=("PGD", "Square")
    )
    assert chosen("--adaptive-images", "0").adaptive_images == 0
    assert chosen("--images", "50", "--adaptive-images", "99").adaptive_images == 50
    assert chosen("--few-images", "7").few_images == 7
    assert chosen("--epsilons", "8,2,8").epsilons == (8.0, 2.0)  # each is measured once


@pytest.mark.parametrize(
    "options",
    [
        ["--attacks", "magic"], ["--epsilons", "-1"], ["--epsilons", "0.5"], ["--epsilons", "65"],
        ["--epsilons", ""], ["--epsilons", "nan"], ["--images", "0"], ["--adaptive-images", "-1"],
        ["--preset", "huge"],
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    with pytest.raises(SystemExit) as caught:
        evaluate(*options)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--defences", "none,magic"], "unknown defence 'magic'"),
        (["--classifier", "magic"], "unknown classifier 'magic'"),
        (["--defences", "authors"], "--authors FILE.safetensors"),
        (["--with", "nothing.py"], "nothing.py is no Python file"),
        (["--defences", "none@imagenet2"], "unknown classifier 'imagenet2'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(place, capsys, options, message):
    assert evaluate(*options) == 1
    assert message in capsys.readouterr().err


def test_two_evaluations_do_not_write_in_one_folder(place, drawn, capsys):
    folder = place / "runs" / "report-cifar10"
    with files.held(folder):
        assert evaluate(*SMALL) == 1
    assert f"another process is writing in {folder}" in capsys.readouterr().err
    assert not (folder / "journal.jsonl").exists()
    (place / "file").write_text("")
    assert evaluate(*SMALL, "--report", str(place / "file")) == 1
    assert "file could not be written" in capsys.readouterr().err


def test_a_file_may_register_a_defence(place, drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(defences.DEFENCES, "negative", defences.Nothing)  # gone when the test is over
    monkeypatch.setitem(sys.modules, "plugin_negative", None)
    file = tmp_path / "negative.py"
    file.write_text(
        "from model.defences import DEFENCES, Defence\n\n\n"
        "class Negative(Defence):\n"
        "    about = 'the negative'\n\n"
        "    def forward(self, x):\n"
        "        return 1 - x\n\n\n"
        "DEFENCES['negative'] = Negative\n"
    )
    options = ("--defences", "none,negative", "--attacks", "FGSM", "--epsilons", "8")
    assert evaluate("--with", str(file), *options) == 0
    report = json.loads((place / "runs" / "report-cifar10" / "report.json").read_text())
    assert report["defences"] == {"none": "no defence", "negative": "the negative"}
    assert {c["threat_model"] for c in report["cells"] if c["defence"] == "negative"} == {
        "no attacker", "grey-box", "adaptive",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["notes.txt", "folder", "missing.py"])
def test_a_plugin_that_is_no_python_file_is_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("dear")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=f"{name} is no Python file"):
        command.run_plugin(tmp_path / name)


@pytest.mark.slow
def test_without_a_suite_of_names_every_defence_is_measured(place, drawn):
    assert evaluate("--attacks", "FGSM", "--epsilons", "8", "--images", "3") == 0
    report = json.loads((place / "runs" / "report-cifar10" / "report.json").read_text())
    assert list(report["defences"]) == default_names("cifar10", None)
    assert {c["defence"] for c in report["cells"]} == set(report["defences"])
