// The run: an index of all prompts at hand, and each result unpacked from its block when asked for.

const index = JSON.parse($("index").textContent);
const rows = index.rows;
rows.forEach((row, place) => {
  row.place = place;
  row.text = `${row.id}\n${row.prompt}\n${row.answer}`.toLowerCase();
});

const blocks = document.getElementsByClassName("block");
const unpacked = new Map();
const KEPT = 6;

/** The results of one block; the last few blocks stay unpacked. */
function block(number) {
  let results = unpacked.get(number);
  if (!results) results = unpack(blocks[number].textContent);
  unpacked.delete(number);
  unpacked.set(number, results);
  if (unpacked.size > KEPT) unpacked.delete(unpacked.keys().next().value);
  return results;
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

async function loadResult(place) {
  const number = index.blocks[place];
  const results = await block(number);
  return results[place - index.blocks.indexOf(number)];
}

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
