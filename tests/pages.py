"""How a visitor uses the page, in headless Chromium."""

import re
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Browser, Page, Request, expect

from app.page import text
from tests.conftest import ROOT

EXAMPLES = ROOT / "app" / "examples"
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
ARTIFACTS = ROOT / "test-artifacts"
DONE = "Through ComDefend|reconstruction is read as"
LISTEN = r"""() => {
  const status = document.getElementById("status");
  const words = () => status.innerText.trim().split("\n").at(-1);  // above it stands how long it has taken
  window.said = [words()];
  new MutationObserver(() => {
    const now = words();
    if (now && said.at(-1) !== now) said.push(now);
  }).observe(status, { childList: true, subtree: true, characterData: true });
}"""
"""Write down all that the status says."""
PATIENCE, WORST = 60_000, 120_000
"""Milliseconds that anything, and that a run may take on a machine that has other things to do."""


def visited(browser: Browser, server: str, query: str = "", width: int = 1440, scheme: str = "light") -> Page:
    """The page at a link's query. It notes what it may not do: errors, and what it asks of other servers."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else problems.append(r.url)
    )
    page.problems = problems
    asked: set[Request] = set()
    page.on("request", lambda r: asked.add(r) if "/queue/" in r.url else None)
    page.on("requestfinished", lambda r: asked.discard(r))
    page.on("requestfailed", lambda r: asked.discard(r))
    page.asked = asked
    page.goto(f"{server}/?{query}" if query else server)
    page.get_by_role("button", name=text.ATTACK_BUTTON).wait_for()
    page.evaluate(LISTEN)
    return page


def loaded(browser: Browser, server: str, width: int = 1440, scheme: str = "light") -> Page:
    """The page as soon as it is alive."""
    page = visited(browser, server, "", width, scheme)
    for picture in page.locator("#examples img").all():  # the page is alive once these are there
        expect(picture).to_have_js_property("complete", True)
    return page


def opened(browser: Browser, server: str, width: int = 1440, scheme: str = "light") -> Page:
    """The page with its opening run."""
    page = loaded(browser, server, width, scheme)
    expect(page.locator("#status")).to_have_text(text.OPENED, timeout=WORST)
    return page


def leave_for(page: Page, address: str) -> None:
    """Open an address once nothing is under way for half a second: to Gradio a cut is an error."""
    quiet = 0
    for _ in range(PATIENCE // 50):
        quiet = 0 if page.asked else quiet + 1
        if quiet == 10:
            break
        page.wait_for_timeout(50)
    page.goto(address)


def said(page: Page) -> list[str]:
    """All that the status has said since the page was opened."""
    return page.evaluate("said")


def ran(page: Page, since: int) -> str:
    """The verdict of a run that began after the status had said so many things."""
    begun = text.WAITING.split(" …")[0]
    page.wait_for_function(
        """([since, begun]) => {
          const at = said.findIndex((now, place) => place >= since && now.startsWith(begun));
          return at >= 0 && said.slice(at).some((now) => now.startsWith("Done in"));
        }""",
        arg=[since, begun],
        timeout=WORST,
    )
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(re.compile(DONE))
    return verdict.locator("span.md").inner_text()  # beside it Gradio counts the seconds, hidden


def attack(page: Page) -> str:
    """Press the button and wait for the verdict; before, for what the controls have set going by themselves.

    A status that says the same once more is not noticed: one run could not be told from the other.
    """
    page.wait_for_timeout(300)
    page.wait_for_function(r"!/( …|%\.)$/.test(said.at(-1) ?? '')", timeout=WORST)
    since = len(said(page))
    page.locator("#run").click()
    return ran(page, since)


def more(page: Page) -> None:
    """Unfold what is folded."""
    fold = page.locator("#more > button")
    if page.locator("#alone").is_hidden():
        fold.click()
    expect(page.locator("#alone")).to_be_visible()


def by_itself(page: Page, yes: bool) -> None:
    """Whether a change is enough to run."""
    more(page)
    page.get_by_label(text.LABELS["alone"]).set_checked(yes)


def choose_example(page: Page, name: str) -> None:
    page.locator("#examples button").filter(has=page.get_by_text(name, exact=True)).click()
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(name.replace(" ", "-")))


def choose(page: Page, control: str, name: str | re.Pattern[str]) -> None:
    page.locator(f"#{control} input").click()
    # The list of another control may not have gone yet.
    page.get_by_role("option", name=name, exact=isinstance(name, str)).last.click()


def upload(page: Page, path: Path) -> None:
    remove = page.get_by_label("Remove Image")
    if remove.is_visible():
        remove.click()
    page.locator("#picture input[type=file]").first.set_input_files(path)


def check_pictures(page: Page) -> None:
    strip = page.locator("#strip")
    expect(strip.locator("img")).to_have_count(5)
    for image in strip.locator("img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("e => e.naturalWidth >= 32")
        assert image.get_attribute("alt")
        enlarged = image.evaluate("e => e.naturalWidth < 64")
        hard = image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
        assert hard or not enlarged
    expect(strip.locator(".says")).to_have_count(4)
    expect(strip.locator(".says").first.locator(".bar")).to_have_count(5)
    for image in page.locator("#planes img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)


def check_access(page: Page) -> None:
    """No serious finding of axe-core, once what fades in or out has done so."""
    page.evaluate(
        """Promise.all(document.getAnimations().filter(
             it => it.effect.getComputedTiming().endTime < Infinity).map(it => it.finished.catch(() => 0)))"""
    )
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document)")["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, serious


def check_width(page: Page) -> None:
    """Nothing is wider than the window."""
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
