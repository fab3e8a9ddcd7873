// What is pressed in a table of defences or among the tiles of planes goes to the server as a `select`.
// `element`, `trigger` and `watch` are Gradio's, see `js_on_load` of gr.HTML.

const off = new Set();
let run = null;

const planes = () => element.querySelector(".ask-planes");
const tiles = (within = element) => [...within.querySelectorAll(".plane")];

// Show a plane large, and say of it what its tile says.
const show = (tile) => {
  const large = planes().querySelector(".large");
  large.style.setProperty("--at", tile.style.getPropertyValue("--at"));
  large.querySelector("figcaption").textContent = tile.getAttribute("aria-label");
};

const press = (chosen, on) => {
  for (const tile of chosen) {
    tile.setAttribute("aria-pressed", String(on));
    if (on) off.delete(Number(tile.dataset.plane));
    else off.add(Number(tile.dataset.plane));
  }
  trigger("select", { off: [...off] });
};

// One tile of a group is reached by Tab, the others from there by the arrow keys.
const ready = () => {
  if (!planes()) return;
  if (planes().dataset.run !== run) off.clear();
  run = planes().dataset.run;
  for (const group of planes().querySelectorAll("[role=group]"))
    if (group.firstElementChild) group.firstElementChild.tabIndex = 0;
  for (const tile of tiles())
    if (off.has(Number(tile.dataset.plane))) tile.setAttribute("aria-pressed", "false");
  show(tiles()[0]);
};

const moved = (tile, key) => {
  const all = tiles(tile.parentElement);
  const at = all.indexOf(tile);
  const columns = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns,
               Home: 0, End: all.length - 1 }[key];
  return all[to];
};

element.addEventListener("click", ({ target }) => {
  const row = target.closest("tr")?.querySelector("[data-row]");
  const tile = target.closest(".plane");
  if (row) trigger("select", { row: Number(row.dataset.row) });
  else if (tile) press([tile], tile.getAttribute("aria-pressed") !== "true");
  else if (target.closest("[data-on]")) press(tiles(), true);
  else if (target.closest("[data-switch]")) {
    const group = tiles(target.closest("details"));
    press(group, group.some((it) => it.getAttribute("aria-pressed") !== "true"));
  }
});

element.addEventListener("keydown", (event) => {
  const tile = event.target.closest(".plane");
  const next = tile && moved(tile, event.key);
  if (!next) return;
  event.preventDefault();
  tile.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

for (const kind of ["focusin", "mouseover"])
  element.addEventListener(kind, ({ target }) => {
    const tile = target.closest(".plane");
    if (tile) show(tile);
  });

watch("value", ready);
ready();
