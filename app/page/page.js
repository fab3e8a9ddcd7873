// The page's own script. It stands in the page's head, and so is there before the page is built; what the
// page's events call, in wiring.py, are the functions of `lab`.

window.lab = {
  // Once the page is built.
  prepare() {
    document.getElementById("verdict").setAttribute("aria-live", "polite");
    lab.tidy();
    new MutationObserver(lab.tidy).observe(document.body, { childList: true, subtree: true });
  },

  // What Gradio leaves open for those who use the keyboard, or do not see.
  tidy() {
    // Wide tables scroll, which the keyboard can do only with what has the focus.
    document.querySelectorAll(".report:not([tabindex])").forEach((table) => {
      table.tabIndex = 0;
    });
    // Each choice of a group has a name of its own: the arrows would not go from one to the next.
    document.querySelectorAll(".block input[type=radio]").forEach((radio) => {
      const name = `choice-of-${radio.closest(".block").id}`;
      if (radio.name !== name) radio.name = name;
    });
    // "Thumbnail 3 of 14" says nothing.
    document.querySelectorAll("#examples button:not([title])").forEach((button) => {
      const caption = button.querySelector(".caption-label")?.textContent.trim();
      if (!caption) return;
      button.title = caption;
      button.setAttribute("aria-label", caption);
    });
  },

  // The button that was pressed is disabled: what ends its work is next.
  focus(id) {
    document.getElementById(id).focus({ preventScroll: true });
  },

  // A button that is gone leaves the keyboard at the top of the page.
  followFocus() {
    if (document.activeElement === document.body) {
      document.getElementById("run").focus({ preventScroll: true });
    }
  },

  // A file that has been made just now, as if its link had been clicked.
  save(file) {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
  },

  // The link with a query, on the clipboard if the browser lets us, and in its field in any case.
  async copyLink(query, copied, notCopied) {
    const link = `${location.origin}${location.pathname}?${query}`;
    document.getElementById("copied").setAttribute("aria-live", "polite");
    try {
      await navigator.clipboard.writeText(link);
      return [link, copied];
    } catch {
      lab.selectOnce("#link textarea", link);
      return [link, notCopied];
    }
  },

  // Select what a field holds, as soon as Gradio has made the field and filled it: a busy machine takes its time.
  selectOnce(selector, value, tries = 200) {
    const field = document.querySelector(selector);
    if (field?.value === value) field.select();
    else if (tries) setTimeout(() => lab.selectOnce(selector, value, tries - 1), 50);
  },

  // Code that calls the page where it is, not where it would be by default.
  here(code, home) {
    return code.replaceAll(home, `${location.origin}${location.pathname}`.replace(/\/$/, ""));
  },
};

// Gradio calls the end of a drag a release, but not a press of an arrow key, nor Enter in a number field. To
// the browser all of these are changes. And Gradio would send what is out of range before it corrects it.
document.addEventListener("change", ({ target }) => {
  if (!target.matches?.("#controls input[type=range], #controls input[type=number]")) return;
  const slider = target.closest(".block")?.querySelector("input[type=range]");
  if (!slider) return;
  const nearest = Math.min(Math.max(Number(target.value), Number(slider.min)), Number(slider.max));
  if (Number(target.value) !== nearest) {
    target.value = nearest;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }
  target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
});

// What is typed into the list of classes is to replace what stands there.
document.addEventListener("focusin", ({ target }) => {
  if (target.matches?.("#target input")) target.select();
});
// A lesson's address hides controls: style.css has the rules, by the names that it has.
document.documentElement.dataset.hide = (new URLSearchParams(location.search).get("hide") ?? "")
  .replaceAll(",", " ");

// The border between the two pictures of views.before_after follows its slider.
document.addEventListener("input", ({ target }) => {
  if (target.matches?.(".before-after > input")) {
    target.parentElement.style.setProperty("--at", `${target.value}%`);
  }
});
