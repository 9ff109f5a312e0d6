/** Price above volume over the same time. The two plots share the crosshair, the gestures and the caption. */

import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import { gestures } from "./gestures.js";
import { marker, place } from "./markers.js";
import { pane } from "./pane.js";
import { caption, limit, readout } from "./readout.js";
import { baseline, slots } from "./series.js";

const KINDS = { price: "line", volume: "bars" };

/** Returns {node, draw(market, field, range), mark(alerts, open), restyle, stop}; `show(from, to)` and `all` change the range. */
export function plots({ utc, show, all }) {
  const note = el("figcaption", { id: "caption" });
  const spoken = el("p", { class: "sr-only", role: "status" });
  const views = Object.fromEntries(Object.keys(KINDS).map((name) => [name, view(name, { utc, moved, zoomed: show })]));
  const every = Object.values(views);
  const node = el("figure", { class: "plots", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-describedby": "caption keys" },
    every.map((each) => each.node), note, spoken);
  let market = null;
  let field = "price";
  let range = null;
  let cursor = null;

  gestures(node, { visible: () => range, show, all, step, center: () => (cursor === null ? (range[0] + range[1]) / 2 : at(cursor)) });

  const at = (index) => market.fields[field].start + index * market.step;
  const read = () => every.forEach((each) => each.read(cursor));

  function draw(next, selected, shown) {
    if (next.id !== market?.id) cursor = null;
    [market, field, range] = [next, selected, shown];
    node.dataset.field = field;
    node.setAttribute("aria-label", `${format.pairName(market)} on ${market.exchange}, the last 24 hours`);
    for (const [name, each] of Object.entries(views)) each.draw(market.fields[name], range);
    read();
    say(note, caption(market.fields[field], range, utc()));
  }

  function moved(index) {
    cursor = index;
    read();
  }

  /** Moves the crosshair by `by` slots, and scrolls if it leaves the time shown. */
  function step(by) {
    const { values, unit } = market.fields[field];
    cursor = Math.min(values.length - 1, Math.max(0, (cursor ?? values.length - 1) + by));
    const [time, value, width] = [at(cursor), values[cursor], range[1] - range[0]];
    if (time < range[0]) show(time, time + width);
    if (time > range[1]) show(time - width, time);
    views[field].point(time);
    say(spoken, `${format.moment(time, utc())}: ${format.amount(value, unit)}`);
  }

  function restyle() {
    for (const each of every) each.erase();
    if (market) draw(market, field, range);
  }

  return {
    node,
    draw,
    mark: (alerts, open) => every.forEach((each) => each.mark(alerts, open)),
    restyle,
    stop: () => every.forEach((each) => each.stop()),
  };
}

/**
 * The plot of one field, below its readout and under its markers. `moved` and `zoomed` are those of `pane`.
 * Nothing is shown before the first `draw(row, range)`; after `erase()`, the next one takes the theme's colours anew.
 */
function view(field, { utc, moved, zoomed }) {
  const words = el("p", { class: "readout", "data-readout": field });
  const plot = el("div", { class: "plot" });
  const markers = el("div", { class: "markers" });
  let drawing = null;
  let row = null;
  let mean = [];
  let beyond = 0;

  const resized = new ResizeObserver(() => drawing?.resize());
  resized.observe(plot);

  const follow = () => drawing && place(markers, drawing.plot);

  function open() {
    const made = pane(plot, { kind: KINDS[field], utc, sync: "chart", timeline: field === "volume", moved, zoomed, drawn: follow });
    made.plot.over.append(markers);
    return made;
  }

  function draw(next, range) {
    if (next !== row) mean = baseline(next);
    row = next;
    drawing ??= open();
    beyond = drawing.draw(slots(row), row.values, { baseline: mean, limit: mean.map(limit), range });
  }

  function mark(alerts, opened) {
    if (!row) return;
    const own = alerts.filter((alert) => format.parts(alert.metric).field === field);
    fill(markers, own.map((alert) => marker(alert, alert.id === opened, row.unit, utc())));
    follow();
  }

  function erase() {
    drawing?.destroy();
    drawing = null;
  }

  return {
    node: el("div", { class: "pane", "data-pane": field }, words, plot),
    draw,
    read: (cursor) => row && fill(words, readout(field, row, cursor, { mean, beyond }, utc())),
    mark,
    point: (time) => drawing.plot.setCursor({ left: drawing.plot.valToPos(time, "x"), top: 10 }),
    erase,
    stop() {
      resized.disconnect();
      erase();
    },
  };
}
