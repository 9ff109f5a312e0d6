/** The list of metrics below the search box, with a line of text. One option is active: Enter chooses it. */

import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";

/**
 * Returns {node, show(groups, text), hide, hidden, move(by), active}. A group is [name, rows]; the name may be empty.
 * A click calls `choose(id)`. `active()` is the id of the active metric, or undefined. The attributes of `input` tell
 * screen readers which option is active and whether the list is shown.
 */
export function listbox(input, choose) {
  const list = el("ul", { id: "options", role: "listbox", "aria-label": "Metrics" });
  const told = el("p", { class: "told", role: "status" });
  const node = el("div", { class: "popup", hidden: true }, list, told);
  let ids = [];
  let at = -1;

  function show(groups, text) {
    ids = groups.flatMap(([, rows]) => rows.map((row) => row.id));
    fill(list, groups.filter(([, rows]) => rows.length).map(([name, rows]) => [
      name && el("li", { class: "group", role: "presentation" }, name),
      rows.map((row) => option(row, choose)),
    ]));
    say(told, text);
    node.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(ids.length ? 0 : -1);
  }

  function hide() {
    node.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function activate(index) {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    at = index;
    const chosen = ids[at] && list.querySelectorAll("[role=option]")[at];
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

  return { node, show, hide, hidden: () => node.hidden, move, active: () => ids[at] };
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
