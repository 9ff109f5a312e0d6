/** The filters that the table of movers and the heat map share: field, exchange, quote. They are part of the address. */

import { get } from "./api.js";
import { el, fill } from "./dom.js";
import * as format from "./format.js";
import * as url from "./url.js";

/** The choices come from this many metrics, the most volatile ones. */
const LOOKED_AT = 1000;

export function filters() {
  const fields = el("div", { class: "segments", role: "group", "aria-label": "Metric" }, ["price", "volume"].map((field) =>
    el("button", { "data-field": field, on: { click: () => url.go({ field }) } }, field)));
  const exchange = select("exchange", "All exchanges");
  const quote = select("quote", "All quotes");
  offer();

  async function offer() {
    try {
      const { body } = await get("metrics", { field: "price", order: "rank", limit: LOOKED_AT, fields: "exchange,quote" });
      choices(exchange, body.metrics.map((row) => row.exchange));
      choices(quote, body.metrics.map((row) => row.quote));
      update(url.state());
    } catch (error) {
      if (!error.status) throw error; // the table shows the error
    }
  }

  function update(state) {
    for (const button of fields.children) button.setAttribute("aria-pressed", String(button.dataset.field === state.field));
    for (const [name, node] of Object.entries({ exchange, quote })) {
      if (state[name] && ![...node.options].some((option) => option.value === state[name])) node.append(el("option", { value: state[name] }, state[name]));
      node.value = state[name];
    }
  }

  return { node: el("div", { class: "filters" }, fields, exchange, quote), update };
}

function select(name, all) {
  const node = el("select", { "aria-label": `Filter by ${name}`, on: { change: () => url.go({ [name]: node.value }) } }, el("option", { value: "" }, all));
  return node;
}

function choices(node, values) {
  const [all] = node.options;
  const found = [...new Set(values)].filter(Boolean).sort();
  fill(node, all, found.map((value) => el("option", { value }, node.ariaLabel.endsWith("quote") ? format.unit(value) : value)));
}
