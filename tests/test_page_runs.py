"""How the page runs: by itself, shown as it goes on, stopped, flipped, and by the keyboard alone."""

import re

import pytest
from playwright.sync_api import Page, expect

from app.page import text
from tests.pages import (
    DONE,
    attack,
    by_itself,
    check_access,
    choose,
    choose_example,
    more,
    opened,
    ran,
    said,
)

pytestmark = [pytest.mark.browser, pytest.mark.server]


def ask_for_minutes(page: Page) -> None:
    """Two hundred steps through the codec, to be begun by the button."""
    by_itself(page, False)
    page.get_by_label(text.ATTACKERS["adaptive"]).first.check()
    page.locator("#steps input[type=number]").fill("200")


def test_the_page_answers_by_itself(browser, server):
    page = opened(browser, server)
    since = len(said(page))
    choose_example(page, "frog")
    assert "“frog”" in ran(page, since)
    since = len(said(page))
    knob = page.locator("#epsilon input[type=range]")
    box = knob.bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.2, 0.3, 0.4, 0.5):  # while it is dragged, nothing runs
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)
    assert len(said(page)) == since
    page.mouse.up()
    dragged = page.locator("#epsilon input[type=number]").input_value()
    assert f"({dragged}/255, 10 steps)" in ran(page, since)
    since = len(said(page))
    choose(page, "attack", "FGSM")
    assert f"FGSM ({dragged}/255)" in ran(page, since)
    since = len(said(page))
    page.get_by_label(text.ATTACKERS["adaptive"]).first.check()
    assert "the classifier behind ComDefend" in ran(page, since)
    # The same once more is nothing new; and with the box unchecked, nothing is.
    since = len(said(page))
    page.locator("#epsilon input[type=number]").focus()
    page.keyboard.press("Tab")
    by_itself(page, False)
    choose_example(page, "ship")
    expect(page.locator("#status")).to_contain_text("What is shown is of the run before")
    assert len(said(page)) == since + 1
    assert "ship" in attack(page)
    assert page.problems == []
    page.close()


def test_an_attack_is_shown_as_it_goes_on_and_overtaken(browser, server):
    page = opened(browser, server)
    ask_for_minutes(page)
    before = page.locator("#adversarial img").get_attribute("src")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(
        re.compile(r"BIM \(adaptive\), step \d+ of 200: “"), timeout=90_000
    )
    expect(page.locator("#adversarial img")).not_to_have_attribute("src", before)
    expect(page.locator("#verdict")).to_contain_text("Under attack")
    # Two hundred steps would take minutes; another wish ends them.
    by_itself(page, True)
    since = len(said(page))
    choose_example(page, "airplane")
    page.locator("#steps input[type=number]").fill("10")
    page.locator("#steps input[type=number]").press("Tab")
    assert "airplane" in ran(page, since)
    assert page.problems == []
    page.close()


def test_a_run_is_stopped_and_started_anew(browser, server):
    page = opened(browser, server)
    ask_for_minutes(page)
    run, stop, status = (page.locator(f"#{name}") for name in ("run", "stop", "status"))
    expect(stop).to_be_hidden()
    for _ in range(2):
        run.click()
        expect(status).to_contain_text("BIM")
        expect(stop).to_be_visible()
        stop.click()
        expect(status).to_contain_text("Stopped.")  # how soon, in layers of the network, is tested of the lab
        expect(stop).to_be_hidden()
        expect(run).to_be_focused()
    # The model is free again: a run of 200 steps through the codec would take minutes.
    choose_example(page, "airplane")
    page.locator("#steps input[type=number]").fill("10")
    assert "airplane" in attack(page)
    assert page.problems == []
    page.close()


def test_a_closed_page_does_not_keep_the_model_busy(browser, server):
    page = opened(browser, server)
    ask_for_minutes(page)
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("BIM")
    page.close()
    page = opened(browser, server)
    choose_example(page, "frog")
    attack(page)  # within a minute, where the other run would have taken several
    page.close()


def test_one_click_flips_to_the_run_before_and_back(browser, server):
    page = opened(browser, server)
    first = page.locator("#verdict span.md").inner_text()
    expect(page.locator("#flip")).to_be_hidden()
    since = len(said(page))
    choose_example(page, "ship")
    second = ran(page, since)
    code = page.locator("#code img").get_attribute("src")
    for sentence in (first, second):
        page.locator("#flip").click()
        expect(page.locator("#verdict span.md")).to_have_text(sentence, use_inner_text=True)
    assert first != second
    expect(page.locator("#code img")).to_have_js_property("complete", True)
    assert page.locator("#code img").get_attribute("src") != ""
    assert code
    assert page.problems == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1600, "dark"), (390, "light")])
def test_the_whole_tour_by_keyboard_alone(browser, server, width, scheme):
    """Example, attack, strength, attacker, target by name, two pictures to compare: no mouse."""
    page = opened(browser, server, width, scheme)

    def reach(*there: str) -> None:
        """Press Tab until something in one of these has the focus."""
        for _ in range(150):
            page.keyboard.press("Tab")
            if page.evaluate("there => there.some((it) => document.activeElement.closest(it))", list(there)):
                return
        raise AssertionError(f"the keyboard does not reach {there}")

    reach("#examples [title=frog]")
    since = len(said(page))
    page.keyboard.press("Enter")
    assert "“frog”" in ran(page, since)
    reach("#attack input")
    since = len(said(page))
    page.keyboard.type("PGD")
    page.keyboard.press("Enter")
    assert "PGD (4/255, 10 steps)" in ran(page, since)
    reach("#epsilon input[type=range]")
    since = len(said(page))
    page.keyboard.press("ArrowRight")
    assert "PGD (5/255" in ran(page, since)
    reach("#threat-model input")
    since = len(said(page))
    page.keyboard.press("ArrowDown")
    assert "the classifier behind ComDefend" in ran(page, since)
    reach("#run")
    since = len(said(page))
    page.keyboard.press("Enter")
    ran(page, since)
    reach("#more button")
    page.keyboard.press("Enter")
    reach("#target input")
    since = len(said(page))
    page.keyboard.type("truc")  # suggestions as one types
    expect(page.get_by_role("option", name="truck")).to_be_visible()
    page.keyboard.press("Enter")
    assert "“truck”" in ran(page, since)
    reach("#left input")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#slider .before-after span").first).not_to_have_text("Original")
    reach("#slider input")
    page.keyboard.press("ArrowRight")
    at = "e => getComputedStyle(e).getPropertyValue('--at')"
    assert page.locator("#slider .before-after").evaluate(at) == "51%"
    check_access(page)
    assert page.problems == []
    page.close()


def test_a_target_of_a_thousand_is_found_by_name(browser, server):
    page = opened(browser, server)
    by_itself(page, False)
    more(page)
    page.locator("#target input").click()
    page.keyboard.type("tree f")
    expect(page.get_by_role("option", name="tree frog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#target input")).to_have_value(re.compile("^tree frog"))
    assert re.search(DONE, attack(page))
    expect(page.locator("#verdict")).to_contain_text("“tree frog”")
    page.close()
