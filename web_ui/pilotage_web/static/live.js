// What a page knows of the stream: how fresh it is, which lists changed, and that nothing is ordered on stale sight.
//
// The three ages: from the server to here, from the engine to the server, from the field to the engine. The oldest decides.
// `document.body` gets an event `live:TOPIC` when a list changed; `window.live` is for the map and for forms.
"use strict";

(() => {
  const LATE_MS = 2500;
  const LOST_MS = 5000;
  const RESTART_MS = 30000; // so long is an announced stop a restart; afterwards it is a loss like another
  const root = document.documentElement;
  const bar = document.getElementById("freshness");
  if (!bar) return;
  const banner = document.getElementById("frozen");
  const planned = document.getElementById("planned");
  const said = document.getElementById("link-said");
  const word = document.getElementById("link-word");
  const clock = document.getElementById("link-clock");
  const ages = document.getElementById("link-ages");
  const time = new Intl.DateTimeFormat("fr-FR", {
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: bar.dataset.zone || undefined,
  });

  const language = root.lang || "fr";
  const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });

  const born = performance.now();
  let heardAt = null; // when the last event came, in this page's own clock
  let beatAt = null;
  let beat = null;
  let speed = 1; // seconds of the city in one of ours
  let failed = false;
  let over = false;
  let state = "";
  let calm = 0; // until then a stop was announced
  let lists = JSON.parse(bar.dataset.lists || "{}");
  const waiting = new Set(); // topics that are about to be told
  const takers = new Set();

  const live = (window.live = {
    cursor: "",
    get state() {
      return state;
    },
    // Hands the frames of equipment (and resets) to a map: {kind, data, id}.
    listen(take) {
      takers.add(take);
    },
  });

  // ── the link ──

  function take(message) {
    if (message.kind === "error") {
      failed = true;
      return look();
    }
    const now = performance.now();
    if (message.kind === "join") {
      if (message.ago >= 0) heardAt = now - message.ago;
      failed = message.failed;
      live.cursor = message.id;
      if (message.hb) takeBeat(message.hb, heardAt);
      takeLists(message.lists);
      for (const each of takers) each({ kind: "join", data: "", id: message.id });
      if (message.over) end();
      return look();
    }
    heardAt = now;
    failed = false;
    if (message.id) live.cursor = message.id;
    if (message.kind === "hb") takeBeat(message.data, now);
    else if (message.kind === "t") takeLists(JSON.parse(message.data));
    else if (message.kind === "reset") lists = {};
    else if (message.kind === "bye") calm = now + RESTART_MS;
    else if (message.kind === "auth") end();
    if (message.kind === "s" || message.kind === "reset") for (const each of takers) each(message);
    if (message.kind !== "s") look();
  }

  function takeBeat(data, at) {
    const next = JSON.parse(data);
    const passed = (at - beatAt) / 1000;
    // In a demonstration the city's clock runs faster than ours: what it did between two heartbeats says how much.
    if (beat && beat.at && next.at > beat.at && passed > 0.5) speed = Math.round((next.at - beat.at) / passed) || 1;
    beat = next;
    beatAt = at;
  }

  // The city's time when the page's own clock said `at`; that of the engine, which in a demonstration is another than ours.
  function cityTime(at) {
    const known = beat.at || beat.server;
    const isOurs = Math.abs(known - beat.server) < 10;
    return 1000 * known + (at - beatAt) * (isOurs ? 1 : speed);
  }

  // A list that changed is read again; not by everybody at the same moment, and once for what comes until then.
  function takeLists(changed) {
    for (const [topic, version] of Object.entries(changed)) {
      if (lists[topic] === version) continue;
      lists[topic] = version;
      if (waiting.has(topic)) continue;
      waiting.add(topic);
      setTimeout(tellWaiting, Math.random() * (beat ? beat.spread_ms : 50), topic);
    }
  }

  function tellWaiting(topic) {
    waiting.delete(topic);
    tell(topic);
  }

  function tell(topic) {
    document.body.dispatchEvent(new CustomEvent("live:" + topic));
  }

  // The session has ended: what somebody is writing stays, and the banner leads to the sign-in and back here.
  function end() {
    over = true;
    const link = banner.querySelector("[data-out] a");
    link.href = link.dataset.to + "?next=" + encodeURIComponent(location.pathname + location.search);
    banner.querySelector("[data-out]").hidden = false;
  }

  // ── how fresh ──

  function agesNow() {
    const now = performance.now();
    const since = (at) => (at === null ? now - born : now - at);
    const engine = beat && beat.engine_s !== null ? 1000 * beat.engine_s + since(beatAt) : since(beatAt);
    const field = beat && typeof beat.quiet_s === "number" ? 1000 * beat.quiet_s + since(beatAt) : null;
    return { server: since(heardAt), engine, field };
  }

  function stateNow(age) {
    const oldest = Math.max(age.server, age.engine);
    const isShort = oldest >= LATE_MS || failed || (beat && beat.away);
    if (!over && isShort && performance.now() < calm) return "restart";
    if (over || oldest >= LOST_MS) return "lost";
    if (failed || oldest >= LATE_MS || (beat && beat.away)) return "late";
    return heardAt === null ? "begins" : "live";
  }

  function look() {
    const age = agesNow();
    show(age);
    const now = stateNow(age);
    if (now === state) return;
    const before = state;
    state = now;
    root.dataset.link = state;
    word.textContent = bar.dataset[state];
    said.textContent = before ? bar.dataset[state] : "";
    freeze(state === "lost" || state === "restart", age);
    if (state === "live") calm = 0;
    if ((before === "lost" || before === "restart") && state === "live") for (const topic of Object.keys(lists)) tell(topic);
    document.dispatchEvent(new CustomEvent("live:state", { detail: state }));
  }

  function show(age) {
    if (heardAt !== null && beat) {
      clock.textContent = time.format(cityTime(state === "live" ? performance.now() : beatAt));
    }
    const seconds = (ms) => (ms === null ? "–" : (ms < 9950 ? tenths : whole).format(ms / 1000) + "\u00a0s");
    ages.textContent =
      bar.dataset.ages
        .replace("{server}", seconds(age.server))
        .replace("{engine}", seconds(age.engine))
        .replace("{field}", seconds(age.field));
  }

  // ── stale sight ──

  function freeze(on, age) {
    if (on) {
      const ago = Math.max(age.server, age.engine);
      banner.querySelector("[data-since]").textContent = time.format(beat ? cityTime(performance.now() - ago) : Date.now() - ago);
    }
    banner.hidden = !on || state === "restart";
    if (planned) planned.hidden = state !== "restart";
    for (const button of document.querySelectorAll("main button, main [data-command]")) {
      if (button.closest("[data-anytime]")) continue;
      if (on) button.setAttribute("aria-disabled", "true");
      else if (!button.hasAttribute("data-refused")) button.removeAttribute("aria-disabled");
    }
  }

  function isCommand(target) {
    const found = target instanceof Element && target.closest("button, input[type=submit], [data-command], form");
    if (!found || found.closest("[data-anytime]")) return false;
    const form = found.closest("form");
    return found.hasAttribute("data-command") || (form && form.method === "post");
  }

  for (const kind of ["click", "submit", "pointerdown", "keydown"]) {
    document.addEventListener(
      kind,
      (event) => {
        if ((state !== "lost" && state !== "restart") || !isCommand(event.target)) return;
        if (kind === "keydown" && !["Enter", " "].includes(event.key)) return;
        if (kind === "keydown" && event.target.matches("textarea")) return;
        if (kind === "keydown" && event.key === " " && event.target.matches("input, select")) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        said.textContent = bar.dataset.refused;
      },
      true,
    );
  }
  // A command says how far the view had come and how old it was: the server refuses what was decided on a sight that stood still.
  document.addEventListener("submit", (event) => {
    const seen = event.target.elements && event.target.elements["seen-live"];
    if (!seen || !live.cursor) return;
    const age = agesNow();
    seen.value = live.cursor + " " + Math.round(Math.max(age.server, age.engine));
  });

  // ── the stream ──

  function join() {
    const path = bar.dataset.worker;
    if (typeof SharedWorker === "undefined") {
      const script = document.createElement("script");
      script.src = path;
      script.onload = () => take({ kind: "join", ...openLink(take), ago: -1 });
      document.head.append(script);
      return;
    }
    const worker = new SharedWorker(path, "pilotage-" + bar.dataset.session);
    worker.port.onmessage = (event) => take(event.data);
    worker.port.start();
    addEventListener("pagehide", () => worker.port.postMessage("leave"));
    addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
  }

  join();
  look();
  setInterval(look, 250);
})();
