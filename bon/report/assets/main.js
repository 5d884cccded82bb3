// Which prompt is open stands in the address (#3 is the third of the file), so that links and Back work.

async function route() {
  const place = Number(location.hash.slice(1)) - 1;
  const row = rows[place];
  $("match").close();
  list.active = row ? place : -1;
  document.body.classList.toggle("reading", Boolean(row));
  drawRows();
  scrollToActive();
  if (!row) {
    $("prompt").hidden = true;
    delete $("prompt").dataset.place;
    $("overview").hidden = false;
    return;
  }
  let drawn;
  try {
    drawn = drawPrompt(await loadResult(place), row);
  } catch (error) {
    drawn = [h("p", { class: "wrong" }, `This prompt cannot be unpacked: ${error.message}`)];
  }
  if (list.active !== place) return; // another one was opened meanwhile
  $("prompt").replaceChildren(...drawn.filter(Boolean));
  $("prompt").hidden = false;
  $("prompt").dataset.place = place;
  $("overview").hidden = true;
  $("main").scrollTop = 0;
  if (matchMedia("(max-width: 899px)").matches) scrollTo(0, 0);
}

const memory = {
  get: () => { try { return localStorage.getItem("bon-theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("bon-theme", theme); } catch { /* a page from disk may not */ } },
};
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}
function toggleTheme() {
  const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
  memory.set(document.documentElement.dataset.theme);
}
setTheme(memory.get());
$("theme").addEventListener("click", toggleTheme);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("match").open) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = {
    "/": () => $("search").focus(),
    j: () => step(1),
    k: () => step(-1),
    t: toggleTheme,
    Escape: () => (location.hash = "#"),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
$("match").addEventListener("click", (event) => event.target === $("match") && $("match").close());

addEventListener("hashchange", route);
refreshList();
route();
document.documentElement.dataset.ready = "yes";
