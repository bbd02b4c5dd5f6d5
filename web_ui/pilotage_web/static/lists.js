// Lists that change while somebody reads them: read again at once, but never under a hand or a cursor; then a bar says so.
"use strict";

(() => {
  const bar = document.getElementById("changed");
  const list = () => document.querySelector("[data-refresh]");

  const isBusy = (element) => element.matches(":hover") || element.contains(document.activeElement);

  function refresh() {
    if (bar) bar.hidden = true;
    list().dispatchEvent(new CustomEvent("acts:refresh"));
  }

  function changed() {
    if (bar && isBusy(list())) bar.hidden = false;
    else refresh();
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
