// The board: a list of tournaments that is asked for again and again, and the one that is open.

const PAUSE = 700;
const memory = {
  get: () => { try { return sessionStorage.getItem("bon-key"); } catch { return null; } },
  set: (key) => { try { sessionStorage.setItem("bon-key", key); } catch { /* then it is asked for again */ } },
};
let key = memory.get();
let shown = "";

async function ask(path) {
  const answer = await fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {}, cache: "no-store" });
  if (answer.status === 401) throw new Error("key");
  return answer.ok ? answer.json() : null;
}

const chosen = () => Number(location.hash.slice(1));
const running = (row) => row.state === "sampling" || row.state === "judging";

const lines = new Map();

/** One line a tournament; a line stays the same element, so that focus and clicks survive an update. */
function drawList(rows) {
  const numbers = new Set(rows.map((row) => row.number));
  for (const [number, line] of lines) {
    if (numbers.has(number)) continue;
    line.remove();
    lines.delete(number);
  }
  rows.forEach((row, place) => {
    if (!lines.has(row.number)) lines.set(row.number, h("a", { href: `#${row.number}`, id: `row-${row.number}` }));
    const line = lines.get(row.number);
    line.className = row.number === chosen() ? "item open" : "item";
    line.replaceChildren(
      h("span", { class: "line" }, h("span", { class: "id", dir: "auto" }, row.prompt), h("span", { class: running(row) ? "live" : "faint" }, row.state)),
      h("span", { class: "line answer", dir: "auto" }, row.answer),
      h("span", { class: "line faint" }, `${row.technique} · ${plural(row.comparisons, "comparison")} · ${row.seconds.toFixed(1)} s`),
    );
    const list = $("list");
    if (list.children[place] !== line) list.insertBefore(line, list.children[place] || null);
  });
}

function drawRunning(detail) {
  const { result } = detail;
  const pairs = pairsOf(result);
  const trees = result.page.forest && result.page.forest.filter((tree) => typeof tree !== "number");
  return [
    h("header", { class: "head" }, h("a", { class: "back", href: "#" }, "← all"), h("p", { class: "note" }, `${detail.technique} · ${detail.state}`)),
    quoted(result.prompt.map((m) => (result.prompt.length > 1 ? `${m.role}: ${m.content}` : m.content)).join("\n\n"), { class: "quoted asked", tabindex: "0" }),
    h("p", { class: "note" }, `${plural(result.candidates.length, "candidate")}, ${plural(result.comparisons.length, "comparison")} so far`),
    trees
      ? h("div", { class: "trees" }, trees.map((tree) => drawBracket({ ...result, page: { ...result.page, bracket: tree } }, () => {})))
      : drawCrossTable(result, () => {}),
    pairs.length === 0 && h("ul", {}, result.page.labels.map((label) => h("li", { dir: "auto" }, label))),
  ];
}

async function show(row) {
  const mark = row ? `${row.number} ${row.version}` : "";
  if (mark === shown) return;
  const detail = row && (await ask(`ui/tournaments/${row.number}`));
  if (row && row.number !== chosen()) return; // another one was opened meanwhile
  shown = mark;
  $("overview").hidden = Boolean(detail);
  $("prompt").hidden = !detail;
  document.body.classList.toggle("reading", Boolean(detail));
  if (!detail) return;
  const drawn = detail.row ? drawPrompt(detail.result, detail.row) : drawRunning(detail);
  $("prompt").replaceChildren(...drawn.filter(Boolean));
  $("prompt").dataset.number = row.number;
  $("prompt").dataset.state = detail.state;
}

async function look() {
  try {
    const rows = await ask("ui/tournaments");
    $("ask").hidden = true;
    $("state").textContent = `${rows.filter(running).length} running, ${rows.length} in sight`;
    drawList(rows);
    await show(rows.find((row) => row.number === chosen()));
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    $("state").textContent = error.message === "key" ? "the key, please" : "the server does not answer";
    $("ask").hidden = error.message !== "key";
  }
}

async function watch() {
  await look();
  setTimeout(watch, document.hidden ? 5 * PAUSE : PAUSE);
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value;
  memory.set(key);
  look();
});
$("match").addEventListener("click", (event) => event.target === $("match") && $("match").close());
addEventListener("hashchange", look);
watch();
