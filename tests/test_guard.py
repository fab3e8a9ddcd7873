"""What stands before each endpoint of the page, without a server."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.blocks import BlockFunction

from app.handlers.errors import CLOSING, Refusal
from app.lab import Lab
from app.page.build import build_demo
from app.page.guard import GuardedBlocks
from app.server.gate import REFUSED
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
