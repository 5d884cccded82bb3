// The list of prompts: searched, filtered, sorted; only the rows in sight are in the page.

const ROW = 62;
const list = {
  shown: [],
  active: -1, // place in the file of the prompt that is open
  reversed: false,
};
const viewport = h("div", { class: "viewport" });
$("list").append(viewport);

const FILTERS = {
  "": () => true,
  wrong: (row) => row.right === false,
  right: (row) => row.right === true,
  flips: (row) => row.flips > 0,
  coins: (row) => row.coins > 0,
  voids: (row) => row.voids > 0,
  circles: (row) => row.circles > 0,
  failed: (row) => row.winner === null,
};

/** Sort keys, in the order that is of most interest; a prompt without a value comes first. */
const SORTS = {
  best: (row) => row.best ?? -1,
  margin: (row) => row.margin ?? -Infinity,
  place: (row) => row.place,
  flips: (row) => -row.flips,
  coins: (row) => -row.coins,
  voids: (row) => -row.voids,
  circles: (row) => -row.circles,
  calls: (row) => -row.calls,
  tokens: (row) => -row.tokens,
};

function refreshList() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = FILTERS[$("filter").value];
  list.shown = rows.filter((row) => fits(row) && words.every((word) => row.text.includes(word)));
  const key = SORTS[$("sort").value];
  const byId = (a, b) => a.id.localeCompare(b.id, "en", { numeric: true });
  if (key) list.shown.sort((a, b) => key(a) - key(b) || a.place - b.place);
  else list.shown.sort((a, b) => byId(a, b) || a.place - b.place);
  if (list.reversed) list.shown.reverse();
  $("count").textContent =
    list.shown.length === rows.length
      ? plural(rows.length, "prompt")
      : `${list.shown.length.toLocaleString("en")} of ${plural(rows.length, "prompt")}`;
  viewport.style.height = `${list.shown.length * ROW}px`;
  $("list").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const box = $("list");
  const from = Math.max(0, Math.floor(box.scrollTop / ROW) - 5);
  const to = Math.min(list.shown.length, Math.ceil((box.scrollTop + (box.clientHeight || 600)) / ROW) + 5);
  const drawn = [];
  for (let i = from; i < to; i++) drawn.push(drawRow(list.shown[i], i));
  viewport.replaceChildren(...drawn);
  const open = list.shown.findIndex((row) => row.place === list.active);
  if (open >= from && open < to) box.setAttribute("aria-activedescendant", `row-${list.active}`);
  else box.removeAttribute("aria-activedescendant");
}

function drawRow(row, i) {
  const open = row.place === list.active;
  return h(
    "a",
    {
      class: open ? "item open" : "item",
      id: `row-${row.place}`,
      role: "option",
      "aria-selected": String(open),
      "aria-setsize": list.shown.length,
      "aria-posinset": i + 1,
      href: `#${row.place + 1}`,
      tabindex: "-1",
      style: { top: `${i * ROW}px`, height: `${ROW}px` },
    },
    h(
      "span",
      { class: "line" },
      h("span", { class: "id", dir: "auto" }, row.id),
      row.coins > 0 && h("span", { class: "doubt", title: "matches decided by coin" }, `${row.coins} coin`),
      row.voids > 0 && h("span", { class: "doubt", title: "calls without a verdict" }, `${row.voids} void`),
      row.circles > 0 && h("span", { class: "doubt", title: "contradictions" }, "↻"),
      mark(row.right),
      row.winner === null
        ? h("span", { class: "wrong" }, "no winner")
        : h("span", { class: "sure", title: "chance that the winner is the best" }, percent(row.best)),
    ),
    h("span", { class: "line faint", dir: "auto" }, row.prompt),
    h("span", { class: "line answer", dir: "auto" }, row.answer),
  );
}

/** Open the prompt so many rows further down the list than the one that is open. */
function step(by) {
  const at = list.shown.findIndex((row) => row.place === list.active);
  const next = list.shown[at < 0 ? 0 : Math.min(list.shown.length - 1, Math.max(0, at + by))];
  if (next) location.hash = `#${next.place + 1}`;
}

function scrollToActive() {
  const box = $("list");
  const at = list.shown.findIndex((row) => row.place === list.active);
  if (at < 0) return;
  const top = at * ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
}

$("list").addEventListener("scroll", drawRows, { passive: true });
new ResizeObserver(drawRows).observe($("list"));
$("search").addEventListener("input", refreshList);
for (const id of ["sort", "filter"]) $(id).addEventListener("change", refreshList);
$("direction").addEventListener("click", () => {
  list.reversed = !list.reversed;
  $("direction").textContent = list.reversed ? "↑" : "↓";
  refreshList();
});
$("list").addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor($("list").clientHeight / ROW) - 1);
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  step(by);
});
