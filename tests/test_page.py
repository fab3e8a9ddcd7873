"""The page, as a visitor meets it, in headless Chromium."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from app.images import full_size, open_picture
from app.page.text import PLANES, REPORT_TAB, STRIP
from app.places import PUBLISHED
from model import ComDefend
from model.evaluate import published
from model.evaluate.literature import beside
from model.ops import unpack_code
from tests.pages import (
    ARTIFACTS,
    DONE,
    EXAMPLES,
    attack,
    check_access,
    check_pictures,
    check_width,
    choose,
    choose_example,
    more,
    opened,
    ran,
    upload,
)

pytestmark = [pytest.mark.browser, pytest.mark.server]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 390])
def test_the_first_ten_seconds_at_every_width(browser, server, width, scheme):
    """The page opens with a finished run: this fails where that is missing."""
    page = opened(browser, server, width, scheme)
    sentence = page.locator("#verdict").inner_text()
    assert "BIM (4/255, 10 steps) led the classifier from “espresso” to" in sentence
    assert "On 400 pictures, the same attack (grey-box) leaves" in sentence
    expect(page.locator("#verdict")).to_be_in_viewport()
    check_pictures(page)
    points = page.locator("#chart polyline").first.get_attribute("points").split()
    assert len(points) == 11  # the opening is shown step by step, from the original on
    expect(page.get_by_role("img", name="Confidence in “espresso” over 10 steps")).to_be_visible()
    check_access(page)
    check_width(page)
    strip, controls = page.locator("#strip").bounding_box(), page.locator("#controls").bounding_box()
    if width == 390:  # what happened comes before what can be done
        assert strip["y"] + strip["height"] <= controls["y"]
    else:
        page.set_viewport_size({"width": 1400, "height": 900})
        page.evaluate("scrollTo(0, 0)")
        for part in ("#verdict", "#strip .says >> nth=-1", "#strip .says >> nth=0", "#run"):
            expect(page.locator(part)).to_be_in_viewport(ratio=1)
        check_width(page)
        page.set_viewport_size({"width": width, "height": 900})
    assert page.locator("#more #codec").is_hidden()  # everything else is folded
    page.evaluate("scrollTo(0, 0)")
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"page-{width}-{scheme}.png", full_page=True)
    assert page.problems == []
    page.close()


def test_an_uploaded_picture_and_all_that_is_made_of_it(browser, server, tmp_path):
    picture = tmp_path / "upload.png"
    Image.open(EXAMPLES / "frog.png").save(picture)
    page = opened(browser, server)
    since = len(page.evaluate("said"))
    upload(page, picture)
    ran(page, since)  # by itself
    expect(page.locator("#note")).to_contain_text("32 × 32 pixels, for the classifier cifar10")
    page.locator("#epsilon input[type=number]").fill("8")
    fit = page.locator("#picture img").evaluate("e => getComputedStyle(e).objectFit")
    assert fit == "contain"  # small ones are enlarged
    sentence = attack(page)
    assert "BIM (8/255, 10 steps) led the classifier from “frog” to" in sentence
    check_pictures(page)
    said = page.locator("#strip .says").nth(2).inner_text()

    for name in (*STRIP, *PLANES):
        with page.expect_download() as download:
            page.locator(f"#{name}").get_by_label("Download").click()
        assert download.value.suggested_filename == f"{name}.png"
        with Image.open(download.value.path()) as saved_picture:
            assert saved_picture.format == "PNG"  # webp, Gradio's default, would lose the perturbation

    saved = {}
    for name in ("adversarial_file", "code_file", "summary_file"):
        with page.expect_download() as download:
            page.locator(f"#{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    result = json.loads(saved["summary_file"].read_text())
    assert result["scenario"]["epsilon"] == 8
    adversarial = full_size(open_picture(saved["adversarial_file"]))
    codec = ComDefend.from_pretrained("comdefend-cifar10-purify")
    assert torch.equal(unpack_code(saved["code_file"].read_bytes()), codec.compress(adversarial)[0])

    # Put in again, the adversarial picture is read the same.
    upload(page, saved["adversarial_file"])
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile("adversarial"))
    attack(page)
    again = page.locator("#strip .says").first
    expect(again).to_contain_text(said.split("\n")[1])
    assert again.inner_text() == said
    assert page.problems == []
    page.close()


def test_what_is_cut_away_is_shown_and_the_visitor_may_choose(browser, server):
    page = opened(browser, server)
    note, preview = page.locator("#note"), page.locator("#preview")
    more(page)
    expect(note).to_contain_text(
        "600 × 400 pixels, for the classifier imagenet, which sees its central square"
    )
    expect(preview).to_be_visible()
    choose_example(page, "airplane")
    expect(note).to_contain_text("32 × 32 pixels, for the classifier cifar10.")
    expect(preview).to_be_hidden()
    page.locator("#target input").click()
    expect(page.get_by_role("option")).to_have_count(11)
    page.keyboard.press("Escape")
    choose(page, "classifier", re.compile("^imagenet: "))
    expect(note).to_contain_text("for the classifier imagenet, which sees its central square")
    choose_example(page, "rocket")
    choose(page, "classifier", re.compile("^cifar10:"))
    expect(note).to_contain_text("640 × 427 pixels, for the classifier cifar10")
    assert page.problems == []
    page.close()


def test_both_attackers_next_to_each_other(browser, server):
    page = opened(browser, server)
    choose_example(page, "frog")
    page.get_by_label("Both, next to each other").check()
    page.locator("#epsilon input[type=number]").fill("8")
    sentence = attack(page)
    assert "the picture of the attacker who knows only the classifier is read as" in sentence
    cards = page.locator("#attackers .card")
    expect(cards).to_have_count(2)
    tops = [card.bounding_box()["y"] for card in cards.all()]
    assert tops[0] == pytest.approx(tops[1], abs=2)
    for card, system in zip(cards.all(), ("the classifier", "the classifier behind ComDefend"), strict=True):
        expect(card).to_contain_text(f"BIM (8/255, 10 steps) led {system} from “frog”")
        expect(card).to_contain_text(re.compile(r"n [\d,]+ pictures, the same attack"))
    first = page.locator("#strip .says").nth(3).inner_text()
    page.locator("#detail").get_by_label("Knows both (adaptive)").check()
    expect(page.locator("#strip .says").nth(3)).not_to_have_text(first, use_inner_text=True)
    expect(page.locator("#verdict span.md")).to_have_text(sentence)  # that of both
    page.get_by_label("Knows the classifier only (grey-box)").first.check()
    attack(page)
    expect(cards).to_have_count(0)
    assert page.problems == []
    page.close()


def test_before_and_after_by_keyboard_and_mouse(browser, server):
    page = opened(browser, server)
    choose_example(page, "ship")
    attack(page)
    slider, frame = page.locator("#slider input"), page.locator("#slider .before-after")
    at = "e => getComputedStyle(e).getPropertyValue('--at')"
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert frame.evaluate(at) == "53%"
    box = slider.bounding_box()
    slider.click(position={"x": 0.2 * box["width"], "y": 5})
    assert float(frame.evaluate(at).strip("%")) == pytest.approx(20, abs=4)
    names = frame.locator("span")
    assert names.all_inner_texts() == ["Original", "Adversarial"]
    choose(page, "left", "Reconstruction minus original")
    expect(names.first).to_have_text("Reconstruction minus original")
    choose(page, "right", "Binary code")
    expect(names.nth(1)).to_have_text("Binary code")
    assert page.problems == []
    page.close()


def test_controls_that_an_attack_lacks_are_hidden(browser, server):
    page = opened(browser, server)
    more(page)
    controls = {name: page.locator(f"#{name}") for name in ("epsilon", "steps", "target", "seed")}

    def visible() -> set[str]:
        return {name for name, control in controls.items() if control.is_visible()}

    for name, wanted in {
        "FGSM": {"epsilon", "target"},
        "DeepFool": {"steps"},
        "C&W": {"steps", "target"},
        "APGD": {"epsilon", "steps", "seed"},
        "PGD": {"epsilon", "steps", "target", "seed"},
    }.items():
        choose(page, "attack", name)
        for control in controls:
            expect(controls[control]).to_be_visible(visible=control in wanted)
        assert visible() == wanted
    choose(page, "attack", "Square")
    expect(page.locator("#steps")).to_contain_text("Queries")
    assert page.problems == []
    page.close()


def test_examples_can_be_changed_to_and_fro(browser, server):
    page = opened(browser, server)
    expect(page.locator("#examples button")).to_have_count(16)
    for name in ("ship", "house cat", "airplane", "ship"):
        choose_example(page, name)
    page.get_by_label("Remove Image").click()
    expect(page.locator("#picture img")).to_have_count(0)
    choose_example(page, "ship")  # the same once more
    page.get_by_label("Knows both (adaptive)").check()
    page.locator("#epsilon input[type=number]").fill("16")
    sentence = attack(page)
    assert "the classifier behind ComDefend" in sentence
    assert "an attacker who knows the codec" in sentence
    assert page.problems == []
    page.close()


def test_a_bad_file_gets_one_sentence_and_the_page_goes_on(browser, server, tmp_path):
    page = opened(browser, server)
    fake = tmp_path / "fake.png"
    fake.write_text("hello")
    page.get_by_label("Remove Image").click()
    expect(page.locator("#status")).to_contain_text("Choose a picture: upload one")
    page.locator("#run").click()
    expect(page.get_by_test_id("toast-body").get_by_text("Choose a picture first")).to_be_visible()
    upload(page, fake)
    expect(page.locator("#note")).to_contain_text("not a picture")
    expect(page.get_by_test_id("toast-body").get_by_text("not a picture")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("not a picture")
    expect(page.locator("#strip img")).to_have_count(5)  # nothing is lost
    choose_example(page, "airplane")
    assert "airplane" in attack(page)
    page.close()


def test_a_strength_that_is_out_of_range_becomes_the_nearest(browser, server):
    page = opened(browser, server)
    choose_example(page, "ship")
    for typed, used in (("-3", "1/255"), ("1000", "32/255")):
        page.locator("#epsilon input[type=number]").fill(typed)
        assert f"({used}" in attack(page)
    page.close()


def test_a_classifier_that_cannot_be_downloaded_is_one_sentence(browser, server):
    if (Path(torch.hub.get_dir()) / "checkpoints" / "resnet50-11ad3fa6.pth").is_file():
        pytest.skip("it was downloaded on this machine")
    page = opened(browser, server)
    more(page)
    choose(page, "classifier", re.compile("^imagenet-resnet50"))  # which is enough to run
    toast = page.get_by_text("could not be downloaded")
    done = page.locator("#verdict", has_text=re.compile(DONE))
    expect(toast.or_(done).first).to_be_visible(timeout=200_000)  # a machine with a connection gets it
    choose(page, "classifier", re.compile("^Automatic"))
    attack(page)
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1600, "light"), (390, "dark")])
def test_what_was_measured_has_a_tab_of_its_own(browser, server, width, scheme):
    page = opened(browser, server, width, scheme)
    page.get_by_role("tab", name=REPORT_TAB).click()
    report = page.get_by_role("tabpanel").filter(visible=True)
    chart = report.locator(".report-chart").filter(visible=True).locator("svg")
    expect(chart.locator(".mark-line path").first).to_be_visible()
    reports = published(PUBLISHED.reports)
    for name in ("cifar10", "imagenet"):
        report.get_by_role("radio", name=re.compile(f"^{name}:")).check()
        tables = report.get_by_role("table").filter(visible=True)
        expect(tables).to_have_count(2 if beside(reports[name]) else 1)  # all else is folded
        expect(tables.first.get_by_role("row")).to_have_count(1 + len(reports[name]["defences"]))
        lines = report.locator("#legend li")
        expect(chart.locator(".mark-line path")).to_have_count(lines.count())
    line = chart.locator(".mark-line path").first
    line.scroll_into_view_if_needed()
    point = line.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    expect(page.locator("#vg-tooltip-element")).to_contain_text(re.compile(r"accuracy.*interval", re.DOTALL))
    check_access(page)
    check_width(page)
    page.screenshot(path=ARTIFACTS / f"report-{width}-{scheme}.png", full_page=True)
    assert page.problems == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1600, "dark"), (390, "light")])
def test_the_lab_explains_itself_with_pictures_that_it_made(browser, server, width, scheme):
    page = opened(browser, server, width, scheme)
    page.get_by_role("tab", name="How it works").press("Enter")
    lesson = page.get_by_role("tabpanel").filter(visible=True)
    expect(lesson.get_by_role("heading", level=2)).to_have_count(5)
    expect(lesson.locator("#lesson-attackers img")).to_have_count(4, timeout=120_000)
    expect(lesson.locator("#lesson-status")).to_be_hidden()
    expect(lesson.locator("#lesson-example img")).to_have_count(3)
    expect(lesson.locator("#lesson-noise").get_by_role("img")).to_have_count(8)
    expect(lesson.locator("#lesson-failures .bar")).to_have_count(3)
    code = lesson.locator("#lesson-codec")
    expect(code).to_contain_text("12 planes, 12 bits per pixel")
    lesson.get_by_role("radio", name=re.compile("^comdefend-photo")).check()
    expect(code).to_contain_text("bits for these 224 × 224 pixels")
    for image in lesson.locator("img").all():
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("e => e.naturalWidth >= 32 && e.alt.length > 10")
    check_access(page)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.screenshot(path=ARTIFACTS / f"learn-{width}-{scheme}.png", full_page=True)
    assert page.problems == []
    page.close()


def test_the_dial_cuts_the_code_short(browser, server):
    page = opened(browser, server)
    choose_example(page, "ship")
    more(page)
    page.locator("#kept input[type=number]").fill("50")
    page.locator("#kept input[type=number]").press("Tab")
    attack(page)
    expect(page.locator("#strip")).to_contain_text("6 bits per pixel")
    assert page.problems == []
    page.close()
