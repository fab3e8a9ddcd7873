import json
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from app.handlers.callbacks import Callbacks
from app.handlers.errors import answered
from app.handlers.visitors import Visitors
from app.images import ImageError
from app.lab import Lab
from app.page.text import PAIRS, READY, STALE, STOPPED
from app.scenario import Scenario, ScenarioError, Watch
from app.views import AttackView
from model import ComDefend
from model.attacks import AttackCancelled, AttackError
from model.files import WeightsError
from model.recipes import PhotoTask


def raising(error: Exception):
    @answered
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
    assert Callbacks(lab, Visitors())._planes(percent, codec) == planes


@pytest.mark.parametrize("percent", [0, -5, 101, float("nan"), "half", None])
def test_an_impossible_share_of_the_planes_is_refused(percent):
    with pytest.raises((ScenarioError, AttackError), match=r"(?i)the share of planes kept"):
        Callbacks(Lab("cpu"), Visitors())._planes(percent, "comdefend-cifar10")


@pytest.mark.parametrize("outcomes", [None, []])
def test_a_run_that_is_no_longer_kept_is_no_mystery(outcomes):
    page = Callbacks(Lab("cpu"), Visitors())
    choice = next(iter(PAIRS))
    assert page.compare(outcomes, "adaptive", choice) == ""
    with pytest.raises(gr.Error, match="no longer kept"):
        page.show(outcomes, "adaptive", choice)


def test_a_stopped_run_that_ends_late_does_not_shield_the_next_from_a_stop(monkeypatch, photograph):
    """Gradio starts a visitor's next run while the one that he stopped is still unwinding."""
    page = Callbacks(Lab("cpu"), Visitors())
    visitor = SimpleNamespace(session_hash="visitor")
    watches: list[Watch] = []

    def run(picture, scenario, watch):
        watches.append(watch)
        if len(watches) == 1:
            page.stop(visitor)
            press()  # the next run begins and is still going when the first one ends
            page.visitors._watches["visitor"] = second = Watch()
            watches.append(second)
        raise AttackCancelled

    def press() -> tuple:
        settings = ("auto", "BIM", "grey-box", 4, 10, "", 0, Scenario.codec, 12, next(iter(PAIRS)))
        return page.attack(str(photograph), *settings, request=visitor)

    monkeypatch.setattr(page.lab, "run", run)
    assert press()[0] == STOPPED
    page.stop(visitor)
    for watch in (watches[0], watches[-1]):
        with pytest.raises(AttackCancelled):
            watch.check()


def test_a_visitor_is_told_what_happened_and_how_long_it_took(
    monkeypatch, tmp_path, example, classifier, codec
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    lab = Lab("cpu")
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10"] = classifier, codec
    times = iter([10.0, 11.5])
    page = Callbacks(lab, Visitors(), clock=lambda: next(times))
    settings = ("cifar10", "FGSM", "both", 8, None, "", 0, "comdefend-cifar10", 50, next(iter(PAIRS)))
    visitor, told = SimpleNamespace(session_hash="visitor"), []
    status, *shown = page.attack(
        str(example), *settings, request=visitor, progress=lambda share, desc: told.append(desc)
    )
    assert status == "Done in 1.5 s."
    assert set(told) == {"FGSM at work (grey-box)", "FGSM at work (adaptive)", "Through the codec"}
    view = AttackView(*shown[: len(AttackView._fields)])
    assert [outcome.scenario.threat_model for outcome in view.outcomes] == ["grey-box", "adaptive"]
    assert [outcome.scenario.planes for outcome in view.outcomes] == [6, 6]
    assert view.compared["visible"]
    assert Path(view.summary_file).read_text() == json.dumps(view.outcomes[0].summary(), indent=2)
    assert not page.visitors._watches


def test_an_upload_is_looked_at_before_it_is_attacked(tmp_path, photograph):
    page = Callbacks(Lab("cpu"), Visitors())
    status, note, preview, targets = page.inspect(str(photograph), "auto")
    assert status == READY
    assert note == (
        "600 × 400 pixels, for the classifier `imagenet`, which sees its central square, scaled to 224 × 224."
    )
    assert preview["visible"]
    assert preview["value"].size == (320, 213)
    assert len(targets["choices"]) == 1001
    status, note, preview, targets = page.inspect(
        str(photograph.with_name("frog.png")), "auto", "toilet tissue", ["an outcome"]
    )
    assert status == STALE
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
