/** The alerts on a plot: a button for each, at its slot and value. A click opens the alert's explanation. */

import { el } from "./dom.js";
import * as format from "./format.js";
import * as url from "./url.js";

/** The button of `alert`; `open`: whether the alert is explained now. */
export function marker(alert, open, unit, utc) {
  const apart = (event) => event.stopPropagation(); // pressing a marker must not start a drag
  return el("button", {
    class: `marker ${alert.state}`, "data-slot": alert.slot, "data-value": alert.value, "aria-current": open ? "true" : null,
    "aria-label": `Alert ${alert.rule}, ${format.moment(alert.slot, utc)}: ${format.amount(alert.value, unit)}`,
    on: { click: () => url.go({ alert: alert.id, metric: alert.metric }), mousedown: apart, pointerdown: apart },
  });
}

/** Moves the buttons in `root` to their alerts' positions on the uPlot `plot`. Hides those outside the time shown. */
export function place(root, plot) {
  const { min, max } = plot.scales.x;
  for (const node of root.children) {
    const slot = Number(node.dataset.slot);
    node.hidden = slot < min || slot > max;
    node.style.left = `${plot.valToPos(slot, "x")}px`;
    node.style.top = `${Math.min(plot.over.clientHeight, Math.max(0, plot.valToPos(Number(node.dataset.value), "y")))}px`;
  }
}
