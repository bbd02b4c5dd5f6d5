// What this browser keeps for whoever sits at it: single keys on or off, and the alarm sound, which is off until it is allowed.
//
// One soft tone for each new line of priority 1 (an alarm with what it caused, or those of one name), once for all windows. It is never the only sign: the line stands on the page.
"use strict";

(() => {
  const TONE_HZ = 660;
  const TONE_S = 0.7;
  const LOUD = 0.12;
  const HEARD = "pilotage-heard";
  const kept = (name) => localStorage.getItem("pilotage-" + name);
  const box = document.querySelector("[data-here]");
  let audio = null;

  function wake() {
    audio = audio || new AudioContext();
    return audio.state === "suspended" ? audio.resume() : Promise.resolve();
  }

  function tone() {
    const swing = audio.createOscillator();
    const loud = audio.createGain();
    const from = audio.currentTime;
    swing.frequency.value = TONE_HZ;
    loud.gain.setValueAtTime(0, from);
    loud.gain.linearRampToValueAtTime(LOUD, from + 0.08);
    loud.gain.linearRampToValueAtTime(0, from + TONE_S);
    swing.connect(loud).connect(audio.destination);
    swing.start(from);
    swing.stop(from + TONE_S);
  }

  // The lines of priority 1 that wait, as the first page lists them; the server keeps that list for everybody.
  async function urgent() {
    const answer = await fetch("/now/lists", { headers: { "HX-Request": "true" } });
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return [...page.querySelectorAll(".now-alarms li")]
      .filter((line) => line.querySelector(".prio-1"))
      .map((line) => line.querySelector("a").getAttribute("href"));
  }

  async function listen(isFirst) {
    const now = await urgent();
    if (!now) return;
    const known = JSON.parse(localStorage.getItem(HEARD) || "[]");
    localStorage.setItem(HEARD, JSON.stringify(now));
    if (isFirst || now.every((line) => known.includes(line))) return;
    await wake();
    tone();
  }

  const inTurn = (work) => (navigator.locks ? navigator.locks.request("pilotage-sound", work) : work());

  document.body.addEventListener("live:alarms", () => {
    if (kept("sound") === "on") inTurn(() => listen(false));
  });

  if (!box) return;
  box.hidden = false;
  for (const input of box.querySelectorAll("input")) {
    const name = input.dataset.name;
    input.checked = kept(name) ? kept(name) === "on" : input.defaultChecked;
    input.addEventListener("change", () => {
      localStorage.setItem("pilotage-" + name, input.checked ? "on" : "off");
      if (name !== "sound" || !input.checked) return;
      wake().then(tone); // so that whoever turns it on knows how it sounds
      inTurn(() => listen(true));
    });
  }
  // A browser lets nothing sound before somebody touched the page.
  if (kept("sound") === "on") addEventListener("pointerdown", wake, { once: true });
})();
