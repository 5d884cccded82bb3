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
