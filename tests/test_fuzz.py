"""Calls and files made up by a machine, against a started server: 300 of each, or ``FUZZ`` of each.

``FUZZ=10000 python -m pytest tests/test_fuzz.py`` is the long form, by hand.
"""

import io
import json
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.server.gate import FAILED
from tests.test_server import LEAKS
from tests.test_strangers import EXAMPLES, META, Lab, lab, strangely_opened

__all__ = ["lab"]
pytestmark = [pytest.mark.server, pytest.mark.slow]

COUNT = int(os.environ.get("FUZZ", "300"))
REFUSED_SECONDS = 2 if "FUZZ" in os.environ else 10
"""How long a refusal may take; a machine that does much else at the same time needs longer."""
SEED = 0

NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([-1, 0, 1, 4, 1e308, 2**63]))
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["auto", "cifar10", "FGSM", "BIM", "grey-box", "adaptive", "frog", "/etc/passwd", "..", "<b>"]
    ),
)
PATHS = st.one_of(
    TEXTS, st.sampled_from([str(EXAMPLES / "ship.png"), str(EXAMPLES), "http://127.0.0.1:1/a.png"])
)
FILES = st.fixed_dictionaries(
    {}, optional={"path": PATHS, "url": PATHS, "meta": st.just(META), "orig_name": TEXTS, "size": NUMBERS}
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, FILES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
NAMES = st.sampled_from(["run", "defend", "classify", "scenarios", "predict", "nobody", "attack", "inspect"])
BODIES = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"data": st.one_of(VALUES, st.lists(VALUES, max_size=11))},
        optional={
            "fn_index": st.one_of(st.integers(-2, 40), VALUES),
            "session_hash": st.one_of(st.just("fuzz"), VALUES),
            "event_id": VALUES,
            "event_data": VALUES,
            "trigger_id": VALUES,
            "batched": st.booleans(),
            "simple_format": st.booleans(),
        },
    ),
)
STEPS = st.sampled_from(["run/{}", "api/{}", "call/{}", "call/v2/{}", "queue/join", "cancel", "reset"])


def few_steps(body: Any) -> Any:
    """A body in which no number asks for minutes of work: what is fuzzed is what is refused, or quick."""
    if isinstance(body, dict) and isinstance(body.get("data"), list):
        body["data"] = [min(v, 4) if isinstance(v, int | float) and v == v else v for v in body["data"]]
    return body


def checked(answer: httpx.Response, seconds: float) -> None:
    assert answer.status_code < 500, answer.text
    assert FAILED not in answer.text
    if answer.is_error:  # a result names its own files, by Gradio's protocol
        assert not LEAKS.search(answer.text), answer.text
        assert seconds < REFUSED_SECONDS


def test_made_up_calls_are_answers_or_sentences(lab: Lab):
    before = len(lab.events())

    @settings(
        max_examples=COUNT, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(STEPS, NAMES, BODIES)
    def call(step: str, name: str, body: Any) -> None:
        start = time.monotonic()
        content = json.dumps(few_steps(body)).encode("utf-8", "surrogatepass")
        answer = lab.http.post(
            f"/gradio_api/{step.format(name)}", content=content, headers={"Content-Type": "application/json"}
        )
        checked(answer, time.monotonic() - start)
        if step.startswith("call/") and answer.is_success:
            event = answer.json()["event_id"]
            told = lab.http.get(f"/gradio_api/call/{name}/{event}", timeout=120).text
            assert "event: complete" in told or not LEAKS.search(told), told
            assert FAILED not in told

    call()
    assert strangely_opened(lab, lab.events()[before:]) == []
    assert_alive(lab)


def real_files() -> list[bytes]:
    """A picture in each format that is read, and in some of their odder forms."""
    picture = Image.open(EXAMPLES / "ship.png").convert("RGB")
    exif = Image.Exif()
    exif[274] = 6
    forms: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", picture, {}),
        ("PNG", picture.quantize(16), {"transparency": 3}),
        ("PNG", picture.convert("L"), {}),
        ("JPEG", picture, {"exif": exif}),
        ("JPEG", picture, {"progressive": True}),
        ("JPEG", picture.convert("CMYK"), {}),
        ("WEBP", picture.convert("RGBA"), {"lossless": True}),
        ("WEBP", picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("GIF", picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("BMP", picture, {}),
        ("BMP", picture.quantize(4), {}),
        ("TIFF", picture, {}),
        ("TIFF", picture, {"compression": "tiff_lzw"}),
        ("TIFF", picture, {"compression": "tiff_deflate", "exif": exif}),
    ]
    found = []
    for kind, image, options in forms:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return found


def mutated(count: int) -> Iterator[bytes]:
    """Real files, damaged in a few places; the same ones each time."""
    chance = random.Random(SEED)  # noqa: S311 - the same ones are wanted each time
    originals = real_files()
    for number in range(count):
        data = bytearray(originals[number % len(originals)])
        for _ in range(chance.randint(1, 6)):
            at = (
                chance.randrange(len(data)) if chance.random() < 0.5 else chance.randrange(min(64, len(data)))
            )
            how = chance.randrange(6)
            if how == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif how == 1:
                data[at : at + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"])
            elif how == 2:
                del data[at : at + chance.randint(1, 64)]
            elif how == 3:
                data[at:at] = data[at : at + chance.randint(1, 64)]
            elif how == 4:
                data[at:at] = chance.randbytes(chance.randint(1, 16))
            elif len(data) > 100:
                del data[at + 20 :]
            if not data:
                data = bytearray(b"\0")
        yield bytes(data)


def test_damaged_files_are_pictures_or_sentences(lab: Lab):
    before = len(lab.events())
    read = refused = 0
    for data in mutated(COUNT):
        upload = lab.upload(data, "cat.png")
        start = time.monotonic()
        answer = lab.post("/gradio_api/run/classify", data=[upload, "auto"])
        checked(answer, time.monotonic() - start)
        if answer.is_success:
            read += 1
            assert re.search(r'"label":"\w+', answer.text)
        else:
            refused += 1
            assert answer.json()["error"].endswith("."), answer.text
    assert read > COUNT / 20  # or nothing but the first bytes was tried
    assert refused > COUNT / 20
    assert strangely_opened(lab, lab.events()[before:]) == []
    assert_alive(lab)


def assert_alive(lab: Lab) -> None:
    answer = lab.classify(lab.upload((EXAMPLES / "ship.png").read_bytes()))
    assert '"label":"ship"' in answer
    assert "Traceback" not in (lab.log.parent / "printed.log").read_text()
