// Asks now and then whether there is something new, and says so; it never moves what is being read.
const EVERY_MS = 20000;

export function watchForNews() {
  const fresh = document.querySelector("#fresh");
  async function ask() {
    if (document.hidden) return;
    try {
      const answer = await fetch("/pulse", { headers: { Accept: "application/json" }, redirect: "error" });
      if (!answer.ok) return;
      const news = await answer.json();
      document.querySelector("#open-groups").textContent = String(news.open_groups);
      if (fresh && news.newest > fresh.dataset.newest) fresh.hidden = false;
    } catch {
      // The next round asks again; the header's clock shows that the page itself is alive.
    }
  }
  setInterval(ask, EVERY_MS);
  document.addEventListener("visibilitychange", ask);
}
