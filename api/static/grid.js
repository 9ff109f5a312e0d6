/** The grid view: up to nine metrics side by side, kept in this browser or named by the address. */

import { el, fill } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";
import { followMetric } from "./market.js";
import { stale } from "./numbers.js";
import { pane } from "./pane.js";
import { slots } from "./series.js";
import * as url from "./url.js";

export function grid(root, { utc }) {
  const cells = el("ul", { class: "grid" });
  const share = el("a", { class: "button" }, "Link to these");
  const keep = el("button", { on: { click: () => (kept.keepPanes(listed()), url.go({ panes: "" })) } }, "Keep in this browser");
  fill(root, el("header", { class: "title" }, el("h1", { tabindex: -1 }, "Grid"), share, keep), cells);
  const open = new Map();

  const listed = () => {
    const { panes } = url.state();
    return panes ? panes.split(",").slice(0, kept.PANES) : kept.panes();
  };

  function update(state) {
    const ids = listed();
    share.hidden = !ids.length || Boolean(state.panes);
    keep.hidden = !state.panes;
    share.href = url.href({ panes: ids.join(",") });
    for (const [id, cell] of open) if (!ids.includes(id)) (cell.stop(), open.delete(id));
    for (const id of ids) if (!open.has(id)) open.set(id, cellOf(id, { utc, remove }));
    cells.dataset.count = ids.length;
    if (ids.length) fill(cells, ids.map((id) => open.get(id).node));
    else fill(cells, el("li", { class: "empty" }, "No panes yet. Find a metric with /, then press “Add to grid” above its chart; nine fit."));
    for (const cell of open.values()) cell.redraw();
  }

  function remove(id) {
    const ids = listed().filter((each) => each !== id);
    if (url.state().panes) return url.go({ panes: ids.join(",") });
    kept.keepPanes(ids);
    update(url.state());
  }

  const each = (method) => open.forEach((cell) => cell[method]());
  return { update, restyle: () => each("restyle"), stop: () => each("stop") };
}

function cellOf(id, { utc, remove }) {
  const { exchange, pair, field } = format.parts(id);
  const name = el("a", { href: url.href({ view: "chart", metric: id, panes: "" }) }, format.unit(pair));
  const last = el("span", { class: "figure" });
  const change = el("span", { class: "figure" });
  const plot = el("div", { class: "plot", role: "img" });
  const node = el("li", { "data-pane": id }, el("header", {}, name, el("small", {}, `${field} · ${exchange}`),
    el("button", { class: "icon", "aria-label": `Remove ${id}`, on: { click: () => remove(id) } }, "×"), last, change), plot);
  let drawing = null;
  let row = null;

  const follower = followMetric(id, (market) => {
    row = market.fields[field];
    redraw();
  }, (error) => row || fill(plot, el("p", { class: "empty" }, error.message)));
  const resized = new ResizeObserver(() => drawing?.resize());
  resized.observe(plot);

  function redraw() {
    if (!row || !node.isConnected) return;
    const old = stale(row);
    fill(name, format.pairName({ ...row, pair }));
    fill(last, format.amount(row.last, row.unit, format.short));
    fill(change, old ? `stale ${format.duration(old)}` : format.percent(row.change_24h));
    change.className = `figure ${old ? "stale" : format.up(row.change_24h)}`;
    plot.setAttribute("aria-label", `${id} over 24 hours, now ${format.amount(row.last, row.unit)}, ${format.percent(row.change_24h)}`);
    drawing ??= pane(plot, { kind: field === "volume" ? "bars" : "line", utc, sync: "grid" });
    drawing.draw(slots(row), row.values);
  }

  function restyle() {
    drawing?.destroy();
    drawing = null;
    redraw();
  }

  return {
    node, redraw, restyle,
    stop() {
      follower.stop();
      resized.disconnect();
      drawing?.destroy();
    },
  };
}
