"""What stands before each endpoint of the page, without a server."""

import logging
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import BlockFunction
from gradio.state_holder import SessionState

from app.handlers.errors import CLOSING, Refusal
from app.lab import Lab
from app.page.build import build_demo
from app.page.guard import GuardedBlocks
from app.server.duty import Duty
from app.server.runs import Journal
from app.server.scope import REFUSED
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
