// Entry: what every page does. Text from the network is only ever set as textContent.
import { showLocalTimes, runClocks } from "./time.js";
import { bindKeys } from "./keys.js";
import { bindRows } from "./rows.js";
import { bindTriage } from "./triage.js";
import { watchForNews } from "./pulse.js";
import { fadeToasts } from "./toast.js";

showLocalTimes(document);
runClocks();
fadeToasts();
const rows = bindRows();
const triage = bindTriage(rows);
bindKeys(rows, triage);
if (document.querySelector("#open-groups")) watchForNews();

for (const button of document.querySelectorAll("[data-add-target]")) {
  button.addEventListener("click", () => {
    const box = document.querySelector("#targets");
    const lines = box.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!lines.includes(button.dataset.addTarget)) lines.push(button.dataset.addTarget);
    box.value = lines.join("\n");
  });
}
