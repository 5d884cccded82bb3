// Pairs of candidates: what was said of them, and in which order they met.

/** Everything said of a pair, from the side of a: comparisons, verdicts won, and the matches they made. */
function pairOf(result, a, b) {
  const comparisons = result.comparisons.filter(
    (c) => (c.first === a && c.second === b) || (c.first === b && c.second === a),
  );
  let won = 0;
  let lost = 0;
  for (const c of comparisons) {
    const forFirst = { first: 1, second: 0, tie: 0.5 }[c.outcome];
    if (forFirst === undefined) continue;
    const forA = c.first === a ? forFirst : 1 - forFirst;
    won += forA;
    lost += 1 - forA;
  }
  const matches = result.matches.filter((m) => (m.a === a && m.b === b) || (m.a === b && m.b === a));
  return { a, b, comparisons, won, lost, matches };
}

/** Pairs that were asked, in the order in which they were. */
function pairsOf(result) {
  const seen = new Map();
  const asked = [...result.matches.map((m) => [m.a, m.b]), ...result.comparisons.map((c) => [c.first, c.second])];
  for (const [a, b] of asked) {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    if (!seen.has(key)) seen.set(key, [a, b]);
  }
  return [...seen.values()];
}
