from dataclasses import replace

import pytest
import torch

from model import pretrained
from model.classifiers import Classifier, DefendedClassifier
from model.config import ClassifierConfig
from model.defences import DEFENCES, UnknownDefenceError
from model.entries import ClassifierEntry, Origin
from model.evaluate.systems import PAIRS, default_names, load_systems, transfer_source
from model.files import file_hash, tensors_hash
from model.zoo import CLASSIFIERS, UnknownClassifierError

CPU = torch.device("cpu")
RETRAINED = "cifar10-on-reconstructions"
((ROBUST_PAIR, TWIN),) = PAIRS.items()


@pytest.fixture
def weights(monkeypatch, tmp_path, classifier, codec):
    """A folder of weights: the tiny classifier under two names, and the tiny codec."""
    for name in ("cifar10", "other"):
        classifier.save_pretrained(tmp_path / name)
        monkeypatch.setitem(CLASSIFIERS, name, replace(CLASSIFIERS["cifar10"], name=name))
    codec.save_pretrained(tmp_path / "comdefend-cifar10")
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    return tmp_path


def test_a_name_is_a_defence_and_where_wanted_a_classifier_of_its_own(weights, pictures):
    names = ["none", "comdefend-cifar10:3", "jpeg-60@other"]
    none, codec, jpeg = load_systems(names, "cifar10", None, pictures, CPU)
    assert [none.name, codec.name, jpeg.name] == names
    assert [s.classifier_name for s in (none, codec, jpeg)] == ["cifar10", "cifar10", "other"]
    assert [s.own_classifier for s in (none, codec, jpeg)] == [False, False, True]
    assert [s.undefended for s in (none, codec, jpeg)] == [True, False, False]
    assert none.classifier is codec.classifier
    assert codec.defence.planes == 3
    assert jpeg.defence.quality == 60
    assert jpeg.about == "JPEG, quality 60, 4:2:0, classifier other"
    assert none.about == "no defence"


def test_a_system_is_the_classifier_behind_its_defence(weights, pictures):
    (codec,) = load_systems(["comdefend-cifar10"], "cifar10", None, pictures, CPU)
    assert isinstance(codec.module, DefendedClassifier)
    assert torch.allclose(codec.module(pictures), codec.classifier(codec.defence(pictures)))
    modules = (codec.classifier, codec.defence, codec.module)
    assert not any(m.training for m in modules)
    assert not any(p.requires_grad for m in modules for p in m.parameters())


def test_a_name_given_twice_is_one_system(weights, pictures):
    found = load_systems(["none", "bits-5", "none"], "cifar10", None, pictures, CPU)
    assert [system.name for system in found] == ["none", "bits-5"]


def test_the_hashes_are_those_of_the_files(weights, pictures):
    none, codec = load_systems(["none", "comdefend-cifar10"], "cifar10", None, pictures, CPU)
    own = {"cifar10": file_hash(weights / "cifar10" / "model.safetensors")}
    assert none.weights == own
    file = weights / "comdefend-cifar10" / "model.safetensors"
    assert codec.weights == own | {"comdefend-cifar10": file_hash(file)}


def test_weights_from_elsewhere_are_told_apart_too(weights, monkeypatch, pictures):
    config = ClassifierConfig("resnet9", ("a", "b"), 32, (0.5,) * 3, (0.25,) * 3)  # it has batch norms
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        whole = Classifier(config)
        tensors = whole.net.state_dict()
        origin = Origin(lambda: config, lambda _, tensors=tensors: tensors)
        monkeypatch.setitem(CLASSIFIERS, "theirs", ClassifierEntry("theirs", "tiny", origin=origin))
        (system,) = load_systems(["none"], "theirs", None, pictures, CPU)
        assert system.weights == {"theirs": tensors_hash(whole)}  # as they came, not as they are when frozen
        found.append(system.weights)
    assert found[0] != found[1]


def test_unknown_names_are_errors(weights, pictures):
    with pytest.raises(UnknownDefenceError, match="'magic'"):
        load_systems(["none", "magic"], "cifar10", None, pictures, CPU)
    with pytest.raises(UnknownClassifierError, match="'magic'"):
        load_systems(["none@magic"], "cifar10", None, pictures, CPU)


def test_a_classifier_of_other_classes_is_refused(pictures):
    said = "none@fashion-mnist: fashion-mnist has other classes than cifar10"
    with pytest.raises(UnknownClassifierError, match=said):
        load_systems(["none", "none@fashion-mnist"], "cifar10", None, pictures, CPU)


@pytest.mark.slow
def test_the_default_is_every_defence_at_hand(weights, tmp_path, monkeypatch):
    baselines = ["jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30", "bits-5", "bits-3", "median-3", "noise-8"]
    assert set(DEFENCES) <= {"none", *baselines}
    assert default_names("cifar10", None) == ["none", "comdefend-cifar10", *baselines]
    assert "authors" in default_names("cifar10", tmp_path / "authors.safetensors")
    (weights / "comdefend-cifar10-purify").mkdir()
    (weights / RETRAINED).mkdir()
    ours = ["none", "comdefend-cifar10", "comdefend-cifar10-purify"]
    retrained = f"comdefend-cifar10-purify@{RETRAINED}"
    assert default_names("cifar10", None) == [*ours, retrained, *baselines]
    jpegs, others = baselines[:4], baselines[4:]
    more = ["jpeg-20", "jpeg-15", "jpeg-10", "jpeg-75-15"]
    dial = ["comdefend-photo", "comdefend-photo:64", "comdefend-photo:16", "comdefend-photo:8"]
    assert default_names("imagenet", None) == ["none", ours[1], *jpegs, *more, *others]
    (weights / "comdefend-photo").mkdir()
    photographs = ["none", *dial, ours[1], *jpegs, *more, *others]
    assert default_names("imagenet", None) == photographs
    for name in ("cifar10-robust", "cifar10-adversarial"):
        (weights / name).mkdir()
    assert default_names("cifar10", None) == [*ours, retrained, ROBUST_PAIR, TWIN, *baselines]
    (weights / "cifar10-resnet50").mkdir()
    large = [f"{name}@cifar10-resnet50" for name in ("none", "comdefend-cifar10-purify")]
    assert default_names("cifar10", None) == [*ours, retrained, *large, ROBUST_PAIR, TWIN, *baselines]
    assert default_names("imagenet", None) == photographs
    monkeypatch.setitem(DEFENCES, "mine", DEFENCES["median-3"])  # as a plugin does
    assert default_names("imagenet", None) == [*photographs, "mine"]


def test_pictures_are_transferred_from_another_classifier_of_the_same_classes(
    weights, monkeypatch, classifier
):
    assert transfer_source("cifar10") is None
    assert transfer_source("other") == "cifar10"
    assert transfer_source("cifar10") is None  # for it has no weights
    classifier.save_pretrained(weights / RETRAINED)
    assert transfer_source("cifar10") == RETRAINED
    stranger = Classifier(replace(classifier.config, classes=("a", "b", "c", "d")))
    stranger.save_pretrained(weights / "stranger")
    monkeypatch.setitem(CLASSIFIERS, "stranger", ClassifierEntry("stranger", "tiny"))
    assert transfer_source("stranger") is None
