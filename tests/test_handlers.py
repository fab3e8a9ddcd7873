import itertools
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from app.events import Progress
from app.handlers.callbacks import Callbacks
from app.handlers.errors import answered
from app.handlers.running import Running, Wish
from app.handlers.visitors import Visitors
from app.images import ImageError, open_picture
from app.kept import GONE, KeptFiles
from app.lab import Lab
from app.opening import Opening
from app.page import text
from app.scenario import Scenario, ScenarioError, Watch, kept_planes
from app.views import AttackView, RunView
from model.attacks import AttackCancelled, AttackError
from model.files import WeightsError

VISITOR = SimpleNamespace(session_hash="visitor")
PAIR = text.PAIR


def running(lab: Lab, **more) -> Running:
    return Running(lab, Visitors(300), Opening(lab), **more)


def run_views(page: Running, wish: Wish | None, done=None, outcomes=()) -> list[RunView]:
    """The state of the page, as a run changes it."""
    told = page.follow(wish, done, list(outcomes), *PAIR, request=VISITOR)
    return [RunView(*values[: len(RunView._fields)]) for values in told]


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
    ("percent", "total", "planes"),
    [
        (0, 64, None),
        (100, 64, 64),
        (50, 64, 32),
        (5, 64, 3),
        (50, 12, 6),
        (5, 12, 1),
        (1, 12, 1),
    ],
)
def test_a_share_of_the_planes_is_a_number_of_them(percent, total, planes):
    assert kept_planes(percent, total) == planes


@pytest.mark.parametrize("percent", [-1, -5, 101, float("nan"), "half", None, 10**400])
def test_an_impossible_share_of_the_planes_is_refused(percent):
    with pytest.raises((ScenarioError, AttackError), match=r"(?i)the share of planes kept"):
        kept_planes(percent, 12)


@pytest.mark.parametrize("outcomes", [None, []])
def test_a_run_that_is_no_longer_kept_is_no_mystery(outcomes):
    page = Callbacks(Visitors(300))
    assert page.compare(outcomes, "adaptive", *PAIR) == ""
    with pytest.raises(gr.Error, match="no longer kept"):
        page.show(outcomes, "adaptive", *PAIR)
    with pytest.raises(gr.Error, match="no run before"):
        running(Lab("cpu")).flip([], outcomes, *PAIR)


@pytest.fixture
def wish(photograph) -> Wish:
    return Wish(photograph.read_bytes(), "auto", "BIM", "grey-box", 4, 10, "", 0, "auto", 100)


def test_a_stopped_run_that_ends_late_does_not_shield_the_next_from_a_stop(monkeypatch, wish):
    """Gradio starts a visitor's next run while the one that he stopped is still unwinding."""
    page = running(Lab("cpu"))
    watches: list[Watch] = []

    def events(picture, scenario, watch):
        watches.append(watch)
        if len(watches) == 1:
            assert page.stop(VISITOR)[:2] == (None, text.STOPPED)
            run_views(page, replace(wish, press=2))  # the next run begins
            watches.append(Watch())
            page.visitors._watches["visitor"].add(watches[-1])  # and still goes on when the first one ends
        raise AttackCancelled

    monkeypatch.setattr(page.lab, "events", events)
    assert run_views(page, wish)[-1].status == text.STOPPED
    page.stop(VISITOR)
    for watch in (watches[0], watches[-1]):
        with pytest.raises(AttackCancelled):
            watch.check()


def test_a_change_overtakes_what_goes_on(monkeypatch, wish):
    page = running(Lab("cpu"))
    values = list(vars(replace(wish, epsilon=8)).values())[:-1]

    def events(picture, scenario, watch):
        yield Progress(0.1, "BIM at work")
        new, status = page.ask(True, wish, VISITOR, *values)
        assert (new, status) == (replace(wish, epsilon=8), text.WAITING)
        watch.check()

    monkeypatch.setattr(page.lab, "events", events)
    *_, last = run_views(page, wish)
    assert last.stop["visible"] is False
    assert last.status == gr.skip()  # the next run says what goes on


def test_what_is_a_change_and_what_is_not(wish):
    page = running(Lab("cpu"))
    values = list(vars(wish).values())[:-1]
    skip = (gr.skip(), gr.skip())
    assert page.ask(True, wish, VISITOR, *values) == skip
    assert page.ask(True, replace(wish, press=5), VISITOR, *values) == skip
    assert page.ask(True, None, VISITOR, *values) == (wish, text.WAITING)
    assert page.ask(False, None, VISITOR, *values) == (gr.skip(), text.STALE)
    assert page.ask(True, wish, VISITOR, None, *values[1:]) == (gr.skip(), text.NO_PICTURE)
    first, second = (page.press(VISITOR, *values)[0] for _ in range(2))
    assert first != second  # the button runs what is shown already
    assert replace(first, press=0) == wish
    hostile = replace(wish, seed=[{"a": []}], target={})
    assert hash(hostile) != hash(wish)  # whatever a stranger sends, Gradio can tell that it changed


def test_a_wish_keeps_nothing_of_a_file_but_which_it_is(wish, photograph, monkeypatch):
    """A stranger may have as many sessions as he likes, and name the same 20 MB in each."""
    content = photograph.read_bytes()
    assert len(pickle.dumps(wish)) < 1000 < len(content)
    assert replace(wish, image=content) == wish
    assert replace(wish, image=content + b"x") != wish
    page = running(Lab("cpu"))
    monkeypatch.setattr(page.lab, "events", lambda picture, scenario, watch: iter(()))
    kept = KeptFiles(most=1)
    monkeypatch.setattr("app.handlers.running.late", kept)
    mine = replace(wish, image=content)
    other = replace(wish, image=b"of somebody else")
    assert kept.read(other.image) == b"of somebody else"
    *_, last = run_views(page, mine)
    assert last.status == GONE


def test_nothing_runs_that_is_shown_already(monkeypatch, wish):
    page = running(Lab("cpu"))
    monkeypatch.setattr(page.lab, "events", None)
    for one, done in ((None, None), (None, wish), (wish, wish)):
        assert run_views(page, one, done) == [RunView()]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image": None}, "Choose a picture first"),
        ({"image": b"hello"}, "not a picture"),
        ({"attack": "magic"}, "(?i)unknown attack 'magic'"),
        ({"attack": "AutoAttack (FAB-T)"}, r"(?i)unknown attack 'AutoAttack \(FAB-T\)'"),
        ({"attack": "x" * 10_000}, "x …[.]$"),
        ({"planes_percent": -1}, "(?i)the share of planes kept"),
        ({"epsilon": "much"}, "must be a number"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(monkeypatch, wish, changes, sentence):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    last = run_views(running(Lab("cpu")), replace(wish, **changes))[-1]
    assert re.search(sentence, last.status)
    assert said == [last.status]
    assert last.stop["visible"] is False


@pytest.fixture
def small_lab(monkeypatch, tmp_path, classifier, codec) -> Lab:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("app.run.FRAMES_APART", -1)
    monkeypatch.setattr("app.run.WORTH_SECONDS", 0)
    monkeypatch.setattr(Lab.events, "__defaults__", (None, 1000))  # frames at any price
    lab = Lab("cpu")
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10"] = classifier, codec
    return lab


def test_a_visitor_is_told_what_happens_and_how_long_it_took(small_lab, example):
    times = itertools.count(step=1.5)
    page = running(small_lab, clock=lambda: next(times))
    wish = Wish(example.read_bytes(), "cifar10", "BIM", "both", 8, 5, "", 0, "comdefend-cifar10", 50)
    told = list(page.follow(wish, None, ["the outcomes before"], *PAIR, request=VISITOR))
    states = [RunView(*values[: len(RunView._fields)]) for values in told]
    assert states[0] == RunView(status=text.WAITING, stop=gr.update(visible=True), done=wish)
    said = [state.status for state in states]
    for knowledge in ("grey-box", "adaptive"):
        assert any(
            re.match(rf"BIM \({knowledge}\), step [1-4] of 5: “\w+” without", str(status)) for status in said
        )
    assert re.fullmatch(r"Done in \d+\.\d s\.", said[-1])
    assert states[-1].stop["visible"] is False
    assert states[-1].before == ["the outcomes before"]
    at = len(RunView._fields)
    view = AttackView(*told[-1][at : at + len(AttackView._fields)])
    assert [outcome.scenario.threat_model for outcome in view.outcomes] == ["grey-box", "adaptive"]
    assert [outcome.scenario.planes for outcome in view.outcomes] == [6, 6]
    assert view.compared["visible"]
    assert Path(view.summary_file).read_text() == json.dumps(view.outcomes[0].summary(), indent=2)
    assert not page.visitors._watches
    # One click leads to the run before, and another one back.
    flipped = page.flip(["now"], view.outcomes, *PAIR)
    assert RunView(*flipped[:at]).before == ["now"]
    assert AttackView(*flipped[at : at + len(AttackView._fields)]).outcomes == view.outcomes


def test_the_page_opens_with_a_run_that_this_code_computed(small_lab, example):
    opening = Opening(small_lab, example, Scenario(classifier="cifar10", codec="comdefend-cifar10"))
    page = Running(small_lab, Visitors(300), opening)
    at = len(RunView._fields) + 1

    def opened(done=None) -> tuple[gr.Timer, RunView, AttackView]:
        timer, *values = page.open(done, *PAIR)
        return (
            timer,
            RunView(*values[: at - 1]),
            AttackView(*values[at - 1 : at - 1 + len(AttackView._fields)]),
        )

    assert opened()[1].status == text.READY  # nobody computes it
    opening.pending = True
    timer, state, _ = opened()
    assert (timer.active, state.status) == (True, text.OPENING)
    opening.compute()
    timer, state, view = opened()
    assert (timer.active, state.status) == (False, text.OPENED)
    assert state.done == page.first_wish()
    assert view.outcomes == [opening.outcome]
    wanted = small_lab.run(open_picture(example), opening.scenario)
    assert torch.equal(opening.outcome.adversarial, wanted.adversarial)
    assert opening.outcome.predictions == wanted.predictions
    # It does not take the place of what a visitor has begun by then.
    assert opened(done=page.first_wish())[2] == AttackView()


def test_an_opening_that_fails_leaves_the_page_to_its_button(small_lab, example, caplog):
    opening = Opening(small_lab, example, Scenario(classifier="nothing"))
    opening.compute()
    page = Running(small_lab, Visitors(300), opening)
    timer, *values = page.open(None, *PAIR)
    assert (timer.active, values[0]) == (False, text.READY)
    assert any(record.exc_info for record in caplog.records)


def test_an_upload_is_looked_at_before_it_is_attacked(tmp_path, photograph):
    page = Callbacks(Visitors(300))
    note, preview, targets = page.inspect(str(photograph), "auto")
    assert note == (
        "600 × 400 pixels, for the classifier `imagenet`, which sees its central square, scaled to 224 × 224."
    )
    assert preview["visible"]
    assert preview["value"].size == (320, 213)
    assert len(targets["choices"]) == 1001
    note, preview, targets = page.inspect(str(photograph.with_name("frog.png")), "auto", "toilet tissue")
    assert targets["value"] == ""
    assert note == "32 × 32 pixels, for the classifier `cifar10`."
    assert not preview["visible"]
    assert len(targets["choices"]) == 11
    note, _, targets = page.inspect(str(photograph), "cifar10", "dog")
    assert "`cifar10`" in note
    assert "value" not in targets  # left alone, where the classifier knows it
    (tmp_path / "fake.png").write_text("hello")
    note, preview, _ = page.inspect(str(tmp_path / "fake.png"), "auto")
    assert "not a picture" in note
    assert not preview["visible"]
    assert page.inspect(None, "auto")[0] == ""
