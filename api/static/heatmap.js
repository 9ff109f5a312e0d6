/** The heat map: one tile a metric, coloured by its change, grouped by exchange. */

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import { filters } from "./filters.js";
import * as format from "./format.js";
import { poll } from "./poll.js";
import * as url from "./url.js";

const SHOWN = 300;
/** Number of shades; the strongest is for the largest changes shown. */
const SHADES = 5;

export function heatmap(root) {
  const filter = filters();
  const count = el("p", { class: "muted" });
  const tiles = el("div", { class: "heat" });
  fill(root, el("header", { class: "title" }, el("h1", { tabindex: -1 }, "Heat map"), filter.node), count, tiles);
  let asked = "";
  let poller = null;

  function update(state) {
    filter.update(state);
    const wanted = JSON.stringify({ field: state.field, exchange: state.exchange, quote: state.quote });
    if (wanted === asked) return;
    asked = wanted;
    poller?.stop();
    const parameters = { ...JSON.parse(wanted), order: "cv", limit: SHOWN, fields: "id,base,quote,unit,last,change_24h" };
    poller = poll((options) => get("metrics", parameters, options), render, (error) => fill(tiles, el("p", { class: "empty" }, error.message)));
  }

  function render({ metrics, total }) {
    say(count, `Change over 24 hours of ${metrics.length < total ? `the ${format.number(metrics.length)} most volatile of ` : ""}${format.number(total)} metrics`);
    if (!metrics.length) return fill(tiles, el("p", { class: "empty" }, "There is nothing to show: no metric passes the filters, or none has samples yet."));
    const top = scale(metrics.map((row) => Math.abs(row.change_24h ?? 0)));
    const exchanges = group(metrics);
    fill(tiles, [...exchanges].sort().map(([exchange, rows]) => el("section", {}, el("h2", {}, exchange),
      el("ul", {}, rows.sort((a, b) => (b.change_24h ?? 0) - (a.change_24h ?? 0)).map((row) => el("li", {}, tile(row, top)))))));
  }

  return { update, stop: () => poller?.stop() };
}

/** The 90th percentile of the changes, so that one outlier does not make all others pale. */
function scale(changes) {
  const sorted = changes.sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * 0.9)] || 0.01;
}

function group(metrics) {
  const found = new Map();
  for (const row of metrics) {
    const { exchange } = format.parts(row.id);
    found.set(exchange, [...(found.get(exchange) ?? []), row]);
  }
  return found;
}

function tile(row, top) {
  const { pair } = format.parts(row.id);
  const shade = Math.min(SHADES, Math.ceil((Math.abs(row.change_24h ?? 0) / top) * SHADES));
  return el("a", { href: url.href({ view: "chart", metric: row.id, range: "24h", from: "", to: "", alert: "" }),
    class: `${format.up(row.change_24h)} shade-${shade}`, title: `${row.id}: ${format.amount(row.last, row.unit)}` },
    el("b", {}, format.pairName({ ...row, pair })), el("span", {}, format.percent(row.change_24h)));
}
