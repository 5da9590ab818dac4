// Triage without leaving the list: rows go at once, and come back where the server says no.
import { toast } from "./toast.js";

async function post(url, fields) {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      Accept: "application/json",
      "Content-Type": "application/x-www-form-urlencoded",
      "X-CSRF-Token": document.querySelector("meta[name=csrf]").content,
    },
    body: new URLSearchParams(fields),
    redirect: "error",
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.reason || `the server answered ${answer.status}`);
  return body;
}

export function bindTriage(rows) {
  const form = document.querySelector("#triage");
  if (!form || !form.querySelector("button[name=do]")) return null;
  const single = "single" in form.dataset;

  const chosen = (atCursor) => {
    const picked = atCursor ? [] : rows.picked();
    const row = rows.current();
    return picked.length ? picked : row ? [row] : [];
  };

  async function apply(verb, atCursor = false) {
    if (single) {
      form.querySelector(`button[value=${verb}]`)?.click();
      return;
    }
    const targets = chosen(atCursor);
    if (!targets.length) {
      toast("There is no row to act on.", "failed");
      return;
    }
    for (const row of targets) row.classList.add("leaving");
    const fields = [["do", verb], ...targets.map((row) => ["group", row.dataset.group])];
    try {
      const body = await post("/inbox/triage", fields);
      toast(body.notice);
      rows.remove(targets);
      const undo = document.querySelector("#undo");
      if (undo) undo.disabled = false;
      for (const [state, count] of Object.entries(body.counts)) {
        const shown = [document.querySelector(`[data-count-of=${state}]`)];
        if (state === "open") shown.push(document.querySelector("#open-groups"));
        for (const badge of shown) if (badge) badge.textContent = count.toLocaleString("en").replaceAll(",", "\u202f");
      }
      if (!rows.all().length) location.reload();
    } catch (error) {
      for (const row of targets) row.classList.remove("leaving");
      toast(`Nothing was changed: ${error.message}`, "failed");
    }
  }

  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (single || button?.name !== "do") return;
    event.preventDefault();
    apply(button.value);
  });
  document.querySelector("#incident:not(a)")?.addEventListener("click", () => {
    if (!rows.picked().length) for (const row of chosen(false)) row.querySelector("input[type=checkbox]").checked = true;
  });

  return {
    apply,
    incident() {
      document.querySelector("#incident")?.click();
    },
    async undo() {
      try {
        const body = await post("/inbox/undo", []);
        toast(body.notice);
        if (body.groups && !single) setTimeout(() => location.reload(), 400);
      } catch (error) {
        toast(`Not undone: ${error.message}`, "failed");
      }
    },
  };
}
