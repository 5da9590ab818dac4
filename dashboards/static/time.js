// Local time beside every UTC time, the clock in the header, and countdowns that run.
const pad = (n) => String(n).padStart(2, "0");

function zone(at) {
  const minutes = -at.getTimezoneOffset();
  const size = Math.abs(minutes);
  return (minutes < 0 ? "-" : "+") + pad(Math.floor(size / 60)) + ":" + pad(size % 60);
}

export function localText(at) {
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())} ${zone(at)}`;
}

export function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[data-local]")) {
    const local = document.createElement("span");
    local.className = "local";
    local.textContent = ` ${localText(new Date(element.dateTime))}`;
    element.after(local);
  }
}

function durationText(milliseconds) {
  let left = Math.floor(Math.abs(milliseconds) / 1000);
  const days = Math.floor(left / 86400);
  left %= 86400;
  const clock = `${pad(Math.floor(left / 3600))}:${pad(Math.floor((left % 3600) / 60))}:${pad(left % 60)}`;
  return days ? `${days} d ${clock}` : clock;
}

export function runClocks() {
  const header = document.querySelector("#utc-now");
  if (!header) return;
  // The server's time is the clock that counts; the browser's may be wrong.
  const offset = new Date(header.dateTime).getTime() - Date.now();
  const tick = () => {
    const now = new Date(Date.now() + offset);
    header.textContent = now.toISOString().slice(0, 19).replace("T", " ") + "Z";
    document.querySelector("#local-now").textContent = localText(now);
    for (const element of document.querySelectorAll("[data-due]")) {
      const left = new Date(element.dataset.due) - now;
      element.textContent = `${durationText(left)} ${left < 0 ? "overdue" : "left"}`;
    }
    for (const bar of document.querySelectorAll("progress[data-to]")) {
      const from = new Date(bar.dataset.from).getTime();
      const span = new Date(bar.dataset.to).getTime() - from;
      bar.value = Math.min(1, Math.max(0, (now.getTime() - from) / Math.max(1, span)));
    }
  };
  tick();
  setInterval(tick, 1000);
}
