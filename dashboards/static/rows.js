// The cursor and the selection of a page's list. The cursor comes back after opening a row and returning.
const KEEP = "tapwarden.cursor:";

export function bindRows() {
  const all = () => [...document.querySelectorAll("[data-row]")];
  const place = KEEP + location.pathname + location.search;
  let current = null;

  const identity = (row) => row.dataset.group || row.dataset.open;
  const box = (row) => row.querySelector("input[type=checkbox]");

  function set(row) {
    if (current) current.classList.remove("cursor");
    current = row || null;
    if (!current) return;
    current.classList.add("cursor");
    const top = current.getBoundingClientRect();
    if (top.top < 100 || top.bottom > innerHeight - 20) current.scrollIntoView({ block: "center" });
    sessionStorage.setItem(place, identity(current));
  }

  function count() {
    for (const row of all()) row.classList.toggle("picked", Boolean(box(row)?.checked));
    const text = document.querySelector("#selected");
    if (!text) return;
    const picked = rows.picked();
    const alerts = picked.reduce((sum, row) => sum + Number(row.dataset.count), 0);
    text.textContent = picked.length
      ? `${picked.length} groups with ${alerts.toLocaleString("en").replaceAll(",", "\u202f")} alerts selected`
      : "nothing selected: keys act on the row at the cursor";
  }

  const rows = {
    all,
    current: () => (current?.isConnected ? current : null),
    picked: () => all().filter((row) => box(row)?.checked),
    set,
    move(step) {
      const list = all();
      const at = list.indexOf(current);
      set(list[Math.min(list.length - 1, Math.max(0, at < 0 ? 0 : at + step))]);
    },
    edge(last) {
      const list = all();
      set(list[last ? list.length - 1 : 0]);
    },
    pick(test) {
      for (const row of all()) if (box(row)) box(row).checked = test(row, box(row).checked);
      count();
    },
    remove(gone) {
      const list = all();
      const next = list.slice(Math.max(0, list.indexOf(gone[0]))).find((row) => !gone.includes(row));
      const before = list.findLast?.((row) => !gone.includes(row));
      for (const row of gone) row.remove();
      set(next || before);
      count();
    },
  };

  const kept = sessionStorage.getItem(place);
  const list = all();
  if (document.querySelector("#groups")) set(list.find((row) => identity(row) === kept) || list[0]);
  document.addEventListener("change", count);
  document.addEventListener("click", (event) => {
    const row = event.target.closest?.("[data-row]");
    if (row) set(row);
  });
  count();
  return rows;
}
