from types import SimpleNamespace

import gradio as gr
import pytest

from app import handlers, views
from app.images import ImageError
from app.lab import Lab, Scenario, ScenarioError, Watch
from model import ComDefend
from model.attacks import AttackCancelled, AttackError
from model.checkpoint import WeightsError
from model.recipes import PhotoTask


def raising(error: Exception):
    @handlers.answered
    def handler() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImageError("this file is no picture"), "This file is no picture."),
        (AttackError("PGD needs steps"), "PGD needs steps."),
        (AttackCancelled(), "This run was stopped."),
        (WeightsError("a/model.safetensors is missing", "git checkout"),
         "A/model.safetensors is missing. Repair: git checkout"),
        (WeightsError("the weights could not be downloaded"),
         "The weights could not be downloaded. Choose another"),
        (ZeroDivisionError("secret detail"), "Something went wrong on our side"),
    ],
)  # fmt: skip
def test_errors_become_one_sentence(error, message, caplog):
    with pytest.raises(gr.Error) as caught:
        raising(error)()
    assert caught.value.message.startswith(message)
    assert "secret" not in caught.value.message
    # What the visitor did not cause is in the log, with its traceback.
    logged = isinstance(error, WeightsError | ZeroDivisionError)
    assert any(record.exc_info for record in caplog.records) is logged


def test_what_an_attack_lacks_is_dropped():
    fgsm = handlers.make_scenario("cifar10", "FGSM", "grey-box", 8, 10, "", 0, "comdefend-cifar10", None)
    assert (fgsm.epsilon, fgsm.steps, fgsm.target) == (8, None, None)
    square = handlers.make_scenario("cifar10", "Square", "grey-box", None, None, None, 0, "x", None)
    assert (square.epsilon, square.steps) == (4, 500)
    deepfool = handlers.make_scenario("cifar10", "DeepFool", "adaptive", 8, 10, None, 0, "x", None)
    assert (deepfool.epsilon, deepfool.steps) == (None, 10)


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), 1e30])
def test_whole_numbers_only(value):
    with pytest.raises(AttackError, match="Seed must be a whole number"):
        handlers.whole(value, "Seed")


@pytest.mark.parametrize("value", ["8", True, [8], {}])
def test_numbers_only(value):
    for read in (handlers.number, handlers.whole):
        with pytest.raises(AttackError, match="Epsilon must be a number"):
            read(value, "Epsilon")


@pytest.mark.parametrize(
    ("percent", "codec", "planes"),
    [
        (100, "comdefend-cifar10", None),
        (50, "comdefend-cifar10", 96),
        (5, "comdefend-cifar10", 10),
        (50, "comdefend-cifar10-purify", 6),
        (5, "comdefend-cifar10-purify", 1),
    ],
)
def test_a_share_of_the_planes_is_a_number_of_each_codecs(percent, codec, planes):
    lab = Lab("cpu")
    lab._codecs["comdefend-cifar10"] = ComDefend(PhotoTask.network)
    assert handlers.Handlers(lab)._planes(percent, codec) == planes


@pytest.mark.parametrize("percent", [0, -5, 101, float("nan"), "half", None])
def test_an_impossible_share_of_the_planes_is_refused(percent):
    with pytest.raises((ScenarioError, AttackError), match=r"(?i)the share of planes kept"):
        handlers.Handlers(Lab("cpu"))._planes(percent, "comdefend-cifar10")


@pytest.mark.parametrize("outcomes", [None, []])
def test_a_run_that_is_no_longer_kept_is_no_mystery(outcomes):
    page = handlers.Handlers(Lab("cpu"))
    choice = next(iter(views.PAIRS))
    assert page.compare(outcomes, "adaptive", choice) == ""
    with pytest.raises(gr.Error, match="no longer kept"):
        page.show(outcomes, "adaptive", choice)


def test_a_stopped_run_that_ends_late_does_not_shield_the_next_from_a_stop(monkeypatch, photograph):
    """Gradio starts a visitor's next run while the one that he stopped is still unwinding."""
    page = handlers.Handlers(Lab("cpu"))
    visitor = SimpleNamespace(session_hash="visitor")
    watches: list[Watch] = []

    def run(picture, scenario, watch):
        watches.append(watch)
        if len(watches) == 1:
            page.stop(visitor)
            press()  # the next run begins and is still going when the first one ends
            page._watches["visitor"] = second = Watch()
            watches.append(second)
        raise AttackCancelled

    def press() -> tuple:
        settings = ("auto", "BIM", "grey-box", 4, 10, "", 0, Scenario.codec, 12, next(iter(views.PAIRS)))
        return page.attack(str(photograph), *settings, request=visitor)

    monkeypatch.setattr(page.lab, "run", run)
    assert press()[0] == handlers.STOPPED
    page.stop(visitor)
    for watch in (watches[0], watches[-1]):
        with pytest.raises(AttackCancelled):
            watch.check()


def test_an_upload_is_looked_at_before_it_is_attacked(tmp_path, photograph):
    page = handlers.Handlers(Lab("cpu"))
    status, note, preview, targets = page.inspect(str(photograph), "auto")
    assert status == handlers.READY
    assert note == (
        "600 × 400 pixels, for the classifier `imagenet`, which sees its central square, scaled to 224 × 224."
    )
    assert preview["visible"]
    assert preview["value"].size == (320, 213)
    assert len(targets["choices"]) == 1001
    status, note, preview, targets = page.inspect(
        str(photograph.with_name("frog.png")), "auto", "toilet tissue", ["an outcome"]
    )
    assert status == handlers.STALE
    assert targets["value"] == ""
    assert note == "32 × 32 pixels, for the classifier `cifar10`."
    assert not preview["visible"]
    assert len(targets["choices"]) == 11
    _, note, _, targets = page.inspect(str(photograph), "cifar10", "dog")
    assert "`cifar10`" in note
    assert targets["value"] == "dog"  # kept, where the classifier knows it
    (tmp_path / "fake.png").write_text("hello")
    _, note, preview, _ = page.inspect(str(tmp_path / "fake.png"), "auto")
    assert "not a picture" in note
    assert not preview["visible"]
    assert page.inspect(None, "auto")[1] == ""
