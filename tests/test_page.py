"""The page, as a visitor meets it, in headless Chromium."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ARTIFACTS = Path(__file__).resolve().parent.parent / "test-artifacts"
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DONE = "Through ComDefend|reconstruction is read as"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing")
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(params=[1440, 390], ids=["desktop", "phone"])
def width(request) -> int:
    return request.param


def opened(browser: Browser, server: str, width: int = 1440) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.set_default_timeout(30_000)
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else problems.append(r.url)
    )
    page.problems = problems
    page.goto(server)
    page.get_by_role("button", name="Attack it").wait_for()
    for picture in page.locator("#examples img").all():  # the page is alive once these are there
        expect(picture).to_have_js_property("complete", True)
    return page


def attack(page: Page) -> str:
    page.get_by_role("button", name="Attack it").click()
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(re.compile(DONE), timeout=60_000)
    return verdict.inner_text()


def test_upload_run_and_read_the_verdict(browser, server, width, tmp_path):
    picture = tmp_path / "upload.png"
    Image.open(Path(__file__).resolve().parent.parent / "app/examples/frog.png").save(picture)
    page = opened(browser, server, width)
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").first.set_input_files(picture)
    expect(page.locator("#picture img")).to_be_visible()
    sentence = attack(page)
    assert "PGD (8/255, 10 steps) led the classifier from “frog” to" in sentence
    strip = page.locator("#strip")
    expect(strip.locator("img")).to_have_count(5)
    for image in strip.locator("img").all():
        assert image.evaluate("e => e.complete && e.naturalWidth >= 32")
        assert image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    expect(strip.locator(".says")).to_have_count(4)
    expect(strip.locator(".says").first.locator(".bar")).to_have_count(5)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"page-{width}.png", full_page=True)
    assert page.problems == []
    page.close()


def test_controls_that_an_attack_lacks_are_hidden(browser, server):
    page = opened(browser, server)
    controls = {name: page.locator(f"#{name}") for name in ("epsilon", "steps", "target", "seed")}

    def choose(name: str) -> None:
        page.locator("#attack input").click()
        page.get_by_role("option", name=name, exact=True).click()

    def visible() -> set[str]:
        return {name for name, control in controls.items() if control.is_visible()}

    for name, wanted in {
        "FGSM": {"epsilon", "target"},
        "DeepFool": {"steps"},
        "C&W": {"steps", "target"},
        "APGD": {"epsilon", "steps", "seed"},
        "PGD": {"epsilon", "steps", "target", "seed"},
    }.items():
        choose(name)
        for control in controls:
            expect(controls[control]).to_be_visible(visible=control in wanted)
        assert visible() == wanted
    choose("Square")
    expect(page.locator("#steps")).to_contain_text("Queries")
    assert page.problems == []
    page.close()


def test_an_example_and_an_adaptive_attacker(browser, server):
    page = opened(browser, server)
    expect(page.locator("#examples button")).to_have_count(10)
    for name in ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"):
        expect(page.locator("#examples")).to_contain_text(name)
    for index, name in ((8, "ship"), (0, "airplane"), (8, "ship")):
        page.locator("#examples button").nth(index).click()
        expect(page.locator("#picture img")).to_have_attribute("src", re.compile(name), timeout=20_000)
    page.get_by_label("Remove Image").click()
    expect(page.locator("#picture img")).to_have_count(0)
    page.locator("#examples button").nth(8).click()  # the same once more
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile("ship"), timeout=20_000)
    page.get_by_label("Adaptive").check()
    sentence = attack(page)
    assert "the classifier behind ComDefend" in sentence
    assert page.problems == []
    page.close()


def test_a_bad_file_gets_one_sentence_and_the_page_goes_on(browser, server, tmp_path):
    page = opened(browser, server)
    fake = tmp_path / "fake.png"
    fake.write_text("hello")
    page.get_by_label("Remove Image").click()
    page.get_by_role("button", name="Attack it").click()
    expect(page.get_by_text("Choose a picture first")).to_be_visible()
    page.locator("#picture input[type=file]").first.set_input_files(fake)
    page.get_by_role("button", name="Attack it").click()
    expect(page.get_by_text("not a picture")).to_be_visible()
    page.locator("#examples button").nth(0).click()
    assert "airplane" in attack(page)
    page.close()
