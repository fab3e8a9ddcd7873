"""Which models there are, and which of them is meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.lab import Lab
from model import pretrained, zoo
from model.entries import ClassifierEntry, CodecEntry, Origin
from model.files import WeightsError
from model.zoo import (
    CLASSIFIERS,
    CODECS,
    EVERY_CLASSIFIER,
    EVERY_CODEC,
    UnknownClassifierError,
    classifier_for,
    codec_for,
    default_classifier,
    default_codec,
    find_classifier,
    offered,
    prefer_codec,
)

NAMES = [entry.name for entry in (*EVERY_CODEC, *EVERY_CLASSIFIER)]


def test_every_model_has_a_name_of_its_own_and_says_what_it_is():
    assert len(set(NAMES)) == len(NAMES)
    assert all(entry.about for entry in (*EVERY_CODEC, *EVERY_CLASSIFIER))


def test_whatever_a_model_refers_to_is_there_and_refers_back():
    codecs = {entry.name: entry for entry in EVERY_CODEC}
    classifiers = {entry.name: entry for entry in EVERY_CLASSIFIER}
    for codec in codecs.values():
        assert codec.partner is None or classifiers[codec.partner].partner == codec.name
    for entry in classifiers.values():
        assert entry.partner is None or entry.partner in codecs
        for other in (entry.twin, entry.compared_with, entry.transfers_from):
            assert other is None or other in classifiers.keys() - {entry.name}


@pytest.mark.parametrize("pictures", ["small", "garments", "photographs"])
def test_each_kind_of_picture_has_one_default(pictures):
    for entries in (EVERY_CODEC, EVERY_CLASSIFIER):
        assert sum(entry.default_for == pictures for entry in entries) == 1
    assert default_classifier(pictures) in CLASSIFIERS
    assert default_codec(pictures) in CODECS


def test_defaults_hang_on_no_order(monkeypatch):
    wanted = [(default_classifier(kind), default_codec(kind)) for kind in ("small", "photographs")]
    for name in ("EVERY_CODEC", "EVERY_CLASSIFIER"):
        monkeypatch.setattr(zoo, name, getattr(zoo, name)[::-1])
    for name in ("CODECS", "CLASSIFIERS"):
        monkeypatch.setattr(zoo, name, dict(reversed(getattr(zoo, name).items())))
    assert [(default_classifier(kind), default_codec(kind)) for kind in ("small", "photographs")] == wanted
    assert wanted[0] == ("cifar10", "comdefend-cifar10-purify")
    assert wanted[1][0] == "imagenet"


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((32, 32), "cifar10"),
        ((64, 20), "cifar10"),
        ((28, 28), "fashion-mnist"),
        ((28, 27), "cifar10"),
        ((65, 20), "imagenet"),
    ],
)
def test_the_size_of_a_picture_chooses(size, name):
    assert classifier_for(*size) == name


@pytest.mark.parametrize("classifier", ["imagenet", "imagenet-lite2", "imagenet-resnet50"])
def test_photographs_have_a_codec_of_their_own(classifier):
    assert codec_for(classifier) == "comdefend-photo"


def test_a_classifiers_own_codec_comes_first_where_it_is_there(monkeypatch):
    assert codec_for("cifar10") == codec_for("cifar10-on-reconstructions") == "comdefend-cifar10-purify"
    assert zoo.pairs() == (("comdefend-cifar10-robust", "cifar10-robust", "cifar10-adversarial"),)
    (robust,) = (entry for entry in EVERY_CLASSIFIER if entry.name == "cifar10-robust")
    of_small = replace(robust, origin=Origin(CLASSIFIERS["cifar10"].config, lambda _: {}))
    monkeypatch.setitem(CLASSIFIERS, robust.name, of_small)
    monkeypatch.delitem(CODECS, "comdefend-cifar10-robust", raising=False)
    assert codec_for(robust.name) == "comdefend-cifar10-purify"
    monkeypatch.setitem(CODECS, "comdefend-cifar10-robust", CodecEntry("comdefend-cifar10-robust", ""))
    assert codec_for(robust.name) == "comdefend-cifar10-robust"


def test_what_takes_a_gpu_to_train_is_offered_once_it_is_there(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    entries = (ClassifierEntry("robust", "", once_trained=True), ClassifierEntry("shipped", ""))
    assert list(offered(entries)) == ["shipped"]
    (tmp_path / "robust").mkdir()
    assert list(offered(entries)) == ["robust", "shipped"]
    assert entries[0].folder == tmp_path / "robust"
    assert entries[0].has_folder


def test_an_unknown_classifier_is_an_error_that_lists_the_names():
    for name in ("magic", None, ["cifar10"]):
        with pytest.raises(UnknownClassifierError, match=r"choose from cifar10, .*imagenet-resnet50"):
            find_classifier(name)


@pytest.fixture
def own_codecs(monkeypatch):
    """What a test does to the codecs does not last."""
    monkeypatch.setattr(zoo, "CODECS", dict(CODECS))
    monkeypatch.setattr("app.shelf.CODECS", zoo.CODECS)
    return zoo.CODECS


def test_a_codec_from_the_hub_is_offered_first_and_meant_where_none_is_named(
    own_codecs, monkeypatch, tmp_path, codec
):
    codec.save_pretrained(tmp_path)
    asked = []

    def download(repo_id: str, filename: str, **_: object) -> str:
        asked.append((repo_id, filename))
        return str(tmp_path / filename)

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    prefer_codec("someone/codec")
    assert asked == [("someone/codec", "model.safetensors"), ("someone/codec", "config.json")]
    assert next(iter(own_codecs)) == "someone/codec"
    assert len(own_codecs) > 1
    assert codec_for("cifar10") == codec_for("imagenet") == "someone/codec"
    assert codec_for("cifar10-on-reconstructions") == "comdefend-cifar10-purify"  # its own
    assert Lab("cpu").codec("someone/codec").config == codec.config


def test_a_codec_from_the_hub_is_read_as_strictly_as_ours(own_codecs, monkeypatch, tmp_path, codec):
    codec.save_pretrained(tmp_path)
    monkeypatch.setattr(
        pretrained, "hf_hub_download", lambda repo_id, filename, **_: str(tmp_path / filename)
    )
    tensors = tmp_path / "model.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    prefer_codec("someone/codec")
    with pytest.raises(WeightsError, match="is damaged: its SHA-256"):
        Lab("cpu").codec("someone/codec")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="does not fit"):
        prefer_codec("someone/codec")


def test_a_codec_that_the_hub_does_not_give_changes_nothing(own_codecs, monkeypatch):
    def fail(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(pretrained, "hf_hub_download", fail)
    before = dict(own_codecs)
    with pytest.raises(WeightsError, match="'someone/codec' could not be had from the Hub: no network"):
        prefer_codec("someone/codec")
    assert own_codecs == before
