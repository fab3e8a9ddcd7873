"""Links to the page, and what it shows as code, in headless Chromium."""

import json
import re
import zipfile
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.page import text
from tests.pages import WORST, attack, check_access, leave_for, more, opened, visited

pytestmark = [pytest.mark.browser, pytest.mark.server]

QUERY = (
    "example=frog&attack=PGD&threat_model=adaptive&epsilon=8&steps=20&target=cat&seed=3"
    "&codec=comdefend-cifar10&planes=6"
)


def share(page: Page) -> None:
    page.locator("#share").get_by_role("button", name=text.SHARE_HEADING).click()
    expect(page.locator("#copy-link")).to_be_visible()


def check_opened(page: Page) -> None:
    more(page)
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile("frog"))
    for control, value in (("attack", "PGD"), ("target", "cat")):
        expect(page.locator(f"#{control} input")).to_have_value(value)
    for control, value in (("epsilon", "8"), ("steps", "20"), ("seed", "3"), ("kept", "50")):
        expect(page.locator(f"#{control} input[type=number]")).to_have_value(value)
    expect(page.get_by_label(text.ATTACKERS["adaptive"])).to_be_checked()
    expect(page.locator("#codec input")).to_have_value(re.compile("^comdefend-cifar10:"))
    # And it is run. What comes of it moves what stands below: a press there before would miss.
    expect(page.locator("#verdict")).to_contain_text("PGD (8/255, 20 steps)", timeout=WORST)


def test_a_link_is_copied_and_opens_the_same(browser, server):
    page = visited(browser, server, QUERY)
    check_opened(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    share(page)
    page.locator("#hidden").get_by_label(text.HIDEABLE["codec"]).check()
    page.locator("#copy-link").click()
    expect(page.locator("#copied")).to_contain_text(text.COPIED)
    link = page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#link textarea")).to_have_value(link)
    assert dict(parse_qsl(urlsplit(link).query)) == {**dict(parse_qsl(QUERY)), "hide": "codec"}
    assert link.startswith(f"{server}/?")
    check_access(page)
    leave_for(page, link)
    check_opened(page)
    expect(page.locator("#codec")).to_be_hidden()
    assert not page.problems
    page.close()


def test_where_nothing_may_be_copied_the_link_is_selected(browser, server):
    page = opened(browser, server, 390)
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    leave_for(page, f"{server}/?{QUERY}")
    check_opened(page)
    share(page)
    page.locator("#copy-link").click()
    expect(page.locator("#copied")).to_contain_text(text.NOT_COPIED)
    page.wait_for_function("getSelection().toString().includes('example=frog')")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.problems
    page.close()


def test_a_lesson_hides_controls_and_keeps_them_hidden(browser, server):
    page = visited(browser, server, "attack=FGSM&hide=steps,codec,examples")
    expect(page.locator("#attack input")).to_have_value("FGSM")
    page.locator("#attack input").click()
    page.get_by_role("option", name="PGD", exact=True).click()
    more(page)
    expect(page.locator("#seed")).to_be_visible()  # PGD has a seed, and steps, too
    for name in ("steps", "codec", "examples"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    expect(page.locator("#epsilon")).to_be_visible()
    assert not page.problems
    page.close()


def test_the_opening_text_leads_to_the_pair_that_stands_up_to_who_knows_it(browser, server):
    page = opened(browser, server)
    with page.expect_popup() as other:
        page.locator("#intro").get_by_role("link").click()
    pair = other.value
    expect(pair.locator("#verdict")).to_contain_text("PGD (8/255, 10 steps)", timeout=WORST)
    expect(pair.get_by_label(text.ATTACKERS["adaptive"])).to_be_checked()
    more(pair)
    expect(pair.locator("#classifier input")).to_have_value(re.compile("^cifar10-robust:"))
    assert not page.problems
    for each in (pair, page):
        each.close()


def test_what_is_no_choice_is_said(browser, server):
    page = visited(browser, server, "attack=<script>&epsilon=8")
    expect(page.locator("#left-out")).to_have_text(text.LEFT_OUT.format("attack"))
    expect(page.locator("#epsilon input[type=number]")).to_have_value("8")
    assert not page.problems
    page.close()


def test_the_code_calls_this_page_with_what_is_chosen(browser, server):
    page = visited(browser, server, QUERY)
    check_opened(page)
    share(page)
    code = page.locator("#code-here")
    expect(code).to_contain_text(f'Client("{server}")')
    expect(code).to_contain_text("app/examples/frog.png")
    expect(code).to_contain_text("planes=6")
    expect(code.locator("pre")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.problems
    page.close()


def test_a_run_is_taken_home_in_one_archive(browser, server, tmp_path):
    page = visited(browser, server, "example=ship&attack=FGSM&epsilon=8")
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile("ship"))
    attack(page)
    share(page)
    with page.expect_download() as download:
        page.locator("#keep").click()
    assert download.value.suggested_filename == "run.zip"
    download.value.save_as(tmp_path / "run.zip")
    archive = zipfile.ZipFile(tmp_path / "run.zip")
    assert json.loads(archive.read("result.json"))["scenario"]["attack"] == "FGSM"
    assert Image.open(archive.open("original.png")).size == (32, 32)
    assert not page.problems
    page.close()
