/** The search box for metrics. Keys: / focuses it; arrows, Enter and Escape work in it. */

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";

const SHOWN = 40;
const PAUSE = 80;

/** Puts the search box in `root`. Calls `pick(id)` with the chosen metric. */
export function picker(root, pick) {
  const list = el("ul", { id: "options", role: "listbox", "aria-label": "Metrics" });
  const told = el("p", { class: "told", role: "status" });
  const input = el("input", {
    id: "search", type: "search", role: "combobox", placeholder: "Find a metric", autocomplete: "off", spellcheck: "false",
    "aria-label": "Find a metric", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "options",
    "aria-keyshortcuts": "/",
  });
  const popup = el("div", { class: "popup", hidden: true }, list, told);
  fill(root, input, el("kbd", { "aria-hidden": "true" }, "/"), popup);

  let ids = [];
  let active = -1;
  let timer = 0;
  let asking = null;

  function show(groups, text) {
    ids = groups.flatMap(([, rows]) => rows.map((row) => row.id));
    fill(list, groups.filter(([, rows]) => rows.length).map(([name, rows]) => [
      name && el("li", { class: "group", role: "presentation" }, name),
      rows.map((row) => option(row)),
    ]));
    say(told, text);
    popup.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(ids.length ? 0 : -1);
  }

  function option(row) {
    const { exchange, pair, field } = format.parts(row.id);
    const starred = kept.starred().includes(row.id);
    return el("li", { id: `option-${row.id}`, role: "option", "aria-selected": "false", on: {
      pointerdown: (event) => event.preventDefault(),
      click: () => choose(row.id),
    } },
      el("span", { class: "name" }, starred && "★ ", format.pairName({ ...row, pair }), " ", el("small", {}, field)),
      el("span", { class: "muted" }, exchange),
      el("span", { class: "figure" }, row.last === undefined ? "" : format.short(row.last)),
      el("span", { class: `figure ${format.up(row.change_24h)}` }, row.change_24h === undefined ? "" : format.percent(row.change_24h)),
    );
  }

  function activate(index) {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    active = index;
    const chosen = ids[active] && list.querySelectorAll("[role=option]")[active];
    if (!chosen) return input.removeAttribute("aria-activedescendant");
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", chosen.id);
  }

  function close() {
    clearTimeout(timer);
    asking?.abort();
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(id) {
    input.value = "";
    close();
    input.blur();
    pick(id);
  }

  async function search() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    const q = input.value.replaceAll("/", "").trim(); // ids have btcusd for BTC/USD
    const stars = q ? [] : kept.starred();
    const recent = q ? [] : kept.recent().filter((id) => !stars.includes(id));
    try {
      const { body } = await get("metrics", { q, order: "rank", limit: SHOWN, fields: "id,base,quote,last,change_24h" }, { signal });
      const known = new Map(body.metrics.map((row) => [row.id, row]));
      const remembered = (list) => list.map((id) => known.get(id) ?? { id });
      const others = body.metrics.filter((row) => !stars.includes(row.id) && !recent.includes(row.id));
      show(q ? [["", body.metrics]] : [["Starred", remembered(stars)], ["Recent", remembered(recent)], ["Most volatile", others]],
        found(body, q));
    } catch (error) {
      if (!signal.aborted) show([["Starred", stars.map((id) => ({ id }))], ["Recent", recent.map((id) => ({ id }))]], error.message);
    }
  }

  input.addEventListener("focus", search);
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (move) {
      event.preventDefault();
      if (popup.hidden) search();
      else if (ids.length) activate(Math.abs(move) === 1 ? (active + move + ids.length) % ids.length : Math.min(ids.length - 1, Math.max(0, active + move)));
    } else if (event.key === "Enter" && !popup.hidden && ids[active]) {
      event.preventDefault();
      choose(ids[active]);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (input.value) {
        input.value = "";
        search();
      } else {
        close();
        input.blur();
      }
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    input.focus();
  });
}

function found({ metrics, total }, q) {
  if (!total) return q ? `No metric matches “${q}”. Try an exchange, a pair or a currency.` : "There are no metrics yet.";
  if (total > metrics.length) return `${metrics.length} of ${format.number(total)} metrics. Type to narrow it down.`;
  return `${format.number(total)} ${total === 1 ? "metric" : "metrics"}`;
}
