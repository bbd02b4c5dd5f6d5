// The keyboard of the lists: a digit goes to the button with that number, j and k go through lines, letters act on a line.
//
// Nothing happens while somebody writes. `data-digit` names the element for a digit; a list is `data-list`, its lines are
// `data-line`, and a button in a line has its letter in `data-letter`.
"use strict";

(() => {
  const WRITING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";
  let afterG = -Infinity;

  function lines() {
    return [...document.querySelectorAll("[data-list] [data-line]")].filter((line) => line.offsetParent !== null);
  }

  function move(by) {
    const all = lines();
    const at = all.findIndex((line) => line.contains(document.activeElement));
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (next) next.focus();
    return Boolean(next);
  }

  function press(letter) {
    const active = document.activeElement;
    const line = active && active.closest("[data-line]");
    const button = line && line.querySelector(`[data-letter="${letter}"]`);
    if (!button) return false;
    if (button.matches("details")) {
      button.open = true;
      const first = button.querySelector("input:not([type=hidden]), select, button");
      if (first) first.focus();
    } else button.click();
    return true;
  }

  function digit(key) {
    const target = document.querySelector(`[data-digit="${key}"]`);
    if (target) target.focus();
    return Boolean(target);
  }

  function after(key) {
    const link = document.querySelector(`.bar-links [data-key="${key}"]`);
    if (link) link.click();
    return Boolean(link);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.repeat) {
      if (event.ctrlKey && event.key === "Enter" && event.target.form && event.target.form.matches("[data-ctrl-enter]")) {
        event.preventDefault();
        event.target.form.requestSubmit();
      }
      return;
    }
    if (event.target instanceof Element && event.target.matches(WRITING)) return;
    if (localStorage.getItem("pilotage-keys") === "off") return; // for who types by voice (WCAG 2.1.4)
    const key = event.key;
    let done = false;
    if (performance.now() - afterG < 1500) done = after(key);
    else if (key === "j" || key === "k") done = move(key === "j" ? 1 : -1);
    else if (/^[1-9]$/.test(key)) done = digit(key);
    else if (key === "/") done = digit("/");
    else if (/^[a-z]$/.test(key) && key !== "g") done = press(key);
    afterG = key === "g" && !done ? performance.now() : -Infinity;
    if (done) event.preventDefault();
  });
})();
