"""What stands before each endpoint of the page, without a server."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import BlockFunction
from gradio.data_classes import PredictBodyInternal
from gradio.state_holder import SessionState

from app.handlers.errors import CLOSING, Refusal
from app.lab import Lab
from app.page.build import build_demo, launch_options
from app.page.guard import ENOUGH_ASKED, MOST_EVENTS, GuardedBlocks
from app.server.duty import Duty
from app.server.runs import Journal
from app.server.scope import REFUSED
from app.settings import limits
from tests.conftest import finished


@pytest.fixture
def demo() -> GuardedBlocks:
    return build_demo(Lab("cpu"))


def endpoint(demo: GuardedBlocks, name: str, inputs: int) -> BlockFunction:
    (found,) = [fn for fn in demo.fns.values() if fn.api_name == name and len(fn.inputs) == inputs]
    return found


def refusal(demo: GuardedBlocks, fn: BlockFunction, values: list[Any]) -> str:
    """What is said to a call, of which it is noted that it was the caller's mistake."""
    http = SimpleNamespace(scope={"type": "http"})
    with pytest.raises(Refusal) as caught:
        finished(demo.process_api(fn, values, request=SimpleNamespace(request=http)))
    assert http.scope[REFUSED]
    return caught.value.message


def test_too_few_values_are_a_sentence_without_objects(demo):
    said = refusal(demo, endpoint(demo, "classify", 2), [None])
    assert said == "classify takes 2 values, and got 1; /gradio_api/info says what it takes."


def test_what_a_line_of_the_page_is_not_ready_for_is_a_sentence(demo, caplog):
    (fn,) = [
        fn for fn in demo.fns.values()
        if not fn.queue and len(fn.inputs) == 1 and fn.inputs[0].elem_id == "attack"
    ]  # fmt: skip
    for value in (None, "magic", 7, [], {}):
        assert "is not of the kind that" in refusal(demo, fn, [value])
    assert not any(record.exc_info for record in caplog.records)


def test_while_it_closes_nothing_is_begun(demo, caplog):
    caplog.set_level(logging.INFO, "app.runs")
    demo.duty.close()
    assert refusal(demo, endpoint(demo, "classify", 2), [None, "auto"]) == CLOSING
    assert caplog.messages == ['{"event": "refused", "endpoint": "classify"}']


def test_what_is_left_as_it_is_is_not_made_anew(monkeypatch):
    """And what changes comes to the same as with Gradio's own way."""
    made = []
    with GuardedBlocks(duty=Duty(), journal=Journal()) as demo:
        outputs = [gr.Textbox(), gr.State(1), gr.Textbox(), gr.Number(), gr.State(2)]
        gr.Button().click(lambda: None, None, outputs)
    (fn,) = demo.fns.values()
    values = [gr.skip(), "new", gr.update(visible=False), 7, gr.skip()]
    own, plain = SessionState(demo), SessionState(demo)
    initialise = gr.Textbox.__init__
    monkeypatch.setattr(
        gr.Textbox, "__init__", lambda self, *a, **k: made.append(self) or initialise(self, *a, **k)
    )
    found = finished(demo.postprocess_data(fn, values, own))
    assert len(made) == 1
    assert found == finished(gr.Blocks.postprocess_data(demo, fn, values, plain))
    assert found == [gr.skip(), None, {"visible": False, "__type__": "update"}, 7, None]
    assert own[outputs[1]._id] == plain[outputs[1]._id] == "new"
    assert own[outputs[4]._id] == 2
    left = finished(demo.postprocess_data(fn, [gr.skip()] * 5, own))
    assert left == [gr.skip(), None, gr.skip(), gr.skip(), None]
    one = finished(demo.postprocess_data(fn, ["text", *[gr.skip()] * 4], own))
    assert one == ["text", None, gr.skip(), gr.skip(), None]


def body(fn: BlockFunction, values: list[Any], **more: Any) -> PredictBodyInternal:
    return PredictBodyInternal(fn_index=fn._id, data=values, request=None, **more)


def pushed(demo: GuardedBlocks, sent: PredictBodyInternal) -> tuple[bool, Any, str]:
    return finished(demo._queue.push(sent, None, None))


def test_no_session_keeps_what_is_far_too_much(demo):
    fn = endpoint(demo, "classify", 2)
    state = SessionState(demo)
    for value in ("A" * 10**6, [[]] * 10**5, {"a": ["A" * 10**6]}):
        with pytest.raises(Refusal, match="far more than its fields can take"):
            finished(demo.preprocess_data(fn, [None, value], state))
        assert "value" not in state.config_values[fn.inputs[1]._id]["props"] or (
            state.config_values[fn.inputs[1]._id]["props"]["value"] != value
        )


def test_what_waits_for_its_turn_is_small(demo, tmp_path, monkeypatch):
    """Gradio would keep the whole body, for each of as many calls as a stranger likes to send."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    demo.queue()
    fn = endpoint(demo, "classify", 2)
    sent = body(fn, ["data:image/png;base64," + "A" * 10**6, "auto"], event_data={"index": 3})
    assert pushed(demo, sent)[0]
    assert Path(sent.data[0]["path"]).is_relative_to(tmp_path)
    assert (sent.data[1], sent.event_data) == ("auto", {"index": 3})
    for values, event in (([None, "A" * 10**6], None), ([None, "auto"], {"value": "A" * 10**6})):
        sent = body(fn, values, event_data=event)
        assert pushed(demo, sent)[0]
        assert len(repr((sent.data, sent.event_data))) < 500
        with pytest.raises(Refusal, match="far more than its fields can take"):  # when its turn comes
            finished(demo.preprocess_data(fn, sent.data, SessionState(demo)))


def test_more_questions_than_may_wait_are_refused_and_runs_are_not(demo):
    demo.queue()
    asked = endpoint(demo, "until_it_breaks", 8)
    values = [None, "auto", "BIM", 10, None, 0, "auto", 0]
    answers = [pushed(demo, body(asked, values, session_hash=f"s{i}")) for i in range(10)]
    assert [accepted for accepted, _, _ in answers] == [True] * 8 + [False] * 2
    assert answers[-1][1:] == (ENOUGH_ASKED, "queue_full")
    assert pushed(demo, body(endpoint(demo, "classify", 2), [None, "auto"]))[0]


def test_no_queue_takes_any_number(demo):
    demo.queue()
    assert demo._queue.max_size == MOST_EVENTS


def test_a_page_keeps_few_sessions():
    options = launch_options()
    assert options["state_session_capacity"] == limits.sessions < 1000
    holding = limits.waiting_runs + limits.decode_at_once + limits.decode_waiting
    assert options["max_threads"] > holding  # whoever waits has one, and the page wants one, too
