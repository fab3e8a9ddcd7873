// The page's own script. It stands in the page's head, and so is there before the page is built; what the
// page's events call, in wiring.py, are the functions of `lab`.

window.lab = {
  // Once the page is built.
  prepare() {
    document.getElementById("verdict").setAttribute("aria-live", "polite");
    // Wide tables scroll, which the keyboard can do only with what has the focus.
    new MutationObserver(() =>
      document.querySelectorAll(".report:not([tabindex])").forEach((table) => {
        table.tabIndex = 0;
      }),
    ).observe(document.body, { childList: true, subtree: true });
    document
      .querySelector("#target input")
      .addEventListener("focus", (event) => event.target.select());
  },

  // Scroll to where a run says how far it is, unless that is in sight.
  showStatus() {
    const status = document.getElementById("status");
    const top = status.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) status.scrollIntoView();
    return [];
  },

  // The button that was pressed is disabled or gone: without this the keyboard starts anew at the top.
  focus(id) {
    document.getElementById(id).focus({ preventScroll: true });
  },
};

// The border between the two pictures of views.before_after follows its slider.
document.addEventListener("input", ({ target }) => {
  if (target.matches?.(".before-after > input")) {
    target.parentElement.style.setProperty("--at", `${target.value}%`);
  }
});
