/** The selected market over 24 hours: numbers, price line, volume bars, alerts, and the crosshair's exact values. */

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import { explanation } from "./explain.js";
import * as format from "./format.js";
import * as kept from "./kept.js";
import { followMarket } from "./market.js";
import { pane } from "./pane.js";
import { poll } from "./poll.js";
import { baseline, extent, gaps, slots } from "./series.js";
import { numbers } from "./numbers.js";
import { table } from "./table.js";
import * as url from "./url.js";

const FIELDS = { price: "line", volume: "bars" };
/** What the mission alerts on: a value above this many times its mean of the hour before. */
const FACTOR = 3;
const MARKERS = 200;
const NARROWEST = 5;

/** Shows the metric of the address in `root`; returns {update(state), restyle, stop}. */
export function chart(root, { utc }) {
  const heading = el("h1", { tabindex: -1 });
  const star = el("button", { class: "icon", on: { click: toggleStar } });
  const add = el("button", { on: { click: addPane } }, "Add to grid");
  const ranges = el("div", { class: "segments", role: "group", "aria-label": "Time shown" },
    Object.keys(url.RANGES).map((range) => el("button", { "data-range": range, on: { click: () => url.go({ range, from: "", to: "" }) } }, range)));
  const fields = el("div", { class: "segments", role: "group", "aria-label": "Metric" });
  const stats = el("dl", { class: "stats" });
  const alertCard = el("div", { class: "explain", hidden: true });
  const caption = el("figcaption", { id: "caption" });
  const spoken = el("p", { class: "sr-only", role: "status" });
  const views = Object.fromEntries(Object.keys(FIELDS).map((field) => [field, {
    readout: el("p", { class: "readout", "data-readout": field }), plot: el("div", { class: "plot" }),
    markers: el("div", { class: "markers" }),
  }]));
  const figure = el("figure", { class: "plots", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-describedby": "caption keys",
    on: { keydown: keys, wheel, pointerdown: drag, dblclick: () => url.go({ range: "24h", from: "", to: "" }) } },
    Object.entries(views).map(([field, view]) => el("div", { class: "pane", "data-pane": field }, view.readout, view.plot)), caption);
  // Shift and drag pans: the chart library, which would select, does not get to know.
  figure.addEventListener("mousedown", (event) => event.shiftKey && event.stopPropagation(), { capture: true });
  const values = table();
  const message = el("div", { class: "message", hidden: true });
  const body = el("div", { class: "chart" },
    el("header", { class: "title" }, el("div", { class: "names" }, heading, star), fields, ranges, add),
    stats, alertCard, figure, values.node, spoken,
    el("p", { id: "keys", class: "hint" }, "Drag or scroll to zoom, Shift and drag to pan, double-click for all. With the keyboard: arrows move the crosshair, + and − zoom, Home shows all."));
  fill(root, message, body);

  let shown = {};
  let market = null;
  let alerts = [];
  let followers = [];
  let panes = {};
  let cursor = null;
  let computed = {};
  const beyond = {};
  let opened = null;
  const resized = new ResizeObserver(() => Object.values(panes).forEach((each) => each.resize()));
  for (const view of Object.values(views)) resized.observe(view.plot);

  function update(state) {
    const changed = state.metric !== shown.metric && format.parts(state.metric).market !== shown.market;
    shown = { ...state, ...format.parts(state.metric) };
    if (changed) follow();
    else if (market) render();
    opened = explanation(alertCard, opened, state.alert, { utc });
    for (const button of ranges.children) button.setAttribute("aria-pressed", String(!state.from && button.dataset.range === state.range));
    figure.dataset.field = shown.field;
  }

  function follow() {
    stop();
    market = null;
    alerts = [];
    cursor = null;
    body.classList.add("loading");
    message.hidden = true;
    body.hidden = false;
    followers = [
      followMarket(shown.market, take, fail),
      poll((options) => get("alerts", { market: shown.market, limit: MARKERS }, options), ({ alerts: found }) => {
        alerts = found;
        mark();
      }),
    ];
  }

  function take(news) {
    market = news;
    computed = {};
    body.classList.remove("loading");
    message.hidden = true;
    body.hidden = false;
    render();
  }

  function fail(error) {
    if (market && error.status !== 404) return;
    body.hidden = true;
    message.hidden = false;
    fill(message, el("h2", {}, error.status === 404 ? "There is no such metric" : "This metric cannot be shown"),
      el("p", {}, error.message), el("p", {}, "Press / to find another one."));
  }

  function render() {
    const row = market.fields[shown.field];
    const name = format.pairName(market);
    document.title = `${format.short(row.last)} ${format.unit(row.unit)} · ${name} ${shown.field} · data-tracker`;
    fill(heading, name, el("small", {}, market.exchange));
    figure.setAttribute("aria-label", `${name} on ${market.exchange}, the last 24 hours`);
    fill(fields, Object.keys(FIELDS).map((field) => el("button", { "aria-pressed": String(field === shown.field), on: {
      click: () => url.go({ metric: `${shown.market}:${field}` }) } }, field)));
    renderStar();
    numbers(stats, row, utc());
    draw();
  }

  function renderStar() {
    const on = kept.starred().includes(shown.metric);
    say(star, on ? "★" : "☆");
    star.setAttribute("aria-pressed", String(on));
    star.setAttribute("aria-label", `Star ${shown.metric}`);
  }

  function draw() {
    const range = visible();
    for (const [field, view] of Object.entries(views)) {
      panes[field] ??= pane(view.plot, { kind: FIELDS[field], utc, sync: "chart", timeline: field === "volume", moved, zoomed: show, drawn: () => place(field) });
      panes[field].plot.over.append(view.markers);
      const { values: series } = market.fields[field];
      computed[field] ??= baseline(market.fields[field]);
      const mean = computed[field];
      beyond[field] = panes[field].draw(slots(market.fields[field]), series,
        { baseline: mean, limit: mean.map((value) => value && value * FACTOR), range });
    }
    mark();
    read();
    describe(range);
    values.update({ market, range, utc });
  }

  /** The first and last slot to show. A range follows the newest slot, from and to stay. */
  function visible() {
    const { start, step, values: series } = market.fields[shown.field];
    const end = start + (series.length - 1) * step;
    const from = Number(shown.from);
    const to = Number(shown.to);
    if (from && to > from && to > start) return [Math.max(from, start), Math.min(to, end)];
    return [Math.max(start, end - url.RANGES[shown.range]), end];
  }

  function show(from, to) {
    const { start, step, values: series } = market.fields[shown.field];
    const end = start + (series.length - 1) * step;
    const width = Math.min(end - start, Math.max(NARROWEST * step, to - from));
    const first = Math.round(Math.min(Math.max(start, from), end - width) / step) * step;
    if (width >= end - start) return url.go({ range: "24h", from: "", to: "" }, { replace: true });
    url.go({ from: String(first), to: String(Math.round((first + width) / step) * step) }, { replace: true });
  }

  function zoomBy(factor, around) {
    const [from, to] = visible();
    const center = around ?? (cursor === null ? (from + to) / 2 : at(cursor));
    show(center - (center - from) * factor, center + (to - center) * factor);
  }

  const at = (index) => market.fields[shown.field].start + index * market.step;

  function wheel(event) {
    if (!market || event.ctrlKey) return;
    const over = event.target.closest(".u-over");
    if (!over) return;
    event.preventDefault();
    const [from, to] = visible();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = ((to - from) * event.deltaX) / over.clientWidth;
      return show(from + by, to + by);
    }
    const share = (event.clientX - over.getBoundingClientRect().left) / over.clientWidth;
    zoomBy(event.deltaY > 0 ? 1.25 : 0.8, from + share * (to - from));
  }

  /** Shift and drag pans; so does a finger when zoomed in; two fingers zoom. */
  function drag(event) {
    const over = event.target.closest(".u-over");
    if (!over || !market || !(event.shiftKey || event.pointerType === "touch")) return;
    event.stopPropagation();
    const fingers = new Map([[event.pointerId, event.clientX]]);
    let [from, to] = visible();
    const scale = () => (to - from) / over.clientWidth;
    const move = (moving) => {
      if (!fingers.has(moving.pointerId)) return;
      const before = [...fingers.values()];
      fingers.set(moving.pointerId, moving.clientX);
      const after = [...fingers.values()];
      if (fingers.size === 1) {
        const by = (before[0] - after[0]) * scale();
        show(from + by, to + by);
      } else {
        const width = (to - from) * Math.abs(before[0] - before[1]) / Math.max(8, Math.abs(after[0] - after[1]));
        const middle = (from + to) / 2;
        show(middle - width / 2, middle + width / 2);
      }
      [from, to] = visible();
    };
    const more = (down) => down.pointerType === "touch" && fingers.set(down.pointerId, down.clientX);
    const end = (up) => {
      fingers.delete(up.pointerId);
      if (fingers.size) return;
      removeEventListener("pointermove", move);
      removeEventListener("pointerdown", more);
      for (const name of ["pointerup", "pointercancel"]) removeEventListener(name, end);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerdown", more);
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, end);
  }

  function keys(event) {
    if (!market || event.target !== figure || event.ctrlKey || event.metaKey || event.altKey) return;
    const { values: series, step } = market.fields[shown.field];
    const [from, to] = visible();
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (move) {
      const next = (cursor ?? series.length - 1) + move * (event.shiftKey ? 10 : 1);
      cursor = Math.min(series.length - 1, Math.max(0, next));
      const time = at(cursor);
      if (time < from || time > to) show(time < from ? time : time - (to - from), time < from ? time + (to - from) : time);
      const over = panes[shown.field].plot;
      over.setCursor({ left: over.valToPos(time, "x"), top: 10 });
      say(spoken, `${format.moment(time, utc())}: ${format.amount(series[cursor], market.fields[shown.field].unit)}`);
    } else if (event.key === "+" || event.key === "=") zoomBy(0.5);
    else if (event.key === "-") zoomBy(2);
    else if (event.key === "Home") url.go({ range: "24h", from: "", to: "" }, { replace: true });
    else return;
    event.preventDefault();
  }

  function moved(index) {
    cursor = index;
    read();
  }

  /** What the crosshair is at, or the newest sample. */
  function read() {
    if (!market) return;
    for (const [field, view] of Object.entries(views)) {
      const row = market.fields[field];
      const index = cursor ?? newest(row.values);
      const mean = computed[field]?.[index];
      const time = row.start + index * row.step;
      fill(view.readout,
        el("b", {}, field), " ",
        el("span", { class: "value" }, row.values[index] === null || index < 0 ? "no sample" : format.amount(row.values[index], row.unit, format.exact)),
        el("time", {}, index < 0 ? "" : format.moment(time, utc()), index >= row.closed && index >= 0 && " · in progress"),
        mean !== null && mean !== undefined && [
          el("span", { class: "key baseline" }, `1 h mean ${format.number(mean)}`),
          el("span", { class: "key limit" }, `${FACTOR} × ${format.number(mean * FACTOR)}`),
        ],
        beyond[field] > 0 && el("span", { class: "muted" }, `${beyond[field]} ${beyond[field] === 1 ? "bar reaches" : "bars reach"} beyond the top`));
    }
  }

  /** What the chart shows, in a line of text. */
  function describe([from, to]) {
    const row = market.fields[shown.field];
    const first = Math.max(0, Math.ceil((from - row.start) / row.step));
    const part = row.values.slice(first, Math.floor((to - row.start) / row.step) + 1);
    const found = extent(part);
    if (!found) return say(caption, "No samples in this time. A gap fills by itself when the source is heard again.");
    const when = (index) => format.clock(row.start + (first + index) * row.step, utc());
    const missing = gaps(part.slice(0, row.closed - first));
    const lost = missing.reduce((sum, [a, b]) => sum + b - a + 1, 0) * row.step;
    say(caption, [
      `low ${format.amount(found.low, row.unit)} at ${when(found.lowAt)}`,
      `high ${format.amount(found.high, row.unit)} at ${when(found.highAt)}`,
      `${format.number(found.count)} of ${format.number(part.length)} slots`,
      lost && `${missing.length} ${missing.length === 1 ? "gap" : "gaps"} of ${format.duration(lost)} in all`,
    ].filter(Boolean).join(" · "));
  }

  /** A button on the chart for each alert of the time shown. */
  function mark() {
    if (!market || !panes.price) return;
    for (const [field, view] of Object.entries(views)) {
      fill(view.markers, alerts.filter((alert) => format.parts(alert.metric).field === field).map((alert) =>
        el("button", { class: `marker ${alert.state}`, "data-slot": alert.slot, "data-value": alert.value,
          "aria-label": `Alert ${alert.rule}, ${format.moment(alert.slot, utc())}: ${format.amount(alert.value, market.fields[field].unit)}`,
          "aria-current": alert.id === shown.alert ? "true" : null,
          on: { click: () => url.go({ alert: alert.id, metric: alert.metric }), mousedown: (event) => event.stopPropagation(),
            pointerdown: (event) => event.stopPropagation() } })));
      place(field);
    }
  }

  function place(field) {
    if (!panes[field] || !market) return;
    const { plot } = panes[field];
    const [from, to] = [plot.scales.x.min, plot.scales.x.max];
    for (const marker of views[field].markers.children) {
      const slot = Number(marker.dataset.slot);
      marker.hidden = slot < from || slot > to;
      marker.style.left = `${plot.valToPos(slot, "x")}px`;
      marker.style.top = `${Math.min(plot.over.clientHeight, Math.max(0, plot.valToPos(Number(marker.dataset.value), "y")))}px`;
    }
  }

  function toggleStar() {
    kept.star(shown.metric, !kept.starred().includes(shown.metric));
    renderStar();
  }

  function addPane() {
    kept.keepPanes([...kept.panes().filter((id) => id !== shown.metric), shown.metric]);
    url.go({ view: "grid", panes: "" });
  }

  function stop() {
    for (const each of followers) each.stop();
    followers = [];
  }

  return {
    update,
    restyle() {
      for (const each of Object.values(panes)) each.destroy();
      panes = {};
      if (market) render();
    },
    stop() {
      stop();
      resized.disconnect();
      for (const each of Object.values(panes)) each.destroy();
      opened?.stop();
    },
  };
}

function newest(values) {
  let index = values.length - 1;
  while (index >= 0 && values[index] === null) index--;
  return index;
}
