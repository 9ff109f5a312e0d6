/** The table of values below a chart. Its rows are made only while it is open. */

import { el, fill } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 120;

export function table() {
  const body = el("tbody");
  const count = el("caption", {});
  let latest = null;
  const node = el("details", { class: "values", on: { toggle: render } },
    el("summary", {}, "Values as a table"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Values" },
      el("table", {}, count, el("thead", {}, el("tr", {}, ["Time", "Price", "Volume"].map((name) => el("th", { scope: "col" }, name)))), body)));

  function render() {
    if (!node.open || !latest) return;
    const { market: { fields, step }, range: [from, to], utc } = latest;
    const { start } = fields.price;
    const first = Math.max(0, Math.ceil((from - start) / step));
    const last = Math.min(fields.price.values.length - 1, Math.floor((to - start) / step));
    const rows = [];
    for (let index = last; index >= first && rows.length < SHOWN; index--) {
      rows.push(el("tr", {}, el("th", { scope: "row" }, format.moment(start + index * step, utc())),
        ["price", "volume"].map((field) => el("td", {}, format.amount(fields[field].values[index], fields[field].unit, format.exact)))));
    }
    fill(body, rows);
    fill(count, last - first + 1 > SHOWN ? `The newest ${SHOWN} of ${last - first + 1} slots shown in the chart; zoom in for others.` : "Newest first.");
  }

  return {
    node,
    update(next) {
      latest = next;
      render();
    },
  };
}
