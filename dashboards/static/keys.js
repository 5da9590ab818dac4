// EveBox's keys. A sequence like "g i" waits a second for its second key.
const WAIT_MS = 1200;

export function bindKeys(rows, triage) {
  let first = "";
  let timer = 0;
  const go = (path) => () => location.assign(path);
  const click = (selector) => () => document.querySelector(selector)?.click();

  function open() {
    const row = rows.current();
    if (row?.dataset.open) location.assign(row.dataset.open);
  }
  function back() {
    if (document.referrer.startsWith(location.origin) && history.length > 1) history.back();
    else document.querySelector("#back")?.click();
  }
  function sameSignature() {
    const sid = rows.current()?.dataset.sid;
    if (sid) rows.pick((row, was) => was || row.dataset.sid === sid);
  }
  function menu() {
    const details = rows.current()?.querySelector("details.rowmenu");
    if (!details) return;
    details.open = !details.open;
    if (details.open) details.querySelector("a").focus();
  }

  const actions = {
    "?": () => document.querySelector("#keys")?.showModal(),
    "g h": go("/"), "g i": go("/inbox"), "g s": go("/inbox?q=is:escalated"), "g a": go("/search?kinds=alert"),
    "g c": go("/incidents"), "g m": go("/actions"),
    j: () => rows.move(1), k: () => rows.move(-1), ArrowDown: () => rows.move(1), ArrowUp: () => rows.move(-1),
    H: () => rows.edge(false), G: () => rows.edge(true),
    x: () => rows.pick((row, was) => (row === rows.current() ? !was : was)),
    "* a": () => rows.pick(() => true), "* n": () => rows.pick(() => false), "* 1": sameSignature,
    Enter: open, o: open, u: back, r: () => location.reload(),
    "/": () => { const box = document.querySelector("#filter"); box?.focus(); box?.select(); },
    "ctrl+\\": click("#clear"), ".": menu,
    e: () => triage?.apply("archive"), F8: () => triage?.apply("archive", true),
    s: () => triage?.apply("escalate"), S: () => triage?.apply("escalate_archive"), F9: () => triage?.apply("escalate_archive"),
    f: () => triage?.apply("false_positive"), z: () => triage?.undo(),
    i: () => triage?.incident(), b: () => (document.querySelector("#decide") ? click("#decide")() : triage?.incident()),
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (target.matches?.("input:not([type=checkbox]), textarea, select") || target.isContentEditable) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.altKey || event.metaKey || (event.ctrlKey && event.key !== "\\") || document.querySelector("dialog[open]")) return;
    // A closed dialog's button keeps the focus until the next frame: only a control one can see takes Enter.
    if (event.key === "Enter" && target.closest?.("a, button, summary")?.checkVisibility()) return;
    if (event.key === "Escape") {
      for (const details of document.querySelectorAll("details.rowmenu[open], details.me[open]")) details.open = false;
      return;
    }
    const key = event.ctrlKey ? `ctrl+${event.key}` : event.key;
    const sequence = first ? `${first} ${key}` : key;
    clearTimeout(timer);
    if (!first && (key === "g" || key === "*")) {
      first = key;
      timer = setTimeout(() => { first = ""; }, WAIT_MS);
      event.preventDefault();
      return;
    }
    first = "";
    const action = Object.hasOwn(actions, sequence) ? actions[sequence] : undefined;
    if (!action) return;
    event.preventDefault();
    action();
  });
}
