// The cross table: each row's share of the verdicts against each column, best first. Arrow keys move.

function drawCrossTable(result, openPair) {
  const order = result.page.order;
  const tight = order.length > 20;
  const tally = new Map();
  for (const [a, b] of pairsOf(result)) {
    const pair = pairOf(result, a, b);
    tally.set(`${a} ${b}`, pair);
    tally.set(`${b} ${a}`, { ...pair, a: b, b: a, won: pair.lost, lost: pair.won });
  }

  function cell(row, column) {
    if (row === column) return h("td", { class: "self" });
    const pair = tally.get(`${row} ${column}`);
    if (!pair) return h("td", { class: "unasked", title: `${row} and ${column} never met` });
    const verdicts = pair.won + pair.lost;
    const share = verdicts ? pair.won / verdicts : null;
    return h(
      "td",
      {
        class: share === null ? "asked void" : share > 0.75 ? "asked strong" : "asked",
        style: share === null ? null : { backgroundColor: shade(share) },
        title: `${row} against ${column}: ${verdicts ? `${halves(pair.won)}–${halves(pair.lost)}` : "void"}`,
        tabindex: "-1",
        role: "gridcell",
        "data-pair": `${row} ${column}`,
      },
      tight ? "" : share === null ? "×" : verdicts > 1 ? `${halves(pair.won)}–${halves(pair.lost)}` : halves(pair.won),
    );
  }

  const table = h(
    "table",
    { class: tight ? "cross tight" : "cross", role: "grid", "aria-label": "Cross table" },
    h("thead", {}, h("tr", {}, h("th", {}), order.map((c) => h("th", { scope: "col" }, String(c))))),
    h(
      "tbody",
      {},
      order.map((row) =>
        h(
          "tr",
          { class: row === result.winner ? "champion" : null },
          h(
            "th",
            { scope: "row" },
            h("b", {}, String(row)),
            h("span", { class: "says", dir: "auto" }, result.page.labels[row]),
            result.page.right && mark(result.page.right[row]),
          ),
          order.map((column) => cell(row, column)),
        ),
      ),
    ),
  );
  table.querySelector("[data-pair]")?.setAttribute("tabindex", "0");
  const open = (target) => {
    const pair = target.closest("[data-pair]")?.dataset.pair.split(" ").map(Number);
    if (pair) openPair(...pair);
  };
  table.addEventListener("click", (event) => open(event.target));
  table.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      open(event.target);
      return;
    }
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const from = event.target.closest("[data-pair]");
    if (!move || !from) return;
    event.preventDefault();
    const [row, column] = from.dataset.pair.split(" ").map((c) => order.indexOf(Number(c)));
    for (let i = row + move[0], j = column + move[1]; order[i] !== undefined && order[j] !== undefined; i += move[0], j += move[1]) {
      const to = table.querySelector(`[data-pair="${order[i]} ${order[j]}"]`);
      if (!to) continue;
      from.setAttribute("tabindex", "-1");
      to.setAttribute("tabindex", "0");
      to.focus();
      return;
    }
  });
  return h("div", { class: "scroll" }, table);
}

/** From the colour of loss, pale so that the wins stand out, over grey to the colour of a win. */
function shade(share) {
  const end = share >= 0.5 ? "var(--win-fill)" : "var(--loss-fill)";
  const weight = share >= 0.5 ? share * 190 - 95 : 60 - share * 120;
  return `color-mix(in srgb, ${end} ${weight.toFixed(0)}%, var(--level))`;
}
