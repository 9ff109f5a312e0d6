/** The chart's heading: name and star of the metric, its field, the range of time, "Add to grid". */

import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import * as kept from "./kept.js";
import * as url from "./url.js";

const FIELDS = ["price", "volume"];

/** Returns {node, choose(shown), name(market)}; `shown` is the page's state with `metric`, `field`, `range` and `from`. */
export function heading() {
  let metric = "";
  const title = el("h1", { tabindex: -1 });
  const star = starButton(() => metric);
  const fields = choices("Metric", FIELDS, (field) => url.go({ metric: `${format.parts(metric).market}:${field}` }));
  const ranges = choices("Time shown", Object.keys(url.RANGES), (range) => url.go({ range, from: "", to: "" }));
  const add = el("button", { on: { click: () => addPane(metric) } }, "Add to grid");

  return {
    node: el("header", { class: "title" }, el("div", { class: "names" }, title, star.node), fields.node, ranges.node, add),
    choose(shown) {
      metric = shown.metric;
      fields.press(shown.field);
      ranges.press(shown.from ? "" : shown.range);
      star.update();
    },
    name: (market) => fill(title, format.pairName(market), el("small", {}, market.exchange)),
  };
}

/** A group of buttons, one of them pressed, as {node, press(name)}. A click calls `pick(name)`. */
function choices(label, names, pick) {
  const node = el("div", { class: "segments", role: "group", "aria-label": label },
    names.map((each) => el("button", { on: { click: () => pick(each) } }, each)));
  return {
    node,
    press(chosen) {
      for (const button of node.children) button.setAttribute("aria-pressed", String(button.textContent === chosen));
    },
  };
}

/** The button that stars the metric `current()`, as {node, update}. */
function starButton(current) {
  const node = el("button", { class: "icon", on: { click: toggle } });

  function toggle() {
    const on = node.getAttribute("aria-pressed") !== "true";
    kept.star(current(), on);
    light(on);
  }

  function light(on) {
    say(node, on ? "★" : "☆");
    node.setAttribute("aria-pressed", String(on));
  }

  return {
    node,
    update() {
      node.setAttribute("aria-label", `Star ${current()}`);
      light(kept.starred().includes(current()));
    },
  };
}

function addPane(metric) {
  kept.keepPanes([...kept.panes().filter((id) => id !== metric), metric]);
  url.go({ view: "grid", panes: "" });
}
