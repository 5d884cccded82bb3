// One prompt: what was asked, how its tournament went, who ended where.

function drawPrompt(result, row) {
  const pairs = pairsOf(result);
  const openPair = (a, b) => {
    const at = pairs.findIndex(([x, y]) => (x === a && y === b) || (x === b && y === a));
    if (at >= 0) showMatch(result, pairs, at);
  };
  const winner = result.winner === null ? null : result.candidates[result.winner];
  return [
    h(
      "header",
      { class: "head" },
      h("a", { class: "back", href: "#" }, "← overview"),
      h("h1", { dir: "auto" }, row.id),
      h("p", { class: "note" }, factsOf(result, row)),
    ),
    quoted(result.prompt.map((m) => (result.prompt.length > 1 ? `${m.role}: ${m.content}` : m.content)).join("\n\n"), {
      class: "quoted asked",
      tabindex: "0",
    }),
    result.error && h("p", { class: "wrong" }, result.error),
    winner &&
      h(
        "section",
        {},
        h("h2", {}, `Winner: candidate ${result.winner} `, mark(row.right), result.answer !== null && h("small", { dir: "auto" }, `the answer is ${result.answer}`)),
        quoted(winner.text, { class: "quoted winner", tabindex: "0" }),
      ),
    result.comparisons.length > 0 &&
      h(
        "section",
        {},
        h("h2", {}, result.page.bracket ? "Bracket" : "Cross table", h("small", { class: "hint" }, "choose a match to read it")),
        result.page.bracket
          ? drawBracket(result, openPair)
          : h("div", { class: "tables" }, drawCrossTable(result, openPair), drawGraph(result, openPair)),
      ),
    result.page.circles.length > 0 &&
      h(
        "p",
        { class: "doubt" },
        `The judge contradicts itself: each of ${result.page.circles.map((c) => c.join(", ")).join("; and each of ")} beats every other, directly or through others.`,
      ),
    result.page.apart.length > 0 &&
      h(
        "p",
        { class: "doubt" },
        `Verdicts leave these groups unconnected: ${result.page.apart.map((group) => group.join(", ")).join("; ")}. Strengths of different groups cannot be compared.`,
      ),
    result.ranking.length > 0 && h("section", {}, h("h2", {}, "Ranking"), drawRanking(result)),
  ];
}

function factsOf(result, row) {
  const others = Object.entries(result.page.agreement).filter(([, agrees]) => !agrees);
  return [
    result.provenance.strategy,
    plural(result.candidates.length, "candidate"),
    plural(row.calls, "judge call") + (row.calls > 0 ? ` in ${plural(result.totals.stages, "stage")}` : ""),
    isRated(result) && row.best !== null && `chance that the winner is the best ${percent(row.best)}`,
    isRated(result) && row.margin !== null && `margin ${signed(row.margin)}`,
    row.flips > 0 && plural(row.flips, "flip"),
    row.coins > 0 && `${plural(row.coins, "match").replace("matchs", "matches")} decided by coin`,
    row.voids > 0 && plural(row.voids, "void"),
    others.length > 0 && `another winner by ${others.map(([name]) => name).join(", ")}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Whether any verdict speaks: without one, strengths are the prior's alone. */
function isRated(result) {
  return result.comparisons.some((c) => c.outcome !== "void");
}

function drawRanking(result) {
  const rated = isRated(result);
  const standings = [...result.ranking].sort((a, b) => a.rank - b.rank);
  const reach = (s) => 1.96 * s.strength_se;
  const low = Math.min(...standings.map((s) => s.strength - reach(s)));
  const high = Math.max(...standings.map((s) => s.strength + reach(s)));
  const x = (value) => (96 * (value - low)) / (high - low || 1) + 2;
  const elo = standings.some((s) => s.elo !== null);
  const whisker = (s) =>
    h(
      "svg",
      { class: "whisker", viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
      low < 0 && high > 0 && h("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 16 }),
      h("line", { x1: x(s.strength - reach(s)), x2: x(s.strength + reach(s)), y1: 8, y2: 8 }),
      h("line", { class: "middle", x1: x(s.strength), x2: x(s.strength), y1: 3, y2: 13 }),
    );
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "ranking" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { class: "n" }, "rank"),
          h("th", { class: "n" }, "candidate"),
          h("th", {}, "answer"),
          rated && h("th", { class: "n" }, "won–lost"),
          rated && h("th", { class: "n" }, "strength"),
          rated && h("th", {}, "95% interval"),
          elo && h("th", { class: "n" }, "Elo"),
          h("th", { class: "n" }, "tokens"),
        ),
      ),
      h(
        "tbody",
        {},
        standings.map((s) =>
          h(
            "tr",
            { class: s.candidate === result.winner ? "champion" : null },
            h("td", { class: "n" }, String(s.rank)),
            h("td", { class: "n" }, h("b", {}, String(s.candidate)), sameAs(result, s.candidate)),
            h("td", { class: "says" }, result.page.right && mark(result.page.right[s.candidate]), " ", h("span", { dir: "auto" }, result.page.labels[s.candidate])),
            rated && h("td", { class: "n" }, `${halves(s.wins)}–${halves(s.losses)}`),
            rated && h("td", { class: "n" }, signed(s.strength)),
            rated && h("td", { title: `${signed(s.strength - reach(s))} to ${signed(s.strength + reach(s))}` }, whisker(s)),
            elo && h("td", { class: "n" }, s.elo === null ? "" : s.elo.toFixed(0)),
            h("td", { class: "n" }, result.candidates[s.candidate].tokens.toLocaleString("en")),
          ),
        ),
      ),
    ),
  );
}

/** How many candidates gave the same final answer and let this one play for them. */
function sameAs(result, candidate) {
  const same = result.candidates.filter((c) => c.group === candidate).length;
  return same > 1 ? h("span", { class: "note", title: `${same} candidates gave this answer` }, ` ×${same}`) : null;
}
