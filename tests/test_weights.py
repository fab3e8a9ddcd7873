"""The weights in the repository: they load, they work, and what is said of them agrees."""

import json

import pytest
import torch

from app.images import full_size, open_picture
from app.ui import example_pictures
from model import ComDefend, DefendedClassifier, evaluate, load_classifier
from model.cards import _card
from model.checkpoint import REPOSITORY, WEIGHTS, file_hash
from model.classifiers import CLASSIFIERS
from model.comdefend import CODECS
from model.metrics import psnr

FOLDERS = [*CODECS, *CLASSIFIERS]


@pytest.fixture(scope="module")
def examples() -> tuple[torch.Tensor, list[str]]:
    files = example_pictures()
    assert len(files) == 10
    return torch.cat([full_size(open_picture(path)) for path, _ in files]), [name for _, name in files]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_folder_is_complete_and_its_card_is_generated(name):
    folder = WEIGHTS / name
    record = json.loads((folder / "history.json").read_text())
    model = load_classifier(name) if name in CLASSIFIERS else ComDefend.from_pretrained(name)
    assert record["epochs"]
    assert (folder / "README.md").read_text() == _card(model.config, record)


def test_the_codec_rebuilds_the_examples(examples):
    codec = ComDefend.from_pretrained("weights/comdefend-cifar10")
    assert sum(p.numel() for p in codec.parameters()) == 1_566_735
    x, _ = examples
    assert psnr(x, codec(x)).mean() > 28
    stated = json.loads((WEIGHTS / "comdefend-cifar10" / "history.json").read_text())
    assert stated["test"]["psnr_db"] >= 29


def test_the_classifier_knows_the_examples_through_the_codec_too(examples):
    classifier = load_classifier("cifar10")
    x, names = examples
    safe = DefendedClassifier(classifier, ComDefend.from_pretrained("comdefend-cifar10"))
    for model, least in ((classifier, 10), (safe, 9)):
        said = [classifier.classes[i] for i in model(x).argmax(1)]
        assert sum(a == b for a, b in zip(said, names, strict=True)) >= least


def test_the_readmes_figures_are_those_of_these_weights():
    report = json.loads(evaluate.FIGURES_FILE.read_text())
    assert report["images"] >= 1000
    for name, digest in report["weights"].items():
        assert file_hash(WEIGHTS / name / "model.safetensors") == digest
    readme = (REPOSITORY / "README.md").read_text()
    assert f"{evaluate.BEGIN}\n{evaluate.table(report)}\n{evaluate.END}" in readme
    clean = {c["defence"]: c["accuracy"] for c in report["cells"] if c["attack"] == "clean"}
    assert clean["none"] >= 0.88
    assert clean["none"] - clean["comdefend"] <= 0.04


def test_the_surrogate_is_not_saturated(examples):
    """Masked gradients would make the adaptive attacker look weak."""
    codec = ComDefend.from_pretrained("comdefend-cifar10")
    width = codec.config.surrogate_width
    with torch.no_grad():
        beyond = (codec.logits(examples[0]).abs() > 3 * width).float().mean()
    assert beyond < 0.5


def test_the_adaptive_attacker_is_the_stronger_one():
    report = json.loads(evaluate.FIGURES_FILE.read_text())
    left = {
        (c["threat_model"], c["epsilon"]): c["accuracy"]
        for c in report["cells"]
        if c["attack"] == "PGD" and c["defence"] == "comdefend"
    }
    for epsilon in (2, 8):
        assert left["adaptive", epsilon] < left["grey-box", epsilon]
