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
      setTimeout(() => document.querySelector("#link textarea").select(), 100); // once it is there
      return [link, notCopied];
    }
  },

  // Code that calls the page where it is, not where it would be by default.
  here(code, home) {
    return code.replaceAll(home, `${location.origin}${location.pathname}`.replace(/\/$/, ""));
  },
};

// A lesson's address hides controls: style.css has the rules, by the names that it has.
document.documentElement.dataset.hide = (new URLSearchParams(location.search).get("hide") ?? "")
  .replaceAll(",", " ");

// The border between the two pictures of views.before_after follows its slider.
document.addEventListener("input", ({ target }) => {
  if (target.matches?.(".before-after > input")) {
    target.parentElement.style.setProperty("--at", `${target.value}%`);
  }
});
