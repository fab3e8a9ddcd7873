import gradio as gr
import pytest

from app import handlers
from app.images import ImageError
from app.lab import Prediction
from model.attacks import AttackError
from model.checkpoint import WeightsError


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
        (WeightsError("a/model.safetensors is missing"), "A/model.safetensors is missing. Repair: "),
        (ZeroDivisionError("secret detail"), "Something went wrong on our side"),
    ],
)
def test_errors_become_one_sentence(error, message, caplog):
    with pytest.raises(gr.Error) as caught:
        raising(error)()
    assert caught.value.message.startswith(message)
    assert "secret" not in caught.value.message
    # What the visitor did not cause is in the log, with its traceback.
    logged = isinstance(error, WeightsError | ZeroDivisionError)
    assert any(record.exc_info for record in caplog.records) is logged


def test_repairing_weights_is_explained():
    with pytest.raises(gr.Error, match=r"python app\.py --train"):
        raising(WeightsError("x is damaged"))()


def test_what_an_attack_lacks_is_dropped():
    fgsm = handlers.make_scenario("cifar10", "FGSM", "grey-box", 8, 10, "", 0, "comdefend-cifar10")
    assert (fgsm.epsilon, fgsm.steps, fgsm.target) == (8, None, None)
    square = handlers.make_scenario("cifar10", "Square", "grey-box", None, None, None, 0, "x")
    assert (square.epsilon, square.steps) == (8, 500)
    deepfool = handlers.make_scenario("cifar10", "DeepFool", "adaptive", 8, 10, None, 0, "x")
    assert (deepfool.epsilon, deepfool.steps) == (None, 10)


@pytest.mark.parametrize("value", [None, 1.5, float("nan"), float("inf"), 1e30])
def test_whole_numbers_only(value):
    with pytest.raises(AttackError, match="Seed must be a whole number"):
        handlers.whole(value, "Seed")


def test_labels_cannot_inject_markup():
    evil = "<script>alert(1)</script>"
    text = handlers.bars(evil, Prediction(evil, 1.0, [(evil, 1.0)])) + handlers.notes((evil, evil))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
