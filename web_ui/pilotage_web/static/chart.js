// Draws the values of a table beside it: the table is the truth, the chart is for the eye.
"use strict";

(() => {
  const box = document.getElementById("chart");
  if (!box || !window.uPlot) return;
  const rows = document.getElementById(box.dataset.table)?.querySelectorAll("tbody tr") || [];
  const times = [];
  const values = [];
  const words = []; // what is no number: each word its own height
  for (const row of rows) {
    const written = row.dataset.v;
    let value = null;
    if (written !== undefined && written !== "") {
      value = Number(written);
      if (Number.isNaN(value)) {
        if (!words.includes(written)) words.push(written);
        value = words.indexOf(written);
      }
    }
    times.push(Number(row.dataset.t));
    values.push(value);
  }
  if (times.length < 2 && values.every((value) => value === null)) return;
  times.push(Number(box.dataset.until));
  values.push(values[values.length - 1]);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--text-quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const named = words.length ? { values: (_, ticks) => ticks.map((tick) => words[tick] ?? "") , splits: words.map((_, index) => index) } : {};
  const clock = new Intl.DateTimeFormat("fr-FR", { hour: "2-digit", minute: "2-digit", timeZone: box.dataset.zone || undefined });
  box.hidden = false;
  const chart = new uPlot(
    {
      width: box.clientWidth - 16,
      height: 220,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { range: [Number(box.dataset.since), Number(box.dataset.until)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => clock.format(tick * 1000)) }, { ...axis, size: 70, ...named }],
      series: [{}, { stroke: colour("--link"), width: 2, spanGaps: false, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
    },
    [times, values],
    box,
  );
  new ResizeObserver(() => chart.setSize({ width: box.clientWidth - 16, height: 220 })).observe(box);
})();
