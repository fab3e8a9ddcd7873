"""The part of the page that asks more, in headless Chromium."""

import re

import pytest
from playwright.sync_api import Page, expect

from app.page import ask_text
from tests.pages import ARTIFACTS, attack, check_access, choose_example, more, opened, ran, said

pytestmark = [pytest.mark.browser, pytest.mark.server]
PATIENCE_MS = 240_000


def asked(page: Page, question: str) -> None:
    """The part unfolded, at one of its questions."""
    heading = page.get_by_role("button", name=ask_text.HEADING)
    if not page.locator("#ask-tabs").is_visible():
        heading.click()
    page.locator("#ask-tabs").get_by_role("tab", name=ask_text.TABS[question]).click()


def start(page: Page, question: str) -> None:
    page.locator(f"#ask-{question}-start").click()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_all_defences_and_a_line_that_becomes_a_run(browser, server, width, scheme):
    page = opened(browser, server, width, scheme)
    choose_example(page, "frog")
    attack(page)
    asked(page, "defences")
    start(page, "defences")
    expect(page.locator("#ask-defences-status")).to_have_text(ask_text.DONE, timeout=PATIENCE_MS)
    rows = page.locator("#ask-defences tbody tr")
    assert rows.count() >= 10
    page.get_by_role("button", name="median-3").press("Enter")
    strip = page.locator("#ask-row figure")
    expect(strip).to_have_count(3)
    expect(strip.last).to_contain_text("Through median-3")
    check_access(page)
    page.locator("#ask").screenshot(path=ARTIFACTS / f"defences-{width}-{scheme}.png")
    more(page)
    since = len(said(page))
    page.get_by_role("button", name="comdefend-cifar10:6").click()
    expect(strip.last).to_contain_text("Through comdefend-cifar10:6")
    expect(page.locator("#kept input[type=number]")).to_have_value("50")
    ran(page, since)
    asked(page, "planes")
    expect(page.locator("#ask-planes .plane")).to_have_count(6)  # the run is that of the line
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert page.problems == []
    page.close()


def test_the_planes_of_a_photograph_by_keyboard(browser, server):
    page = opened(browser, server)
    more(page)
    page.locator("#kept input[type=number]").fill("100")
    page.locator("#kept input[type=number]").press("Tab")
    attack(page)
    asked(page, "planes")
    tiles, large = page.locator("#ask-planes .plane"), page.locator("#ask-planes .large figcaption")
    expect(tiles).to_have_count(64)
    first, second = tiles.nth(0), tiles.nth(1)
    page.locator("#ask-planes [data-switch]").first.focus()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(second).to_be_focused()
    expect(large).to_contain_text("Plane 2:")
    page.keyboard.press("Space")
    expect(second).to_have_attribute("aria-pressed", "false")
    said = page.locator("#ask-without")
    expect(said).to_contain_text("Without plane 2,", timeout=PATIENCE_MS)
    expect(said.locator("img")).to_have_count(2)
    expect(second).to_be_focused()
    page.keyboard.press("Space")
    expect(said).to_contain_text("All planes are on", timeout=PATIENCE_MS)
    page.keyboard.press("Tab")  # out of the group, past its other tiles
    expect(first).not_to_be_focused()
    assert page.evaluate("document.activeElement.closest('.plane')") is None
    tiles.nth(5).hover()
    expect(large).to_contain_text("Plane 6:")
    check_access(page)
    assert page.problems == []
    page.close()


@pytest.mark.parametrize("question", ["breaking", "fifty"])
def test_a_question_is_stopped(browser, server, question):
    page = opened(browser, server)
    choose_example(page, "frog")
    asked(page, question)
    begin, stop = (page.locator(f"#ask-{question}-{part}") for part in ("start", "stop"))
    status = page.locator(f"#ask-{question}-status")
    start(page, question)
    expect(status.locator("progress")).to_be_visible(timeout=PATIENCE_MS)
    expect(stop).to_be_focused()
    shown = {"breaking": "#ask-strengths li .track", "fifty": "#ask-fifty svg circle"}[question]
    expect(page.locator(shown).first).to_be_visible(timeout=PATIENCE_MS)
    stop.press("Enter")
    expect(status).to_have_text(ask_text.STOPPED)
    expect(stop).to_be_hidden()
    expect(begin).to_be_enabled()
    expect(begin).to_be_focused()
    check_access(page)
    page.locator("#ask").screenshot(path=ARTIFACTS / f"{question}.png")
    assert re.search("frog|test pictures", page.locator("#ask").inner_text())
    assert page.problems == []
    page.close()
