/** The search box for metrics. Keys: / focuses it; arrows, Enter and Escape work in it. */

import { get } from "./api.js";
import { el, fill } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";
import { listbox } from "./listbox.js";

const SHOWN = 40;
const PAUSE = 80;
const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };

/** Puts the search box in `root`. Calls `pick(id)` with the chosen metric. */
export function picker(root, pick) {
  const input = box();
  const list = listbox(input, choose);
  fill(root, input, el("kbd", { "aria-hidden": "true" }, "/"), list.node);
  let timer = 0;
  let asking = null;

  async function search() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    const { groups, text } = await matches(input.value.replaceAll("/", "").trim(), signal); // ids have btcusd for BTC/USD
    if (!signal.aborted) list.show(groups, text);
  }

  function close() {
    clearTimeout(timer);
    asking?.abort();
    list.hide();
  }

  function leave() {
    close();
    input.blur();
  }

  function choose(id) {
    input.value = "";
    leave();
    pick(id);
  }

  function escape() {
    if (!input.value) return leave();
    input.value = "";
    search();
  }

  function press(event) {
    const by = MOVES[event.key];
    if (by) list.hidden() ? search() : list.move(by);
    else if (event.key === "Enter" && !list.hidden() && list.active()) choose(list.active());
    else if (event.key === "Escape") escape();
    else return;
    event.preventDefault();
  }

  input.addEventListener("focus", search);
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", press);
  focusBySlash(input);
}

const box = () => el("input", {
  id: "search", type: "search", role: "combobox", placeholder: "Find a metric", autocomplete: "off", spellcheck: "false",
  "aria-label": "Find a metric", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "options",
  "aria-keyshortcuts": "/",
});

function focusBySlash(input) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    input.focus();
  });
}

/** The groups of metrics to offer for `q`, and a text about them. If the API fails, the remembered ones and its message. */
async function matches(q, signal) {
  const stars = q ? [] : kept.starred();
  const recent = q ? [] : kept.recent().filter((id) => !stars.includes(id));
  const remembered = (rows) => [["Starred", stars], ["Recent", recent]].map(([name, ids]) => [name, ids.map((id) => rows.get(id) ?? { id })]);
  try {
    const { body } = await get("metrics", { q, order: "rank", limit: SHOWN, fields: "id,base,quote,last,change_24h" }, { signal });
    if (q) return { groups: [["", body.metrics]], text: summary(body, q) };
    const rows = new Map(body.metrics.map((row) => [row.id, row]));
    const others = body.metrics.filter((row) => !stars.includes(row.id) && !recent.includes(row.id));
    return { groups: [...remembered(rows), ["Most volatile", others]], text: summary(body, q) };
  } catch (error) {
    return { groups: remembered(new Map()), text: error.message };
  }
}

function summary({ metrics, total }, q) {
  if (!total) return q ? `No metric matches “${q}”. Try an exchange, a pair or a currency.` : "There are no metrics yet.";
  if (total > metrics.length) return `${metrics.length} of ${format.number(total)} metrics. Type to narrow it down.`;
  return `${format.number(total)} ${total === 1 ? "metric" : "metrics"}`;
}
