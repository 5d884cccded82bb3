// The comparison graph: candidates in a ring, best on top and clockwise by rank; an arrow from each winner
// to whom it beat. Upsets, where the lower ranked won, stand out. The cross table says the same in numbers.

const RING = 24; // candidates beyond which arrows are a thicket

function drawGraph(result, openPair) {
  const order = result.page.order;
  if (order.length < 3 || order.length > RING) return null;
  const size = 180 + 11 * order.length;
  const middle = size / 2;
  const radius = middle - 26;
  const at = new Map(
    order.map((candidate, i) => {
      const angle = (2 * Math.PI * i) / order.length;
      return [candidate, { x: middle + radius * Math.sin(angle), y: middle - radius * Math.cos(angle), rank: i }];
    }),
  );
  const arrows = pairsOf(result)
    .map(([a, b]) => pairOf(result, a, b))
    .filter((pair) => pair.won + pair.lost > 0)
    .map((pair) => (pair.won >= pair.lost ? pair : { ...pair, a: pair.b, b: pair.a, won: pair.lost, lost: pair.won }))
    .map((pair) => arrow(pair));
  arrows.sort((one, other) => one.classList.contains("upset") - other.classList.contains("upset"));

  function arrow({ a, b, won, lost }) {
    const from = at.get(a);
    const to = at.get(b);
    const level = won === lost;
    const kind = level ? "level" : from.rank > to.rank ? "upset" : "";
    // Bent a little to its own left, so that no arrow runs through a third candidate; it ends at the rim.
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const long = Math.hypot(dx, dy);
    const bend = 0.12 * long;
    const [cx, cy] = [(from.x + to.x) / 2 + (bend * dy) / long, (from.y + to.y) / 2 - (bend * dx) / long];
    const back = Math.hypot(to.x - cx, to.y - cy);
    const [ex, ey] = [to.x - ((to.x - cx) / back) * 16, to.y - ((to.y - cy) / back) * 16];
    const [ux, uy] = [(ex - cx) / back, (ey - cy) / back];
    const head = level ? "" : `M${ex - 7 * ux - 4 * uy} ${ey - 7 * uy + 4 * ux}L${ex} ${ey}L${ex - 7 * ux + 4 * uy} ${ey - 7 * uy - 4 * ux}`;
    return h(
      "g",
      { class: `arrow ${kind}`, onclick: () => openPair(a, b) },
      h("title", {}, `${a} against ${b}: ${halves(won)}–${halves(lost)}`),
      h("path", { class: "reach", d: `M${from.x} ${from.y}Q${cx} ${cy} ${ex} ${ey}` }),
      h("path", { d: `M${from.x} ${from.y}Q${cx} ${cy} ${ex} ${ey}${head}` }),
    );
  }

  const nodes = order.map((candidate) => {
    const { x, y } = at.get(candidate);
    return h(
      "g",
      { class: candidate === result.winner ? "node champion" : "node" },
      h("title", {}, result.page.labels[candidate]),
      h("circle", { cx: x, cy: y, r: 14 }),
      h("text", { x, y: y + 4, "text-anchor": "middle" }, String(candidate)),
    );
  });
  return h(
    "figure",
    { class: "graph" },
    h("svg", { viewBox: `0 0 ${size} ${size}`, width: size, height: size, "aria-hidden": "true" }, ...arrows, ...nodes),
    h("figcaption", { class: "note" }, "An arrow from each winner; upsets in ", h("span", { class: "wrong" }, "orange"), ", level pairs dashed."),
  );
}
