"""The weights in the repository: they load, they work, and what is said of them agrees."""

import itertools
import json
from collections.abc import Callable

import pytest
import torch

from app.address import examples_of
from app.images import full_size, open_picture
from app.places import PUBLISHED
from model import ComDefend, DefendedClassifier, load_classifier
from model.cards import card
from model.defences import JpegByNoise
from model.denoiser import Denoiser
from model.evaluate import published, seed
from model.evaluate.cells import failed_checks, has_autoattack
from model.evaluate.markdown import markdown, table
from model.evaluate.presets import MAIN
from model.evaluate.publish import SUMMARY, markers
from model.evaluate.summary import summary
from model.files import file_hash
from model.metrics import psnr
from model.pretrained import WEIGHTS, Pretrained
from model.zoo import CLASSIFIERS, CODECS, DENOISERS, codec_for, default_codec, faithful_codec, pairs
from tests.conftest import PHOTOGRAPH

FOLDERS = [*CODECS, *DENOISERS, *(name for name, entry in CLASSIFIERS.items() if entry.has_folder)]
LOADERS: dict[str, Callable[[str], Pretrained]] = {
    **dict.fromkeys(CODECS, ComDefend.from_pretrained),
    **dict.fromkeys(DENOISERS, Denoiser.from_pretrained),
}


@pytest.fixture(scope="module")
def examples() -> tuple[torch.Tensor, list[str]]:
    files = examples_of("small")
    assert len(files) == 10
    return torch.cat([full_size(open_picture(path)) for path in files]), [path.stem for path in files]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_folder_is_complete_and_its_card_is_generated(name):
    folder = WEIGHTS / name
    record = json.loads((folder / "history.json").read_text())
    model = LOADERS.get(name, load_classifier)(name)
    assert record["epochs"]
    assert (folder / "README.md").read_text() == card(model.config, record)


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


@pytest.mark.parametrize("codec", [None, faithful_codec("fashion-mnist"), default_codec("garments")])
def test_garments_are_known_with_their_codecs_and_without(codec):
    paths = examples_of("garments")
    x = torch.cat([full_size(open_picture(path)) for path in paths])
    assert x.shape == (2, 3, 28, 28)
    system = load_classifier("fashion-mnist")
    classes = system.classes
    if codec is not None:
        system = DefendedClassifier(system, ComDefend.from_pretrained(codec))
    assert [classes[i] for i in system(x).argmax(1)] == [path.stem.replace("-", " ") for path in paths]


@pytest.mark.parametrize(
    ("name", "images", "clean", "cost"),
    [
        ("cifar10", 1000, 0.88, 0.04),
        ("resnet20", 1000, 0.8, 0.04),
        ("resnet20-ingredients", 1000, 0.8, 0.04),
        ("imagenet", 400, 0.8, 0.1),
        ("seed-fashion-mnist", 500, 0.9, 0.04),
        ("seed-cifar10", 500, 0.88, 0.04),
        ("seed-cifar10-resnet50", 500, 0.88, 0.04),
        ("seed-imagenet", 400, 0.8, 0.1),
    ],
)
def test_the_classifier_is_good_and_the_papers_loss_costs_it_little(name, images, clean, cost):
    report = published(PUBLISHED.reports)[name]
    assert report["images"] >= images
    codec = faithful_codec(report["classifier"])
    assert codec in report["weights"]
    accuracy = {c["defence"]: c["accuracy"] for c in report["cells"] if c["attack"] == "clean"}
    assert accuracy["none"] >= clean
    assert accuracy["none"] - accuracy[codec] <= cost


@pytest.mark.parametrize("name", published(PUBLISHED.reports))
def test_the_results_are_those_of_these_weights(name):
    report = published(PUBLISHED.reports)[name]
    for folder, digest in report["weights"].items():
        if (WEIGHTS / folder).is_dir():  # the authors' are not here
            assert file_hash(WEIGHTS / folder / "model.safetensors") == digest
    begin, end = markers(name)
    assert f"{begin}\n{table(report)}\n{end}" in PUBLISHED.results.read_text()


def test_the_summary_is_that_of_the_published_reports():
    begin, end = SUMMARY
    text = f"{begin}\n{summary(published(PUBLISHED.reports))}\n{end}"
    assert text in PUBLISHED.summary.read_text()


@pytest.mark.parametrize("name", published(PUBLISHED.reports))
def test_every_published_report_is_told_as_it_would_be_now(name):
    report = published(PUBLISHED.reports)[name]
    assert (PUBLISHED.reports / name / "report.md").read_text() == markdown(report)


def test_the_published_report_is_whole_and_sound():
    report = published(PUBLISHED.reports)["cifar10"]
    folder = PUBLISHED.reports / "cifar10"
    assert {"accuracy.svg", "bits.svg", "dial.svg", "examples.png"} <= {p.name for p in folder.iterdir()}
    small = [name for name, entry in CODECS.items() if entry.pictures == "small" and entry.partner is None]
    wanted = {"none", *small, "authors", "jpeg-75", "jpeg-50", "bits-5", "bits-3", "median-3", "noise-8"}
    assert wanted <= set(report["defences"])
    for codec in small:
        passed = {check["name"]: check["passed"] for check in report["checks"][codec]}
        for name in ("gradients do not vanish", "nothing survives a large strength",
                     "random noise is weaker than the attack", "iterating beats a single step"):  # fmt: skip
            assert passed[name], name
    for text in failed_checks(report):
        assert text in (folder / "report.md").read_text().partition("\n## ")[0]


def left_at(epsilon: float, name: str) -> dict[tuple[str, str], float]:
    """Accuracy in a published report by defence and attack: on clean pictures, and grey-box at a strength."""
    return {
        (c["defence"], c["attack"]): c["accuracy"]
        for c in published(PUBLISHED.reports)[name]["cells"]
        if c["attack"] == "clean"
        or (c["threat_model"] == "grey-box" and c["epsilon"] == epsilon and not c["cascade"])
    }


def test_purifying_pays_where_it_should():
    """Grey-box at 8/255, as the report has it."""
    left = left_at(8, "cifar10")
    for attack in ("FGSM", "BIM"):
        assert left["comdefend-cifar10-purify", attack] > left["comdefend-cifar10", attack] + 0.1


@pytest.mark.parametrize("classifier", ["cifar10", "fashion-mnist", "imagenet"])
def test_the_papers_comparison_is_whole(classifier):
    """Every line and column of it."""
    report = published(PUBLISHED.reports)[f"seed-{classifier}"]
    assert list(report["defences"]) == seed.defences(classifier, None)
    assert report["not_run"] == []
    assert report["adaptive_images"] >= 100
    told = {(worst["defence"], worst["epsilon"]) for worst in report["worst"]}
    assert told == set(itertools.product(report["defences"], (8.0, 16.0)))


def test_the_pair_stands():
    """What new weights of it must not fall behind."""
    report = published(PUBLISHED.reports)["seed-cifar10"]
    left = {(w["defence"], w["epsilon"]): w["accuracy"] for w in report["worst"]}
    (pair,) = pairs()
    together, twin = f"{pair.codec}@{pair.classifier}", f"none@{pair.twin}"
    assert left[together, 8.0] >= 0.45
    assert left[together, 8.0] >= left[twin, 8.0] - 0.05
    for (name, _), share in left.items():
        if name not in (together, twin):
            assert share < left[together, 8.0] - 0.2


@pytest.mark.parametrize("pair", pairs())
def test_the_pair_stands_against_stronger_attacks_too(pair):
    """On 500 pictures, all of them adaptive."""
    report = published(PUBLISHED.reports)["cifar10-robust"]
    twin = f"none@{pair.twin}"
    assert list(report["defences"]) == ["none", twin, pair.system]
    assert report["images"] == report["adaptive_images"] == 500
    accuracy = {c["defence"]: c["accuracy"] for c in report["cells"] if c["attack"] == "clean"}
    assert accuracy[pair.system] >= 0.72
    left = {(w["defence"], w["epsilon"]): w["accuracy"] for w in report["worst"]}
    assert left["none", 8.0] < 0.02
    assert left[pair.system, 8.0] >= 0.41
    assert (
        markdown(report).count("ComDefend, trained together with its classifier against an attacker who") == 1
    )
    (difference,) = report["twins"]
    assert (difference["defence"], difference["twin"]) == (pair.system, twin)
    tried = {c["attack"] for c in report["cells"] if c["defence"] == pair.system}
    assert {"PGD", "MI-FGSM", "APGD", "APGD-DLR", "Square"} <= tried
    assert has_autoattack(report, MAIN)
    assert not failed_checks(report)


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="under AutoAttack the pair is 4.2 (1.6 to 6.8) points below: its weights are to be improved",
)
@pytest.mark.parametrize("pair", pairs())
def test_the_pair_is_not_below_its_twin_under_stronger_attacks(pair):
    """As far as 500 pictures can tell; the aim, which these weights miss."""
    (difference,) = published(PUBLISHED.reports)["cifar10-robust"]["twins"]
    assert difference["difference_interval"][1] >= 0


def test_purifying_helps_a_classifier_that_it_was_not_trained_with():
    """Before somebody else's ResNet-20, grey-box at 8/255: what new weights must not fall behind."""
    left = left_at(8, "resnet20")
    codec = "comdefend-cifar10-purify"
    assert left["none", "clean"] - left[codec, "clean"] <= 0.04
    assert left[codec, "FGSM"] >= 0.55
    assert left[codec, "BIM"] >= 0.65


@pytest.mark.parametrize("epsilon", [4, 8, 16])
def test_the_codec_of_photographs_leaves_more_than_jpeg(epsilon):
    """Grey-box, JPEG as is best for each attack: what new weights must not fall behind."""
    left = left_at(epsilon, "imagenet")
    codec = "comdefend-photo"
    assert left[codec, "clean"] >= 0.72
    for name in (codec, f"{codec}:64"):
        assert left["none", "clean"] - left[name, "clean"] <= 0.1
    for attack in ("FGSM", "BIM", "PGD"):
        jpegs = {
            name: share for (name, by), share in left.items() if name.startswith("jpeg-") and by == attack
        }
        assert {"jpeg-20", "jpeg-10", "jpeg-75-15"} < jpegs.keys()
        assert left[codec, attack] > max(jpegs.values())
        if epsilon == 8:
            assert left[f"{codec}:8", attack] > max(jpegs.values())
            assert left[codec, attack] > left["jpeg-30", attack] + 0.05


def test_jpeg_that_looks_at_the_noise_has_the_same_bound():
    """The codec's first: its yardstick looks as closely."""
    kept = ComDefend.from_pretrained("comdefend-photo").config.kept
    assert isinstance(kept, tuple)
    assert kept[1][0] == JpegByNoise.bound


def test_the_codec_of_photographs_rebuilds_them():
    """A photograph that it has not seen, with a quarter of its planes, a half and all, as a clean one has."""
    codec = ComDefend.from_pretrained("comdefend-photo")
    assert codec.config.bits_per_pixel == 4
    x = full_size(open_picture(PHOTOGRAPH))
    quality = [psnr(x, codec(x, planes=planes)).item() for planes in (16, 32, 64)]
    assert quality == sorted(quality)
    assert quality[-1] == psnr(x, codec(x)).item()
    assert quality[0] > 20
    assert quality[-1] > 24


@pytest.mark.parametrize("name", CODECS)
def test_the_surrogate_is_not_saturated(examples, name):
    """Masked gradients would make the adaptive attacker look weak."""
    codec = ComDefend.from_pretrained(name)
    width = codec.config.surrogate_width
    with torch.no_grad():
        beyond = (codec.logits(examples[0]).abs() > 3 * width).float().mean()
    assert beyond < 0.5


@pytest.mark.parametrize(("name", "strengths"), [("cifar10", (2, 8, 16)), ("imagenet", (2, 4, 8))])
def test_the_adaptive_attacker_is_the_stronger_one(name, strengths):
    """At the strengths at which he attacked every defence."""
    report = published(PUBLISHED.reports)[name]
    worst = {(w["defence"], w["epsilon"]): w for w in report["worst"]}
    grey = [c for c in report["cells"] if c["threat_model"] == "grey-box" and c["attack"] == "BIM"]
    assert {c["defence"] for c in grey} >= {"comdefend-cifar10", codec_for(name)}
    assert {c["epsilon"] for c in grey} >= set(strengths)
    for c in grey:
        if c["epsilon"] not in strengths:
            continue
        # The adaptive attacker saw fewer pictures: as far as their number can tell.
        low, _ = worst[c["defence"], c["epsilon"]]["interval"]
        assert low <= c["interval"][1]


@pytest.mark.parametrize("pair", pairs())
def test_pair_and_twin_withstand_an_attacker_who_knows_all(pair):
    """As their cards say, by PGD; and alike, so that the codec costs no robustness."""
    records = [json.loads((WEIGHTS / name / "history.json").read_text()) for name in pair]
    codec, classifier, twin = (record["test"] for record in records)
    assert codec == classifier
    assert classifier["accuracy"] >= 0.78
    assert classifier["robust_accuracy"] >= 0.45
    assert twin["robust_accuracy_low"] <= classifier["robust_accuracy_high"]
    assert all(record["test_images"] >= 2000 for record in records)


@pytest.mark.parametrize("pair", pairs())
def test_the_pair_knows_the_examples(examples, pair):
    x, names = examples
    safe = DefendedClassifier(load_classifier(pair.classifier), ComDefend.from_pretrained(pair.codec))
    said = [safe.classes[i] for i in safe(x).argmax(1)]
    assert sum(a == b for a, b in zip(said, names, strict=True)) >= 7
