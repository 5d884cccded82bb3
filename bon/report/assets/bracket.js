// The bracket: one card a match, rounds from left to right, the winner's way through in colour.

const CARD = { width: 236, row: 27, gap: 44, slot: 37 };

function drawBracket(result, openPair) {
  const cards = [];
  const wires = [];
  let slots = 0;

  // Gives the height at which an entrant stands, halfway between those that feed it, and its round.
  function place(node) {
    if (typeof node === "number") return { y: (slots++ + 0.5) * CARD.slot, round: -1, wins: node };
    const [number, ...children] = node;
    const match = result.matches[number];
    const entrants = children.map(place);
    const y = (entrants[0].y + entrants[1].y) / 2;
    const round = 1 + Math.max(entrants[0].round, entrants[1].round);
    const x = round * (CARD.width + CARD.gap);
    entrants.forEach((entrant, row) => {
      if (entrant.round >= 0) wires.push(wire(entrant, x, y + (row - 0.5) * CARD.row));
    });
    cards.push(card(result, match, x, y, () => openPair(match.a, match.b)));
    return { y, round, wins: match.winner };
  }

  function wire(from, x, y) {
    const start = from.round * (CARD.width + CARD.gap) + CARD.width;
    const bend = x - CARD.gap / 2;
    const won = from.wins === result.winner;
    return h("path", { class: won ? "wire won" : "wire", d: `M${start} ${from.y}H${bend}V${y}H${x}` });
  }

  const final = place(result.page.bracket);
  const width = (final.round + 1) * (CARD.width + CARD.gap) - CARD.gap + 2;
  const height = slots * CARD.slot + 12;
  wires.sort((a, b) => a.classList.contains("won") - b.classList.contains("won"));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": "Bracket" },
    h(
      "div",
      { class: "bracket", style: { width: `${width}px`, height: `${height}px` } },
      h("svg", { width, height, "aria-hidden": "true" }, ...wires),
      ...cards,
    ),
  );
}

function card(result, match, x, y, open) {
  const side = (candidate) => {
    const won = candidate === match.winner;
    const champion = won && candidate === result.winner;
    return h(
      "span",
      { class: champion ? "seat champion" : won ? "seat won" : "seat" },
      h("b", {}, String(candidate)),
      h("span", { class: "says", dir: "auto" }, result.page.labels[candidate]),
      result.page.right && mark(result.page.right[candidate]),
      h("b", {}, scoreIn(result, match, candidate)),
    );
  };
  const coin = { split: "split: a coin decided", void: "void: a coin decided" }[match.decision];
  return h(
    "button",
    {
      type: "button",
      class: match.winner === result.winner ? "card won" : "card",
      "aria-label": `Match of ${match.a} and ${match.b}, won by ${match.winner}${coin ? ", " + coin : ""}`,
      style: { left: `${x}px`, top: `${y - CARD.row}px`, width: `${CARD.width}px` },
      onclick: open,
    },
    side(match.a),
    side(match.b),
    coin && h("span", { class: "coin" }, coin),
  );
}

/** The votes where there are several; for a lone verdict the judge's probability, where it gave one. */
function scoreIn(result, match, candidate) {
  const heard = match.comparisons.map((i) => result.comparisons[i]).filter((c) => c.outcome !== "void");
  if (!heard.length) return "";
  if (heard.length === 1) {
    const p = heard[0].p_first;
    return p === null ? "" : percent(heard[0].first === candidate ? p : 1 - p);
  }
  const forFirst = { first: 1, second: 0, tie: 0.5 };
  const votes = heard.map((c) => (c.first === candidate ? forFirst[c.outcome] : 1 - forFirst[c.outcome]));
  return halves(votes.reduce((sum, vote) => sum + vote, 0));
}
