/** Metrics by rank, change, value or name: a table that can be sorted by its columns, with sparklines. */

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import { filters } from "./filters.js";
import * as format from "./format.js";
import { stale } from "./numbers.js";
import { poll } from "./poll.js";
import { spark } from "./spark.js";
import * as url from "./url.js";

const PAGE = 50;
const MOST = 1000;
const COLUMNS = [
  ["id", "Market"],
  ["", "24 h", "sparks"],
  ["last", "Last", "figure"],
  ["", "1 h %", "figure"],
  ["change", "24 h %", "figure"],
  ["", "Std. deviation", "figure wide"],
  ["cv", "Variation", "figure wide"],
  ["rank", "Rank", "figure"],
];
const FIELDS = "id,base,quote,unit,last,last_slot,change_1h,change_24h,stddev_24h,cv_24h,rank,spark";

export function movers(root) {
  const filter = filters();
  const head = el("tr");
  const body = el("tbody");
  const count = el("caption");
  const more = el("button", { hidden: true, on: { click: () => ((limit = Math.min(MOST, limit * 2)), restart()) } }, "Show more");
  fill(root, el("header", { class: "title" }, el("h1", { tabindex: -1 }, "Movers"), filter.node),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Movers" }, el("table", { class: "movers" }, count, el("thead", {}, head), body)), more);

  let limit = PAGE;
  let asked = "";
  let poller = null;

  function update(state) {
    filter.update(state);
    const { field, exchange, quote, order } = state;
    const wanted = JSON.stringify({ field, exchange, quote, order });
    if (wanted === asked) return;
    asked = wanted;
    limit = PAGE;
    fill(head, COLUMNS.map((column) => heading(column, order)));
    restart();
  }

  function restart() {
    poller?.stop();
    const parameters = { ...JSON.parse(asked), limit, fields: FIELDS };
    poller = poll((options) => get("metrics", parameters, options), render, (error) => {
      fill(body, el("tr", {}, el("td", { colspan: COLUMNS.length, class: "empty" }, error.message)));
    });
  }

  function render({ metrics, total }) {
    const { exchange, quote, field } = url.state();
    say(count, `${format.number(metrics.length)} of ${format.number(total)} metrics`);
    more.hidden = metrics.length >= total || limit >= MOST;
    if (!metrics.length) {
      const why = exchange || quote ? "No metric passes these filters." : `No ${field} is ranked yet: ranks appear with the first samples.`;
      return fill(body, el("tr", {}, el("td", { colspan: COLUMNS.length, class: "empty" }, why)));
    }
    fill(body, metrics.map(line));
  }

  return { update, stop: () => poller?.stop() };
}

/** A column sorts largest first, Market and Rank smallest first; "-" reverses it. */
function heading([key, name, kind = ""], order) {
  if (!key) return el("th", { scope: "col", class: kind }, name);
  const sorted = order.replace("-", "") === key;
  const reversed = order.startsWith("-");
  const up = ["id", "rank"].includes(key) !== reversed;
  return el("th", { scope: "col", class: kind, "aria-sort": sorted ? (up ? "ascending" : "descending") : null },
    el("button", { on: { click: () => url.go({ order: sorted && !reversed ? `-${key}` : key }) } },
      name, el("span", { "aria-hidden": "true" }, sorted ? (up ? " ↑" : " ↓") : "")));
}

function line(row) {
  const { exchange, pair } = format.parts(row.id);
  const old = stale(row);
  return el("tr", { "data-metric": row.id },
    el("th", { scope: "row" }, el("a", { href: url.href({ view: "chart", metric: row.id, range: "24h", from: "", to: "", alert: "" }) },
      format.pairName({ ...row, pair })), " ", el("small", {}, exchange), old ? el("span", { class: "stale" }, ` stale ${format.duration(old)}`) : null),
    el("td", { class: `sparks ${format.up(row.change_24h)}` }, spark(row.spark)),
    el("td", { class: "figure" }, format.number(row.last), " ", el("small", {}, format.unit(row.unit))),
    el("td", { class: `figure ${format.up(row.change_1h)}` }, format.percent(row.change_1h)),
    el("td", { class: `figure ${format.up(row.change_24h)}` }, format.percent(row.change_24h)),
    el("td", { class: "figure wide" }, format.number(row.stddev_24h, 4)),
    el("td", { class: "figure wide" }, typeof row.cv_24h === "number" ? format.percent(row.cv_24h).replace("+", "") : "–"),
    el("td", { class: "figure" }, row.rank?.text ?? "–"));
}
