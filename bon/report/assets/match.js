// A match: both candidates side by side, and what the judge wrote in each order.

const OUTCOME = { first: "first slot", second: "second slot", tie: "a tie", void: "no verdict" };

/** Show the pair at `at` of `pairs`; ← and → go to the pairs before and after it. */
function showMatch(result, pairs, at) {
  const dialog = $("match");
  const [a, b] = pairs[at];
  const pair = pairOf(result, a, b);
  const go = (by) => pairs[at + by] && showMatch(result, pairs, at + by);

  dialog.replaceChildren(
    h(
      "header",
      {},
      h("h2", {}, matchTitle(pair)),
      h("span", { class: "note" }, `${at + 1} of ${pairs.length}`),
      h("button", { type: "button", onclick: () => go(-1), disabled: at === 0, "aria-label": "Previous match" }, "←"),
      h("button", { type: "button", onclick: () => go(1), disabled: at === pairs.length - 1, "aria-label": "Next match" }, "→"),
      h("button", { type: "button", class: "close", onclick: () => dialog.close(), "aria-label": "Close" }, "✕"),
    ),
    h("div", { class: "sides" }, [a, b].map((c) => responseOf(result, c, pair))),
    h(
      "div",
      { class: "sides" },
      [
        [a, b],
        [b, a],
      ].map(([first, second]) => orderOf(pair, first, second)),
    ),
  );
  dialog.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.target.closest(".quoted")) return;
    event.preventDefault();
    go(by);
  };
  if (!dialog.open) dialog.showModal();
  dialog.focus(); // the button that had it is gone
  dialog.scrollTop = 0;
}

function matchTitle({ a, b, won, lost, matches }) {
  const score = won + lost ? `${halves(won)}–${halves(lost)}` : "void";
  const coin = matches.some((m) => m.decision !== "verdicts") ? ", a coin decided" : "";
  return `${a} against ${b}: ${score}${coin}`;
}

function responseOf(result, candidate, pair) {
  const response = result.candidates[candidate];
  const won = pair.matches.some((m) => m.winner === candidate);
  return h(
    "section",
    { class: won ? "side-of won" : "side-of" },
    h(
      "h3",
      {},
      `Candidate ${candidate}`,
      won && h("span", { class: "tag" }, "won"),
      result.page.right && mark(result.page.right[candidate]),
      h("span", { class: "note" }, `${plural(response.text.length, "character")}${response.finish_reason === "length" ? ", cut off" : ""}`),
    ),
    quoted(response.text, { tabindex: "0" }),
    response.thinking && h("details", {}, h("summary", {}, "Its thinking"), quoted(response.thinking, { tabindex: "0" })),
  );
}

function orderOf(pair, first, second) {
  const asked = pair.comparisons.filter((c) => c.first === first);
  return h(
    "section",
    { class: "order" },
    h("h3", {}, `${first} shown first, ${second} second`),
    asked.length ? asked.map((c) => verdictOf(c)) : h("p", { class: "note" }, "Not asked in this order."),
  );
}

function verdictOf(c) {
  const named = { first: c.first, second: c.second }[c.outcome];
  return h(
    "article",
    { class: `verdict ${c.outcome}` },
    h(
      "p",
      {},
      h("b", {}, named === undefined ? OUTCOME[c.outcome] : `prefers ${named}, the ${OUTCOME[c.outcome]}`),
      c.p_first !== null && h("span", { class: "note" }, `first slot better: ${percent(c.p_first)}`),
      c.void_reason && h("span", { class: "doubt" }, c.void_reason),
      c.repeat > 0 && h("span", { class: "note" }, `vote ${c.repeat + 1}`),
      c.attempt > 0 && h("span", { class: "note" }, "asked again"),
      h("span", { class: "note" }, plural(c.output_tokens, "token")),
    ),
    c.detail && h("p", { class: "doubt" }, c.detail),
    c.reasoning && quoted(c.reasoning, { tabindex: "0" }),
    c.text && quoted(c.text, { tabindex: "0", class: "quoted said" }),
  );
}
