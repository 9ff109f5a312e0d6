/** Price above volume over the same time: the two panes of a market, their readouts, alerts on them, and a caption. */

import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import { gestures } from "./gestures.js";
import { pane } from "./pane.js";
import { baseline, extent, gaps, slots } from "./series.js";
import * as url from "./url.js";

const KINDS = { price: "line", volume: "bars" };
/** The default rule fires above this many times the mean of the hour before. */
const FACTOR = 3;

/** Returns {node, draw(market, field, range), mark(alerts, open), restyle, stop}; `show(from, to)` and `all` change the range. */
export function plots({ utc, show, all }) {
  const caption = el("figcaption", { id: "caption" });
  const spoken = el("p", { class: "sr-only", role: "status" });
  const views = Object.fromEntries(Object.entries(KINDS).map(([field, kind]) => [field, view(field, kind)]));
  const node = el("figure", { class: "plots", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-describedby": "caption keys" },
    Object.values(views).map((each) => each.node), caption, spoken);
  let market = null;
  let field = "price";
  let range = null;
  let cursor = null;

  gestures(node, { visible: () => range, show, all, step, center: () => (cursor === null ? (range[0] + range[1]) / 2 : at(cursor)) });

  const at = (index) => market.fields[field].start + index * market.step;

  function view(name, kind) {
    const readout = el("p", { class: "readout", "data-readout": name });
    const plot = el("div", { class: "plot" });
    const markers = el("div", { class: "markers" });
    const made = { node: el("div", { class: "pane", "data-pane": name }, readout, plot), readout, markers, drawing: null, mean: [], beyond: 0 };
    made.open = () => {
      made.drawing ??= pane(plot, { kind, utc, sync: "chart", timeline: name === "volume", moved, zoomed: show, drawn: () => place(made) });
      made.drawing.plot.over.append(markers);
    };
    made.resized = new ResizeObserver(() => made.drawing?.resize());
    made.resized.observe(plot);
    return made;
  }

  function draw(next, selected, shown) {
    if (next !== market) for (const [name, each] of Object.entries(views)) each.mean = baseline(next.fields[name]);
    if (next.id !== market?.id) cursor = null;
    [market, field, range] = [next, selected, shown];
    node.dataset.field = field;
    node.setAttribute("aria-label", `${format.pairName(market)} on ${market.exchange}, the last 24 hours`);
    for (const [name, each] of Object.entries(views)) {
      const series = market.fields[name];
      each.open();
      each.beyond = each.drawing.draw(slots(series), series.values,
        { baseline: each.mean, limit: each.mean.map((value) => value && value * FACTOR), range });
    }
    read();
    say(caption, described(market.fields[field], range, utc()));
  }

  function moved(index) {
    cursor = index;
    if (market) read();
  }

  /** Moves the crosshair by `by` slots, and scrolls if it leaves the time shown. */
  function step(by) {
    const { values, unit } = market.fields[field];
    cursor = Math.min(values.length - 1, Math.max(0, (cursor ?? values.length - 1) + by));
    const [time, value, width] = [at(cursor), values[cursor], range[1] - range[0]];
    if (time < range[0]) show(time, time + width);
    if (time > range[1]) show(time - width, time);
    const { plot } = views[field].drawing;
    plot.setCursor({ left: plot.valToPos(time, "x"), top: 10 });
    say(spoken, `${format.moment(time, utc())}: ${format.amount(value, unit)}`);
  }

  /** Fills the readouts with the values at the crosshair, or with the newest ones. */
  function read() {
    for (const [name, { readout, mean, beyond }] of Object.entries(views)) {
      const row = market.fields[name];
      const index = cursor ?? row.values.findLastIndex((value) => value !== null);
      fill(readout, el("b", {}, name), reading(row, index, utc()), bounds(mean[index]),
        beyond > 0 && el("span", { class: "muted" }, `${beyond} ${beyond === 1 ? "bar reaches" : "bars reach"} beyond the top`));
    }
  }

  /** A button on the chart for each of `alerts`; `open` is the id of the one that is explained. */
  function mark(alerts, open) {
    if (!market) return;
    for (const [name, each] of Object.entries(views)) {
      const own = alerts.filter((alert) => format.parts(alert.metric).field === name);
      fill(each.markers, own.map((alert) => marker(alert, alert.id === open, market.fields[name].unit, utc())));
      place(each);
    }
  }

  function restyle() {
    for (const each of Object.values(views)) {
      each.drawing?.destroy();
      each.drawing = null;
    }
    if (market) draw(market, field, range);
  }

  function stop() {
    for (const each of Object.values(views)) {
      each.resized.disconnect();
      each.drawing?.destroy();
    }
  }

  return { node, draw, mark, restyle, stop };
}

function reading({ values, start, step, closed, final, unit }, index, utc) {
  if (index < 0) return el("span", { class: "value" }, "no samples");
  const value = values[index] === null ? "no sample" : format.amount(values[index], unit, format.exact);
  const state = index >= closed ? " · in progress" : index >= final && values[index] !== null && " · may still change";
  return [el("span", { class: "value" }, value), el("time", {}, format.moment(start + index * step, utc), state)];
}

function bounds(mean) {
  if (mean === null || mean === undefined) return null;
  return [el("span", { class: "key baseline" }, `1 h mean ${format.number(mean)}`),
    el("span", { class: "key limit" }, `${FACTOR} × mean ${format.number(mean * FACTOR)}`)];
}

/** The chart's caption: low, high, slots and gaps. */
function described({ values, start, step, closed, unit }, [from, to], utc) {
  const first = Math.max(0, Math.ceil((from - start) / step));
  const part = values.slice(first, Math.floor((to - start) / step) + 1);
  const found = extent(part);
  if (!found) return "No samples in this time. Gaps fill by themselves when the source answers again.";
  const when = (index) => format.clock(start + (first + index) * step, utc);
  const missing = gaps(part.slice(0, closed - first));
  const lost = missing.reduce((sum, [a, b]) => sum + b - a + 1, 0) * step;
  return [
    `low ${format.amount(found.low, unit)} at ${when(found.lowAt)}`,
    `high ${format.amount(found.high, unit)} at ${when(found.highAt)}`,
    `${format.number(found.count)} of ${format.number(part.length)} slots`,
    lost && `${missing.length} ${missing.length === 1 ? "gap" : "gaps"} of ${format.duration(lost)} in all`,
  ].filter(Boolean).join(" · ");
}

function marker(alert, open, unit, utc) {
  const apart = (event) => event.stopPropagation(); // pressing a marker must not start a drag
  return el("button", {
    class: `marker ${alert.state}`, "data-slot": alert.slot, "data-value": alert.value, "aria-current": open ? "true" : null,
    "aria-label": `Alert ${alert.rule}, ${format.moment(alert.slot, utc)}: ${format.amount(alert.value, unit)}`,
    on: { click: () => url.go({ alert: alert.id, metric: alert.metric }), mousedown: apart, pointerdown: apart },
  });
}

/** Moves a pane's markers to their alerts' positions. */
function place({ drawing, markers }) {
  if (!drawing) return;
  const { plot } = drawing;
  const { min, max } = plot.scales.x;
  for (const node of markers.children) {
    const slot = Number(node.dataset.slot);
    node.hidden = slot < min || slot > max;
    node.style.left = `${plot.valToPos(slot, "x")}px`;
    node.style.top = `${Math.min(plot.over.clientHeight, Math.max(0, plot.valToPos(Number(node.dataset.value), "y")))}px`;
  }
}
