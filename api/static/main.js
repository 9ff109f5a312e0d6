/** Puts the page together: the header, the view that the address names, and the rail of alerts and sources beside it. */

import { alerts } from "./alerts.js";
import { files, get } from "./api.js";
import { chart } from "./chart.js";
import { say } from "./dom.js";
import { firstRun } from "./firstrun.js";
import { grid } from "./grid.js";
import { heatmap } from "./heatmap.js";
import * as kept from "./kept.js";
import { movers } from "./movers.js";
import { connectionNotice, staleNotice } from "./notice.js";
import { picker } from "./picker.js";
import { sources } from "./sources.js";
import { sql } from "./sql.js";
import * as url from "./url.js";

const VIEWS = { chart, movers, heatmap, grid, sql };
const TITLES = { movers: "Movers", heatmap: "Heat map", grid: "Grid", sql: "SQL" };
const THEMES = { auto: "◐", light: "○", dark: "●" };
const byId = (id) => document.getElementById(id);

let utc = kept.read("utc", false) === true;
const context = { utc: () => utc };
let view = null;
let shown = "";
let rail = [];

function render(state) {
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.setAttribute("href", url.href({ view: link.dataset.view, alert: "" }));
  }
  if (state.view !== shown) {
    view?.stop();
    byId("view").replaceChildren();
    view = VIEWS[state.view](byId("view"), context);
    shown = state.view;
    if (TITLES[shown]) document.title = `${TITLES[shown]} · data-tracker`;
  }
  if (state.view === "chart" && state.metric) kept.visited(state.metric);
  if (state.view !== "chart" || state.metric) view.update(state);
  for (const panel of rail) panel.update();
}

/** The metric to show when the address names none: the last one viewed, else the most volatile price. */
async function chosen() {
  const [last] = kept.recent();
  if (last) return last;
  const { body } = await get("metrics", { field: "price", order: "rank", limit: 1, fields: "id" });
  return body.metrics[0]?.id;
}

async function open() {
  const state = url.state();
  if (state.view === "chart" && !state.metric) {
    const metric = await chosen();
    if (metric) history.replaceState(null, "", url.href({ metric }));
  }
  rail = [alerts(byId("alerts"), context), sources(byId("sources"), context)];
  url.onChange(render);
  render(url.state());
}

function showTools() {
  const theme = document.documentElement.dataset.theme;
  say(byId("theme"), THEMES[theme]);
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
  say(byId("zone"), utc ? "UTC" : "Local");
  byId("zone").setAttribute("aria-label", `Times are ${utc ? "UTC" : "local"}`);
}

byId("theme").addEventListener("click", () => dispatchEvent(new Event("theme:next")));
byId("zone").addEventListener("click", () => {
  utc = !utc;
  kept.write("utc", utc);
  showTools();
  view?.restyle?.();
  if (view) render(url.state());
});
addEventListener("theme:changed", () => {
  showTools();
  view?.restyle?.();
});

url.takeLinks(document);
document.querySelector("[data-view=sql]").hidden = !files;
showTools();
connectionNotice(byId("connection"));
staleNotice(byId("stale"));
picker(byId("picker"), (metric) => url.go({ view: "chart", metric, alert: "" }));
firstRun(byId("first"), open);
