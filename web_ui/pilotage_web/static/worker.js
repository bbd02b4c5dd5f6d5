// The one stream of a browser: as a shared worker for all its windows, or in a page where there is none.
//
// A server that is stopped says nothing at all, not even that it is gone: the age of the last event counts, and a socket that
// has been silent for long is replaced.
"use strict";

const LOST_MS = 5000;
const REPLACE_MS = 3000;
const EVENTS = ["s", "t", "hb", "reset", "bye", "auth"];

// Opens the stream and hands each event to `tell({kind, data, id})`; returns what a window that comes later must know.
function openLink(tell) {
  const known = { id: "", lists: {}, hb: "", heardAt: 0, failed: false, over: false };
  let source = null;
  let openedAt = 0;

  function open() {
    if (source) source.close();
    openedAt = Date.now();
    source = new EventSource(known.id ? "/live?after=" + encodeURIComponent(known.id) : "/live");
    for (const kind of EVENTS) source.addEventListener(kind, (event) => take(kind, event));
    source.onopen = () => {
      known.failed = false;
    };
    source.onerror = () => {
      known.failed = true;
      tell({ kind: "error", data: "", id: known.id });
      if (source.readyState === EventSource.CLOSED) askWhy();
    };
  }

  // An answer that is no stream closes it, and its status is not told: nobody is signed in, or the pages are busy.
  async function askWhy() {
    const answer = await fetch("/live/session").catch(() => null);
    if (answer && answer.status === 401 && !known.over) take("auth", { data: "{}", lastEventId: "" });
  }

  function take(kind, event) {
    known.heardAt = Date.now();
    known.failed = false;
    if (kind === "t") Object.assign(known.lists, JSON.parse(event.data));
    if (kind === "hb") known.hb = event.data;
    if (kind === "reset") known.lists = {};
    if (event.lastEventId) known.id = event.lastEventId;
    tell({ kind, data: event.data, id: event.lastEventId });
    if (kind === "auth") {
      known.over = true;
      source.close();
    }
  }

  setInterval(() => {
    const now = Date.now();
    const closed = source.readyState === EventSource.CLOSED;
    const silent = now - Math.max(known.heardAt, openedAt) >= LOST_MS;
    if (!known.over && (closed || silent) && now - openedAt >= REPLACE_MS) open();
  }, 500);
  open();
  return known;
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) {
  const ports = new Set();
  const known = openLink((message) => {
    for (const port of ports) port.postMessage(message);
  });
  self.onconnect = (event) => {
    const port = event.ports[0];
    ports.add(port);
    port.onmessage = (message) => {
      if (message.data === "leave") ports.delete(port);
    };
    const ago = known.heardAt ? Date.now() - known.heardAt : -1;
    port.postMessage({ kind: "join", ...known, ago });
    if (known.over) self.close(); // whoever signs in again gets a new worker
  };
}
