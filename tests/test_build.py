"""The page without a browser: what its parts ask of each other."""

import re
import shutil

import pytest

from app.lab import Lab
from app.page import text
from app.page.build import SCRIPT, STYLES, build_demo, launch_options
from model.entries import CodecEntry
from model.zoo import CODECS


@pytest.fixture(scope="module")
def config() -> dict:
    return build_demo(Lab("cpu")).get_config_file()


def test_events_call_only_what_the_script_has(config):
    called = {
        name for event in config["dependencies"] for name in re.findall(r"lab\.(\w+)", event["js"] or "")
    }
    has = re.findall(r"^  (?:async )?(\w+)\(", SCRIPT.read_text(), re.MULTILINE)
    called |= set(re.findall(r"lab\.(\w+)", SCRIPT.read_text()))
    assert called == set(has)
    assert called == {"prepare", "tidy", "followFocus", "copyLink", "selectOnce", "here", "save", "focus"}


def test_the_script_and_the_style_sheets_are_given_to_the_page():
    options = launch_options()
    assert options["head"] == f"<script>\n{SCRIPT.read_text()}</script>"
    assert "</script" not in SCRIPT.read_text()
    assert options["css_paths"] == STYLES
    assert all(path.is_file() for path in STYLES)


def test_the_elements_that_script_and_style_sheets_name_are_there(config):
    there = {component["props"].get("elem_id") for component in config["components"]}
    named = set(re.findall(r"getElementById\(\"([\w-]+)|#([a-z-]+) input", SCRIPT.read_text()))
    for path in STYLES:
        named |= set(re.findall(r"^#([a-z-]+)()\b", path.read_text(), re.MULTILINE))
    assert {a or b for a, b in named} <= there


def test_every_label_is_used(config):
    labels = {component["props"].get("label") for component in config["components"]}
    assert set(text.LABELS.values()) <= labels
    assert {label for label in text.API_LABELS.values() if "{" not in label} <= labels


def test_no_drawing_of_a_codec_from_elsewhere_is_on_the_page(tmp_path, monkeypatch):
    """Its weights are data alone; a drawing can hold a script."""
    ours = CODECS["comdefend-cifar10-light"]
    shutil.copytree(ours.folder, tmp_path / "codec")
    (tmp_path / "codec" / "curve.svg").write_text("<svg><script>alert('strange')</script></svg>")
    monkeypatch.setitem(CODECS, ours.name, CodecEntry(ours.name, "strange", fetched=tmp_path / "codec"))
    shown = [str(getattr(block, "value", "")) for block in build_demo(Lab("cpu")).blocks.values()]
    assert any("<svg" in value for value in shown)
    assert not any("alert('strange')" in value for value in shown)
