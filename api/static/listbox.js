/** The list of metrics below the search box. One option is active: Enter chooses it. */

import { el, fill } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";

/**
 * Returns {node, show(groups), move(by), active}. A group is [name, rows]; an empty name shows none. A click calls
 * `choose(id)`. `active()` is the id of the active metric, or undefined; `input` names its option to screen readers.
 */
export function listbox(input, choose) {
  const node = el("ul", { id: "options", role: "listbox", "aria-label": "Metrics" });
  let ids = [];
  let at = -1;

  function show(groups) {
    ids = groups.flatMap(([, rows]) => rows.map((row) => row.id));
    fill(node, groups.filter(([, rows]) => rows.length).map(([name, rows]) => [
      name && el("li", { class: "group", role: "presentation" }, name),
      rows.map((row) => option(row, choose)),
    ]));
    activate(ids.length ? 0 : -1);
  }

  function activate(index) {
    node.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    at = index;
    const chosen = ids[at] && node.querySelectorAll("[role=option]")[at];
    if (!chosen) return input.removeAttribute("aria-activedescendant");
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", chosen.id);
  }

  /** Activates the option `by` places further. One step goes round at the ends, a longer one stops there. */
  function move(by) {
    if (!ids.length) return;
    const next = at + by;
    activate(Math.abs(by) === 1 ? (next + ids.length) % ids.length : Math.min(ids.length - 1, Math.max(0, next)));
  }

  return { node, show, move, active: () => ids[at] };
}

function option(row, choose) {
  const { exchange, pair, field } = format.parts(row.id);
  const starred = kept.starred().includes(row.id);
  return el("li", { id: `option-${row.id}`, role: "option", "aria-selected": "false", on: {
    pointerdown: (event) => event.preventDefault(), // the search box keeps the focus
    click: () => choose(row.id),
  } },
    el("span", { class: "name" }, starred && "★ ", format.pairName({ ...row, pair }), " ", el("small", {}, field)),
    el("span", { class: "muted" }, exchange),
    el("span", { class: "figure" }, row.last === undefined ? "" : format.short(row.last)),
    el("span", { class: `figure ${format.up(row.change_24h)}` }, row.change_24h === undefined ? "" : format.percent(row.change_24h)),
  );
}
