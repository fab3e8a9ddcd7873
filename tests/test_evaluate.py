import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from model import DefendedClassifier, checkpoint, evaluate, load_classifier
from model.data import DataError, ImageSet
from model.evaluate import Plan
from model.metrics import wilson_interval
from tests.conftest import script


@pytest.fixture
def data(classifier, pictures) -> ImageSet:
    labels = classifier(pictures).argmax(1)
    labels[0] = (labels[0] + 1) % 4  # one picture is classified wrongly
    return ImageSet((pictures * 255).round().byte(), labels, classifier.classes)


def test_every_cell_is_there_and_says_its_threat_model(classifier, codec, data):
    found = evaluate.evaluate(classifier, codec, data, Plan())
    keys = [(c["threat_model"], c["attack"], c["epsilon"], c["defence"]) for c in found]
    assert keys[:2] == [("no attacker", "clean", None, "none"), ("no attacker", "clean", None, "comdefend")]
    wanted = {
        (who, name, epsilon, "none" if who == "white-box" else "comdefend")
        for who in ("white-box", "grey-box", "adaptive")
        for name in ("FGSM", "PGD")
        for epsilon in (2, 8)
    }
    assert set(keys[2:]) == wanted
    assert len(keys) == len(set(keys))
    json.dumps(found)
    for c in found:
        assert c["images"] == 6
        low, high = wilson_interval(round(c["accuracy"] * 6), 6)
        assert c["interval"] == pytest.approx([low, high], abs=1e-4)


def test_clean_accuracy_counts_true_labels(classifier, codec, data):
    found = evaluate.evaluate(classifier, codec, data, Plan(epsilons=()))
    assert found[0]["accuracy"] == pytest.approx(5 / 6)
    defended = DefendedClassifier(classifier, codec)
    right = (defended(data.images.float() / 255).argmax(1) == data.labels).float().mean().item()
    assert found[1]["accuracy"] == pytest.approx(right)


def test_each_attacker_attacks_what_he_knows(classifier, codec, data, monkeypatch):
    attacked = []

    def spy(name, model, x, labels, **_):
        attacked.append(type(model).__name__)
        standing = DefendedClassifier(classifier, codec)(data.images.float() / 255).argmax(1) == data.labels
        adaptive = isinstance(model, DefendedClassifier)
        assert torch.equal(labels, data.labels[standing] if adaptive else data.labels)
        return x

    monkeypatch.setattr(evaluate, "attack", spy)
    evaluate.evaluate(classifier, codec, data, Plan(epsilons=(8,)))
    assert attacked == ["Classifier", "DefendedClassifier"] * 2


def test_a_seed_gives_the_same_figures(classifier, codec, data):
    first = evaluate.evaluate(classifier, codec, data, Plan(seed=3))
    assert first == evaluate.evaluate(classifier, codec, data, Plan(seed=3))


def test_the_adaptive_attacker_may_get_fewer_pictures(classifier, codec, data):
    plan = Plan(attacks=("BIM",), epsilons=(8,), adaptive_images=2)
    found = evaluate.evaluate(classifier, codec, data, plan)
    assert len(found) == plan.figures() == 5
    assert [c["images"] for c in found] == [6, 6, 6, 6, 2]
    assert [c["steps"] for c in found] == [None, None, 10, 10, 10]
    assert "saw 2 of them" in evaluate.table({"images": 6, "data": "noise", "cells": found})
    none = replace(plan, adaptive_images=0)
    assert len(evaluate.evaluate(classifier, codec, data, none)) == none.figures() == 4


def test_batches_are_smaller_for_larger_pictures():
    labels = torch.zeros(5, dtype=torch.long)
    assert [len(x) for x, _ in evaluate.batches(torch.zeros(5, 3, 224, 224), labels)] == [2, 2, 1]
    assert [len(x) for x, _ in evaluate.batches(torch.zeros(5, 3, 32, 32), labels)] == [5]


def test_the_table_goes_between_its_markers(classifier, codec, data, tmp_path):
    found = evaluate.evaluate(classifier, codec, data, Plan(epsilons=(8,)))
    text = evaluate.table({"images": 6, "data": "noise", "cells": found})
    lines = text.splitlines()
    assert lines[2] == "| attack | undefended, white-box | ComDefend, grey-box | ComDefend, adaptive |"
    assert lines[4].startswith("| none (clean) | 83.3 (")
    wanted = [
        next(c for c in found if (c["attack"], c["threat_model"], c["defence"]) == ("PGD", *column))
        for column in evaluate.COLUMNS
    ]
    numbers = [float(cell.split("(")[0]) for cell in lines[6].split("|")[2:-1]]
    assert lines[6].startswith("| PGD, 8/255, 10 steps |")
    assert numbers == pytest.approx([100 * c["accuracy"] for c in wanted], abs=0.05)
    readme = tmp_path / "README.md"
    begin, end = evaluate.markers("cifar10")
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    evaluate.write_into(readme, "cifar10", text)
    assert readme.read_text() == f"before\n{begin}\n{text}\n{end}\nafter\n"
    with pytest.raises(DataError, match="lacks the markers"):
        evaluate.write_into(readme, "imagenet", text)


@pytest.fixture
def command(monkeypatch, tmp_path, classifier, codec, data):
    """``--evaluate`` over the tiny models, in a folder of the test."""
    weights, readme = tmp_path / "weights", tmp_path / "README.md"
    classifier.save_pretrained(weights / "cifar10")
    codec.save_pretrained(weights / "comdefend-cifar10")
    readme.write_text("\n".join(evaluate.markers("cifar10")))
    for module in (evaluate, checkpoint):
        monkeypatch.setattr(module, "WEIGHTS", weights)
    monkeypatch.setattr(evaluate, "README", readme)
    monkeypatch.setattr(evaluate, "FIGURES_FILE", weights / "figures.json")
    monkeypatch.setattr(evaluate, "load_test_pictures", lambda root, classifier: data)
    monkeypatch.setattr(evaluate, "load_classifier", lambda name, device: classifier)

    def run(*options: str) -> int:
        return script().main(["--evaluate", "--device", "cpu", *options])

    return run


def test_the_command_publishes_what_it_measured(command, tmp_path, capsys):
    (tmp_path / "weights" / "figures.json").write_text('{"another": 1}')
    assert command("--data-name", "noise", "--epsilons", "2,4", "--attacks", "BIM", "--publish") == 0
    reports = json.loads((tmp_path / "weights" / "figures.json").read_text())
    assert reports["another"] == 1
    report = reports["cifar10"]
    assert report["command"].startswith("python app.py --evaluate --device cpu --data-name noise")
    assert report["data"] == "noise"
    assert {c["epsilon"] for c in report["cells"]} == {None, 2, 4}
    assert {c["attack"] for c in report["cells"]} == {"clean", "BIM"}
    for name, digest in report["weights"].items():
        assert digest == checkpoint.file_hash(tmp_path / "weights" / name / "model.safetensors")
    assert set(report["weights"]) == {"cifar10", "comdefend-cifar10"}
    assert evaluate.table(report) in (tmp_path / "README.md").read_text()
    assert evaluate.table(report) in capsys.readouterr().out


def test_a_trial_publishes_nothing(command, tmp_path):
    assert command("--epsilons", "8", "--attacks", "FGSM") == 0
    assert not (tmp_path / "weights" / "figures.json").exists()
    assert (tmp_path / "README.md").read_text() == "\n".join(evaluate.markers("cifar10"))


@pytest.mark.parametrize("below", ["", "test"])
def test_labels_are_translated_to_the_classifiers(classifier, tmp_path, below):
    colours = {"star": (250, 0, 0), "circle": (0, 250, 0)}
    for name, colour in colours.items():
        folder = tmp_path / below / name
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(folder / "a.png")
    data = evaluate.load_test_pictures(tmp_path, classifier)
    assert data.images.shape == (2, 3, 16, 16)
    assert data.classes == classifier.classes
    for image, label in zip(data.images, data.labels, strict=True):
        assert tuple(image[:, 0, 0].tolist()) == colours[classifier.classes[label]]


def test_wordnets_names_are_understood(tmp_path):
    classifier = load_classifier("imagenet")
    for synset in ("n07920052", "n01440764"):
        (tmp_path / synset).mkdir()
        Image.new("RGB", (256, 256)).save(tmp_path / synset / "a.png")
    data = evaluate.load_test_pictures(tmp_path, classifier)
    assert [data.classes[label] for label in data.labels] == ["tench", "espresso"]
    assert data.images.shape == (2, 3, 224, 224)


def test_data_of_other_classes_is_refused(classifier, dataset):
    with pytest.raises(DataError, match="classes that the classifier lacks: blue, red"):
        evaluate.load_test_pictures(dataset, classifier)


@pytest.mark.parametrize("options", [["--attacks", "DeepFool"], ["--attacks", "magic"], ["--epsilons", "-1"]])
def test_impossible_plans_are_refused(command, options):
    with pytest.raises(SystemExit):
        command(*options)
