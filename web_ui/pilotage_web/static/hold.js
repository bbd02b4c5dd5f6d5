// A button that acts on the city only when it is held: 0.9 s with a pointer, Enter or Space.
//
// A click, a double click, a short press or sliding off does nothing. Who cannot hold (a screen reader, a switch) presses
// twice: a click that no pointer and no key made arms the button for 6 s, the next one acts (WCAG 2.5.2). The server asks
// again when a form comes without `confirmed`, so that a browser without scripts has two steps too.
"use strict";

(() => {
  const HOLD_MS = 900;
  const ARMED_MS = 6000;
  const held = new WeakMap(); // button -> timer of a hold that is under way
  const armed = new WeakMap(); // button -> timer after which a press is forgotten

  const buttonOf = (event) => (event.target instanceof Element ? event.target.closest("button.hold") : null);
  const isRefused = (button) => button.getAttribute("aria-disabled") === "true" || button.disabled;

  function say(button, state) {
    const text = button.querySelector(".hold-text");
    if (!text.dataset.idle) {
      text.dataset.idle = text.textContent;
      button.style.minWidth = button.offsetWidth + "px"; // it keeps its width while its label changes
    }
    text.textContent = state ? button.dataset[state] : text.dataset.idle;
    const status = button.parentElement.querySelector("[role=status]");
    if (status) status.textContent = state === "armed" || state === "short" ? button.dataset[state] : "";
  }

  function begin(button) {
    if (isRefused(button) || held.has(button)) return;
    disarm(button);
    say(button, "held");
    button.classList.add("is-held");
    held.set(button, setTimeout(() => act(button, "hold"), HOLD_MS));
  }

  function abort(button, isShort) {
    if (!held.has(button)) return;
    clearTimeout(held.get(button));
    held.delete(button);
    button.classList.remove("is-held");
    say(button, isShort ? "short" : "");
    if (isShort) setTimeout(() => held.has(button) || armed.has(button) || say(button, ""), 2500);
  }

  function arm(button) {
    say(button, "armed");
    button.classList.add("is-armed");
    armed.set(button, setTimeout(() => disarm(button), ARMED_MS));
  }

  function disarm(button) {
    if (!armed.has(button)) return;
    clearTimeout(armed.get(button));
    armed.delete(button);
    button.classList.remove("is-armed");
    say(button, "");
  }

  function act(button, how) {
    held.delete(button);
    button.classList.remove("is-held");
    if (isRefused(button)) return say(button, ""); // the view froze meanwhile
    button.classList.add("is-done");
    say(button, "sent");
    const form = button.form;
    form.querySelector("input[name=confirmed]").value = how;
    form.requestSubmit(button);
  }

  document.addEventListener("pointerdown", (event) => {
    const button = buttonOf(event);
    if (!button || event.button !== 0 || !event.isPrimary) return;
    if (event.target.hasPointerCapture && event.target.hasPointerCapture(event.pointerId)) event.target.releasePointerCapture(event.pointerId);
    begin(button);
    const leave = (away) => {
      if (away.type === "pointermove" && button.contains(document.elementFromPoint(away.clientX, away.clientY))) return;
      for (const kind of ["pointermove", "pointerup", "pointercancel"]) removeEventListener(kind, leave);
      abort(button, away.type === "pointerup");
    };
    for (const kind of ["pointermove", "pointerup", "pointercancel"]) addEventListener(kind, leave);
  });
  document.addEventListener("keydown", (event) => {
    const button = buttonOf(event);
    if (!button || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault(); // no click of its own
    if (!event.repeat) begin(button);
  });
  document.addEventListener("keyup", (event) => {
    const button = buttonOf(event);
    if (!button || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    abort(button, true);
  });
  document.addEventListener("focusout", (event) => {
    const button = buttonOf(event);
    if (button) abort(button, false);
  });
  addEventListener("blur", () => document.querySelectorAll("button.hold.is-held").forEach((button) => abort(button, false)));
  document.addEventListener("contextmenu", (event) => buttonOf(event) && event.preventDefault());
  document.addEventListener("click", (event) => {
    const button = buttonOf(event);
    if (!button) return;
    event.preventDefault(); // also of the click that letting go after a full hold makes: it was sent already
    if (button.classList.contains("is-done")) return;
    const byPointer = event.detail > 0 || (event.pointerType && event.pointerType !== "");
    if (byPointer || isRefused(button)) return;
    if (armed.has(button)) {
      disarm(button);
      act(button, "twice");
    } else arm(button);
  });
})();
