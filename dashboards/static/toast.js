// Short notices in the corner; the newest stays long enough to read, at most four at a time.
const SHOWN_MS = 9000;

export function toast(text, tone = "done") {
  const holder = document.querySelector("#toasts");
  const note = document.createElement("p");
  note.className = `toast ${tone === "failed" ? "failed" : "done"}`;
  note.textContent = text;
  holder.append(note);
  while (holder.children.length > 4) holder.firstElementChild.remove();
  setTimeout(() => note.remove(), SHOWN_MS);
}

export function fadeToasts() {
  for (const note of document.querySelectorAll("#toasts .toast")) setTimeout(() => note.remove(), SHOWN_MS);
}
