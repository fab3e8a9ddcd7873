"""The endpoints as tools, through the ``mcp`` package's own client against a started server."""

import base64
import importlib.util
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

from app.lab import Lab
from app.page import tools
from app.page.build import build_demo, launch_options
from app.page.tools import Tools
from app.uploads import UploadError
from model.attacks import ATTACKS
from model.ops import unpack_code
from tests.conftest import finished


def talk(address: str, conversation: Callable[[ClientSession], Awaitable[Any]], query: str = "") -> Any:
    """What a conversation with the lab's tools comes to."""

    async def connected() -> Any:
        async with (
            streamable_http_client(f"{address}/gradio_api/mcp/{query}") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await conversation(session)

    return finished(connected())


def call(address: str, tool: str, progress: Any = None, **arguments: Any) -> CallToolResult:
    return talk(address, lambda session: session.call_tool(tool, arguments, progress_callback=progress))


def data_url(path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def pictures(result: CallToolResult) -> list[np.ndarray]:
    found = [part for part in result.content if isinstance(part, ImageContent)]
    assert {part.mimeType for part in found} <= {"image/png"}
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(part.data)))) for part in found]


def texts(result: CallToolResult) -> list[str]:
    return [part.text for part in result.content if isinstance(part, TextContent)]


@pytest.mark.server
def test_the_tools_are_the_public_endpoints_and_say_what_they_take(server):
    listed = {tool.name: tool for tool in talk(server, ClientSession.list_tools).tools}
    assert listed.keys() == {"run", "defend", "classify", "scenarios"}
    for tool in listed.values():
        assert len(tool.description) > 40
        assert "upload_file_to_gradio" not in tool.description
        for field in tool.inputSchema["properties"].values():
            assert field["description"]
    takes = listed["run"].inputSchema
    assert takes["required"] == ["image"]
    assert takes["properties"]["image"]["type"] == "string"
    assert "base64" in takes["properties"]["image"]["description"]
    assert "format" not in takes["properties"]["image"]
    assert takes["properties"]["attack"]["enum"] == list(ATTACKS)
    assert takes["properties"]["steps"]["type"] == ["number", "null"]
    assert {name: field["default"] for name, field in takes["properties"].items() if name != "image"} == {
        "classifier": "auto", "attack": "BIM", "threat_model": "grey-box", "epsilon": 4, "steps": None,
        "target": None, "seed": 0, "codec": "auto", "planes": None,
    }  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize("watched", [False, True])
def test_a_run_of_a_picture_in_base64_gives_pictures_code_and_json(server, example, watched):
    told = []

    async def progress(*news: Any) -> None:
        told.append(news)

    result = call(
        server,
        "run",
        progress if watched else None,
        image=data_url(example),
        attack="FGSM",
        epsilon=8,
        steps=None,
        target=None,
        planes=None,
    )
    assert not result.isError, texts(result)
    original, adversarial, reconstruction = pictures(result)
    assert np.array_equal(original, np.asarray(Image.open(example)))
    assert np.abs(adversarial.astype(int) - original).max() == 8
    assert reconstruction.shape == original.shape
    found = json.loads(texts(result)[-1])
    assert found["scenario"]["attack"] == "FGSM"
    assert found["predictions"]["original"]["label"] == "ship"
    assert found["metrics"]["linf_255"] == 8
    assert bool(told) is watched


@pytest.mark.server
def test_what_a_tool_answered_can_be_given_to_the_next(server, example):
    import httpx

    ran = call(server, "run", image=data_url(example), attack="FGSM", epsilon=8)
    *addresses, code, summary = texts(ran)
    adversarial = addresses[1].removeprefix("Image URL: ")
    said = json.loads(texts(call(server, "classify", image=adversarial))[0])
    found = json.loads(summary)["predictions"]["adversarial"]
    assert said == {"classifier": "cifar10", **found}
    assert unpack_code(httpx.get(code).content).shape == (12, 32, 32)


@pytest.mark.server
def test_defend_and_scenarios(server, example):
    result = call(server, "defend", image=data_url(example), planes=6)
    (reconstruction,) = pictures(result)
    assert reconstruction.shape == (32, 32, 3)
    assert json.loads(texts(call(server, "scenarios"))[0])["attacks"].keys() == ATTACKS.keys()


@pytest.mark.server
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attack": "magic"}, "'magic' is not one of"),
        ({"target": "unicorn"}, "no class 'unicorn'"),
        ({"epsilon": 1000}, "needs an epsilon from 1 to 64"),
        ({"steps": 1.5}, "must be a whole number"),
        ({"image": "data:image/png;base64,aGVsbG8="}, "not a picture"),
        ({"image": ""}, "Only pictures that were uploaded here"),
        ({"image": "data:text/plain,hello"}, "Only pictures that were uploaded here"),
    ],
)
def test_mistakes_get_one_sentence(server, example, wrong, message):
    result = call(server, "run", **{"image": data_url(example), **wrong})
    assert result.isError
    assert message in texts(result)[0]
    assert "Traceback" not in texts(result)[0]


@pytest.fixture(scope="module")
def own() -> Tools:
    """The tools of a page that is not served, as Gradio sets them up."""
    demo = build_demo(Lab("cpu"))
    demo.mcp_server_obj = object()
    assert isinstance(demo.mcp_server_obj, Tools)
    return demo.mcp_server_obj


def file(path: object) -> dict[str, Any]:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("name", ["image", "classifier", "target", "anything"])
def test_the_client_in_the_server_is_handed_no_file_of_the_server(own, tmp_path, name):
    """The schema keeps these out today; Gradio's client would upload whatever is handed to it."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (48, 48)).save(secret)
    _, positions = own.get_input_schema("run")
    assert positions == [["image"]]
    deep = [[file(secret)], {"value": file(secret)}]
    for sent in (file(secret), {"path": str(secret)}, {"url": "http://127.0.0.1/"}, *deep):
        with pytest.raises(UploadError):
            own.convert_strings_to_filedata({name: sent}, positions)


def test_what_is_left_of_a_picture_is_no_file_to_that_client(own, example):
    from gradio_client.utils import is_file_obj_with_meta

    _, positions = own.get_input_schema("run")
    for sent in (data_url(example), str(example), f"http://host/at/gradio_api/file={example}"):
        admitted = own.convert_strings_to_filedata({"image": sent, "epsilon": 4}, positions)
        assert admitted.keys() == {"image", "epsilon"}
        assert admitted["image"].keys() == {"path"}
        assert not is_file_obj_with_meta(admitted["image"])


def test_too_much_base64_is_refused_before_it_is_written(own, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with pytest.raises(UploadError, match="limit is 20 MB"):
        own.convert_strings_to_filedata(
            {"image": "data:image/png;base64," + "A" * (28 * 1024**2)}, [["image"]]
        )
    assert not any(tmp_path.iterdir())


def test_it_asks_nobody_before_it_knows_its_own_address(own):
    with pytest.raises(RuntimeError, match="has just been started"):
        own._get_or_create_client()


def test_there_are_tools_where_mcp_is_installed_unless_they_are_switched_off(monkeypatch):
    assert launch_options()["mcp_server"]
    monkeypatch.setenv("GRADIO_MCP_SERVER", "False")
    assert not tools.wanted()
    monkeypatch.delenv("GRADIO_MCP_SERVER")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not tools.wanted()


def test_a_long_text_that_looks_like_an_address_is_refused_at_once(own):
    """What looks for an address in it must not go back and forth: all others would wait, for hours."""
    for sent in (
        "http://a/" + "gradio_api/file=/" * 60_000 + " ",
        "http://" + "a" * 10**6,
        "http://a/" * 10**5,
    ):
        with pytest.raises(UploadError):
            own.convert_strings_to_filedata({"image": sent}, [["image"]])
