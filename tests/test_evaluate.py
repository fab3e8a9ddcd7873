import json

import pytest
import torch

from model import DefendedClassifier, checkpoint, evaluate
from model.data import ImageSet, load_split
from model.metrics import wilson_interval
from tests.conftest import script


@pytest.fixture
def data(classifier, pictures) -> ImageSet:
    labels = classifier(pictures).argmax(1)
    labels[0] = (labels[0] + 1) % 4  # one picture is classified wrongly
    return ImageSet((pictures * 255).round().byte(), labels, classifier.classes)


def test_every_cell_is_there_and_says_its_threat_model(classifier, codec, data):
    found = evaluate.evaluate(classifier, codec, data, epsilons=(2, 8))
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
    found = evaluate.evaluate(classifier, codec, data, epsilons=())
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
    evaluate.evaluate(classifier, codec, data, epsilons=(8,))
    assert attacked == ["Classifier", "DefendedClassifier"] * 2


def test_a_seed_gives_the_same_figures(classifier, codec, data):
    first = evaluate.evaluate(classifier, codec, data, seed=3)
    assert first == evaluate.evaluate(classifier, codec, data, seed=3)


def test_the_table_goes_between_its_markers(classifier, codec, data, tmp_path):
    found = evaluate.evaluate(classifier, codec, data, epsilons=(8,))
    text = evaluate.table({"images": 6, "data": "noise", "cells": found})
    assert "| adaptive | PGD, 8/255, 10 steps | ComDefend | " in text
    assert "| no attacker | clean | none | 83.3 (" in text
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{evaluate.BEGIN}\nold\n{evaluate.END}\nafter\n")
    evaluate.write_into(readme, text)
    assert readme.read_text() == f"before\n{evaluate.BEGIN}\n{text}\n{evaluate.END}\nafter\n"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="lacks the markers"):
        evaluate.write_into(readme, text)


@pytest.fixture
def published(monkeypatch, tmp_path, classifier, codec, data):
    """``--evaluate`` over the tiny models, in a folder of the test."""
    weights, readme = tmp_path / "weights", tmp_path / "README.md"
    classifier.save_pretrained(weights / "cifar10")
    codec.save_pretrained(weights / "comdefend-cifar10")
    readme.write_text(f"{evaluate.BEGIN}\n{evaluate.END}\n")
    for module in (evaluate, checkpoint):
        monkeypatch.setattr(module, "WEIGHTS", weights)
    monkeypatch.setattr(evaluate, "README", readme)
    monkeypatch.setattr(evaluate, "FIGURES_FILE", weights / "figures.json")
    monkeypatch.setattr(evaluate, "load_split", lambda root, split: data)
    monkeypatch.setattr(evaluate, "load_classifier", lambda name, device: classifier)
    return tmp_path


def test_the_command_publishes_what_it_measured(published, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "LEAST_IMAGES", 6)
    assert script().main(["--evaluate", "--device", "cpu", "--data-name", "noise"]) == 0
    report = json.loads((published / "weights" / "figures.json").read_text())
    assert report["command"] == "python app.py --evaluate --device cpu --data-name noise"
    assert report["data"] == "noise"
    for name, digest in report["weights"].items():
        assert digest == checkpoint.file_hash(published / "weights" / name / "model.safetensors")
    assert set(report["weights"]) == {"cifar10", "comdefend-cifar10"}
    assert evaluate.table(report) in (published / "README.md").read_text()
    assert evaluate.table(report) in capsys.readouterr().out


def test_a_trial_on_few_pictures_publishes_nothing(published):
    assert script().main(["--evaluate", "--device", "cpu"]) == 0
    assert not (published / "weights" / "figures.json").exists()
    assert (published / "README.md").read_text() == f"{evaluate.BEGIN}\n{evaluate.END}\n"


def test_data_of_other_classes_is_refused(published, dataset, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load_split", load_split)
    assert script().main(["--evaluate", "--device", "cpu", "--data", str(dataset)]) == 1
    assert "the data has the classes ('blue', 'red')" in capsys.readouterr().err
