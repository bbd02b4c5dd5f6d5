// Lists that change while somebody reads them: read again at once, but never under a hand or a cursor; then a bar says how many are new.
"use strict";

(() => {
  const bar = document.getElementById("changed");
  const list = () => document.querySelector("[data-refresh]");
  const LINES = "[data-line], .log > li[id]";
  let counting = 0;

  const isBusy = (element) => element.matches(":hover") || element.contains(document.activeElement);

  function refresh() {
    if (bar) bar.hidden = true;
    list().dispatchEvent(new CustomEvent("acts:refresh"));
  }

  function changed() {
    if (!bar || !isBusy(list())) return refresh();
    bar.hidden = false;
    if (!counting) counting = setTimeout(count, 300);
  }

  // Looks at the list as it would be, and says how many of its lines are not here yet.
  async function count() {
    counting = 0;
    const answer = await fetch(list().getAttribute("hx-get"), { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = [...next.querySelectorAll(LINES)].filter((line) => !document.getElementById(line.id)).length;
    const text = bar.querySelector("[data-text]");
    text.textContent = fresh ? text.dataset.text.replace("{count}", String(fresh)) : text.dataset.none;
  }

  for (const topic of (list() ? list().dataset.refresh : "").split(" ")) {
    // The journal is told of a decision a moment before its line can be read.
    const wait = list() && list().id === "journal-list" ? 500 : 0;
    if (topic) document.body.addEventListener("live:" + topic, () => setTimeout(changed, wait));
  }
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-show]")) refresh();
  });
  document.addEventListener("keydown", (event) => {
    const isWriting = event.target instanceof Element && event.target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
    if (event.key === "n" && bar && !bar.hidden && !isWriting && !event.ctrlKey && !event.metaKey && !event.altKey) refresh();
  });
})();
