// The map: a canvas over Leaflet that draws every piece of equipment and, when one looks otherwise, its square alone.
//
// It never is the only way: what stands here stands in a list beside it. The shapes come with the legend, the colours from the
// style sheet, so that both themes have their own.
"use strict";

(() => {
  const box = document.getElementById("map");
  if (!box || typeof L === "undefined") return;
  const NOWHERE = 255;
  const CELL = 16; // pixels of a square of the index
  const ORDER = [0, 1, 2, 3, 5, 4, 6]; // what asks more of people lies on top
  const said = document.getElementById("map-said");
  const legend = [...document.querySelectorAll("#legend [data-look]")];
  const shapes = [];
  for (const each of legend) shapes[Number(each.dataset.look)] = each.dataset.shape;

  let count = 0;
  let kinds = []; // names, as the filters have them
  let ofKind = new Uint8Array(0);
  let unitX = new Float64Array(0); // web mercator, 0 to 1
  let unitY = new Float64Array(0);
  let looks = new Uint8Array(0);
  let placesOf = ""; // the run of the engine that numbers them
  let isShown = [];

  // ── the layer ──

  const Layer = L.Layer.extend({
    onAdd(map) {
      this._canvas = L.DomUtil.create("canvas", "map-looks leaflet-zoom-hide", map.getPanes().overlayPane);
      this._context = this._canvas.getContext("2d");
      this._x = new Float32Array(0);
      this._dirty = new Map(); // number of one that looks otherwise: how it looked
      map.on("move zoom viewreset resize", this.redrawSoon, this);
      this.redrawSoon();
    },

    redrawSoon() {
      this._full = true;
      this._ask();
    },

    touch(index, before) {
      if (!this._dirty.has(index)) this._dirty.set(index, before);
      this._ask();
    },

    _ask() {
      if (!this._asked) this._asked = requestAnimationFrame(() => this._draw());
    },

    _draw() {
      this._asked = 0;
      if (this._full) this._drawAll();
      else if (this._dirty.size) this._drawSquares();
      this._full = false;
      this._dirty.clear();
    },

    // Puts the canvas over the view and everything in its pixel; the index of squares is made anew.
    _place() {
      const map = this._map;
      const size = map.getSize();
      const ratio = window.devicePixelRatio || 1;
      const canvas = this._canvas;
      if (canvas.width !== size.x * ratio || canvas.height !== size.y * ratio) {
        canvas.width = size.x * ratio;
        canvas.height = size.y * ratio;
        canvas.style.width = size.x + "px";
        canvas.style.height = size.y + "px";
      }
      L.DomUtil.setPosition(canvas, map.containerPointToLayerPoint([0, 0]));
      this._context.setTransform(ratio, 0, 0, ratio, 0, 0);
      const zoom = map.getZoom();
      const scale = 256 * 2 ** zoom;
      const origin = map.getPixelBounds().min;
      const columns = (this._columns = Math.ceil(size.x / CELL) + 2);
      const rows = (this._rows = Math.ceil(size.y / CELL) + 2);
      if (this._x.length !== count) {
        this._x = new Float32Array(count);
        this._y = new Float32Array(count);
        this._next = new Int32Array(count);
      }
      this._head = new Int32Array(columns * rows).fill(-1);
      this._r = Math.max(1.5, Math.min(7, 1.5 + (zoom - 11) * 0.8));
      for (let i = 0; i < count; i++) {
        if (ofKind[i] === NOWHERE || !isShown[ofKind[i]]) {
          this._x[i] = NaN;
          continue;
        }
        const x = (this._x[i] = Math.round(unitX[i] * scale - origin.x));
        const y = (this._y[i] = Math.round(unitY[i] * scale - origin.y));
        if (x < -CELL || y < -CELL || x >= size.x + CELL || y >= size.y + CELL) continue;
        const cell = (Math.floor(y / CELL) + 1) * columns + Math.floor(x / CELL) + 1;
        this._next[i] = this._head[cell];
        this._head[cell] = i;
      }
    },

    _drawAll() {
      this._place();
      const size = this._map.getSize();
      this._context.clearRect(0, 0, size.x, size.y);
      const shown = [];
      for (let i = 0; i < count; i++) {
        const x = this._x[i];
        if (x >= -CELL && x < size.x + CELL && this._y[i] >= -CELL && this._y[i] < size.y + CELL) shown.push(i);
      }
      this._marks(shown);
    },

    // Clears the squares of those that look otherwise, and draws in them again all that reach into them.
    _drawSquares() {
      const context = this._context;
      const near = new Set();
      context.save();
      context.beginPath();
      for (const [index, before] of this._dirty) {
        const x = this._x[index];
        const y = this._y[index];
        if (!(x >= -CELL)) continue;
        const half = Math.max(this._half(before), this._half(looks[index]));
        context.rect(x - half, y - half, 2 * half, 2 * half);
        for (const i of this.near(x, y, half)) near.add(i);
      }
      context.clip();
      const size = this._map.getSize();
      context.clearRect(0, 0, size.x, size.y);
      this._marks(near);
      context.restore();
    },

    // Returns half the side of the square that a look takes.
    _half(look) {
      return shapes[look] === "dot" ? Math.ceil(this._r) + 1 : Math.ceil(this._r * 1.7) + 2;
    },

    // Returns what reaches into a square around a pixel.
    near(x, y, half) {
      const found = [];
      const reach = half + this._half(ORDER[ORDER.length - 1]);
      const small = half + this._half(0);
      const column = (at) => Math.max(0, Math.min(this._columns - 1, Math.floor(at / CELL) + 1));
      const row = (at) => Math.max(0, Math.min(this._rows - 1, Math.floor(at / CELL) + 1));
      for (let r = row(y - reach); r <= row(y + reach); r++)
        for (let c = column(x - reach); c <= column(x + reach); c++)
          for (let i = this._head[r * this._columns + c]; i >= 0; i = this._next[i]) {
            const limit = looks[i] < 2 ? small : reach;
            if (Math.abs(this._x[i] - x) < limit && Math.abs(this._y[i] - y) < limit) found.push(i);
          }
      return found;
    },

    // Draws some, look by look: one path for each, so that thousands cost one fill.
    _marks(some) {
      const byLook = ORDER.map(() => []);
      for (const i of some) byLook[looks[i]].push(i);
      for (const look of ORDER) if (byLook[look].length) this._path(byLook[look], look);
    },

    _path(some, look) {
      const context = this._context;
      const shape = shapes[look];
      const r = shape === "dot" ? this._r : this._r * 1.7;
      const side = Math.round(2 * r);
      context.fillStyle = context.strokeStyle = colours[look];
      if (shape === "dot" && side < 6) {
        // On whole pixels: a square that ends within one would be smoothed, which costs ten times as much.
        for (const i of some) context.fillRect(this._x[i] - (side >> 1), this._y[i] - (side >> 1), side, side);
        return;
      }
      context.beginPath();
      for (const i of some) this._outline(context, shape, this._x[i], this._y[i], r);
      if (shape === "ring") {
        context.lineWidth = 1.5;
        context.stroke();
        return;
      }
      context.fill();
      if (shape === "square" || shape === "half") {
        context.lineWidth = 1;
        context.strokeStyle = edge;
        context.stroke();
      }
    },

    _outline(context, shape, x, y, r) {
      if (shape === "square") context.rect(x - r * 0.8, y - r * 0.8, r * 1.6, r * 1.6);
      else if (shape === "diamond") polygon(context, x, y, [[0, -r], [r, 0], [0, r], [-r, 0]]);
      else if (shape === "triangle") polygon(context, x, y, [[0, -r], [r, r * 0.8], [-r, r * 0.8]]);
      else {
        const [from, to] = shape === "half" ? [Math.PI / 2, Math.PI * 1.5] : [0, 2 * Math.PI];
        const size = shape === "ring" ? r * 0.8 : r;
        context.moveTo(x + size * Math.cos(from), y + size * Math.sin(from));
        context.arc(x, y, size, from, to);
        if (shape === "half") context.closePath();
      }
    },

    // Returns the pixel of one, for the tests that look at it.
    pixelOf(i) {
      return [this._x[i], this._y[i]];
    },
  });

  function polygon(context, x, y, corners) {
    corners.forEach(([dx, dy], n) => (n ? context.lineTo(x + dx, y + dy) : context.moveTo(x + dx, y + dy)));
    context.closePath();
  }

  let colours = [];
  let edge = "";
  function readColours() {
    const style = getComputedStyle(box);
    colours = ORDER.map((_, look) => style.getPropertyValue("--look-" + look).trim());
    edge = style.getPropertyValue("--look-edge").trim();
  }

  // ── the map ──

  readColours();
  const map = L.map(box, {
    zoomAnimation: false,
    fadeAnimation: false,
    markerZoomAnimation: false,
    inertia: false,
    attributionControl: false,
    zoomControl: false,
    keyboard: true,
    zoomSnap: 0.5,
    minZoom: 8,
    maxZoom: 19,
  });
  const zoom = L.control.zoom({ zoomInTitle: box.dataset.nearer, zoomOutTitle: box.dataset.farther });
  if (!box.hasAttribute("data-bare")) zoom.addTo(map);
  const [south, west, north, east] = box.dataset.bounds.split(",").map(Number);
  map.fitBounds([[south, west], [north, east]], { padding: [12, 12] });
  const layer = new Layer();
  layer.addTo(map);
  box.looksLayer = layer;
  box.dataset.ready = "map";

  if (box.dataset.base)
    fetch(box.dataset.base)
      .then((answer) => (answer.ok ? answer.json() : null))
      .then((shape) => shape && L.geoJSON(shape, { style: baseStyle, interactive: false, pointToLayer: () => null }).addTo(map).bringToBack());

  function baseStyle(feature) {
    const style = getComputedStyle(box);
    const isArea = feature.geometry.type.endsWith("Polygon");
    return {
      renderer: baseCanvas,
      color: style.getPropertyValue(isArea ? "--map-edge" : "--map-road").trim(),
      weight: isArea ? 1 : 2,
      fill: isArea,
      fillColor: style.getPropertyValue("--map-land").trim(),
      fillOpacity: 1,
    };
  }
  const baseCanvas = L.canvas({ padding: 0.3 });

  new MutationObserver(() => {
    readColours();
    layer.redrawSoon();
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

  // ── what stands where, and how it looks ──

  let loaded = ""; // cursor of the snapshot, empty while it is under way
  let held = []; // frames that came meanwhile

  async function load() {
    loaded = "";
    held = [];
    try {
      const states = await fetch(box.dataset.states, { headers: { Accept: "application/octet-stream" } });
      if (!states.ok) throw new Error(String(states.status));
      const digits = new Uint8Array(await states.arrayBuffer());
      const of = states.headers.get("x-places");
      if (of !== placesOf) await loadPlaces(of);
      if (digits.length !== count) throw new Error("other places");
      for (let i = 0; i < count; i++) looks[i] = digits[i] - 48;
      loaded = states.headers.get("x-seq");
      for (const message of held) apply(message);
      held = [];
      layer.redrawSoon();
      countSoon();
      box.dataset.ready = "looks";
      performance.mark("map-looks");
    } catch {
      setTimeout(load, 1000); // the engine is away, or begins: the freshness bar says so
    }
  }

  async function loadPlaces(of) {
    const answer = await fetch(box.dataset.places + "?of=" + encodeURIComponent(of));
    if (!answer.ok) throw new Error(String(answer.status));
    const data = new DataView(await answer.arrayBuffer());
    kinds = answer.headers.get("x-kinds").split(",");
    count = data.getUint32(0, true);
    unitX = new Float64Array(count);
    unitY = new Float64Array(count);
    looks = new Uint8Array(count);
    ofKind = new Uint8Array(data.buffer, 4 + 8 * count, count);
    let latitude = 0;
    let longitude = 0;
    for (let i = 0; i < count; i++) {
      latitude += data.getInt32(4 + 4 * i, true);
      longitude += data.getInt32(4 + 4 * (count + i), true);
      const sine = Math.sin((latitude / 1e6) * (Math.PI / 180));
      unitX[i] = longitude / 360e6 + 0.5;
      unitY[i] = 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
    }
    placesOf = of;
    readFilters();
  }

  function apply(message) {
    const [epoch, number] = message.id.split(".");
    const [at, seen] = loaded.split(".");
    if (epoch !== at) return load();
    if (Number(number) <= Number(seen)) return;
    for (const change of message.data.split("|")[0].split(",")) {
      const index = parseInt(change.slice(0, -1), 36);
      const before = looks[index];
      looks[index] = change.charCodeAt(change.length - 1) - 48;
      if (before !== looks[index]) layer.touch(index, before);
    }
    countSoon();
  }

  live.listen((message) => {
    if (message.kind === "reset") load();
    else if (message.kind === "join") {
      if (loaded && message.id && message.id.split(".")[0] !== loaded.split(".")[0]) load();
    } else if (!loaded) held.push(message);
    else apply(message);
  });
  load();

  // ── counts beside the map ──

  let counting = 0;
  function countSoon() {
    if (!counting) counting = setTimeout(recount, 1000);
  }

  function recount() {
    counting = 0;
    const rows = document.querySelectorAll("#park [data-kind]");
    if (!rows.length) return;
    const table = kinds.map(() => new Uint32Array(8));
    for (let i = 0; i < count; i++) if (ofKind[i] !== NOWHERE) table[ofKind[i]][looks[i]]++;
    for (const row of rows) {
      const counts = table[kinds.indexOf(row.dataset.kind)];
      if (!counts) continue;
      for (const cell of row.querySelectorAll("[data-count]")) {
        const text = format.format(counts[Number(cell.dataset.count)]);
        if (cell.textContent !== text) cell.textContent = text;
      }
    }
  }
  const format = new Intl.NumberFormat(document.documentElement.lang || "fr");

  // ── filters, in the address ──

  const filters = document.getElementById("map-filters");

  function readFilters() {
    const wanted = filters ? new Set(new FormData(filters).getAll("kind")) : new Set();
    isShown = kinds.map((kind) => !wanted.size || wanted.has(kind));
  }

  if (filters)
    filters.addEventListener("change", () => {
      readFilters();
      const query = new URLSearchParams(new FormData(filters));
      query.delete("shown");
      history.replaceState(null, "", location.pathname + (query.size ? "?" + query : ""));
      layer.redrawSoon();
    });

  // ── one thing: pointer and keyboard ──

  let asked = 0;
  async function describe(index) {
    const turn = ++asked;
    const answer = await fetch(box.dataset.places + "/" + index);
    if (!answer.ok || turn !== asked) return null;
    return answer.json();
  }

  function nearest(x, y, reach) {
    const rank = (i) => ORDER.indexOf(looks[i]) * 1000 - Math.hypot(layer.pixelOf(i)[0] - x, layer.pixelOf(i)[1] - y);
    return layer.near(x, y, reach).reduce((best, i) => (best < 0 || rank(i) > rank(best) ? i : best), -1);
  }

  map.on("click", async (event) => {
    const index = nearest(event.containerPoint.x, event.containerPoint.y, 12);
    if (index < 0) return;
    const thing = await describe(index);
    if (thing && thing.page) location.assign(thing.page);
  });

  function tellMiddle() {
    if (document.activeElement !== box) return;
    const size = map.getSize();
    const index = nearest(size.x / 2, size.y / 2, 40);
    if (index < 0) return void (said.textContent = box.dataset.nothing);
    describe(index).then((thing) => {
      if (thing) said.textContent = thing.name + " – " + thing.kind + " – " + thing.look;
      box.dataset.middle = String(index);
    });
  }

  box.addEventListener("focus", tellMiddle);
  map.on("moveend", tellMiddle);
  box.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || event.target !== box) return;
    const size = map.getSize();
    const index = nearest(size.x / 2, size.y / 2, 40);
    const thing = index < 0 ? null : await describe(index);
    if (thing && thing.page) location.assign(thing.page);
  });
})();
