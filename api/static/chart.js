/** The chart view of one market: heading, numbers, plots, table of values and an alert's explanation. */

import { get } from "./api.js";
import { el, fill } from "./dom.js";
import { explanation } from "./explain.js";
import * as format from "./format.js";
import { heading } from "./heading.js";
import { followMarket } from "./market.js";
import { numbers } from "./numbers.js";
import { plots } from "./plots.js";
import { poll } from "./poll.js";
import { table } from "./table.js";
import * as url from "./url.js";

const MARKERS = 200;
/** The closest zoom shows this many slots. */
const NARROWEST = 5;
const KEYS = "Drag or scroll to zoom, Shift and drag to pan, double-click for all. With the keyboard: arrows move the crosshair, + and − zoom, Home shows all.";

/** Shows in `root` the metric that the address names. Returns {update(state), restyle, stop}. */
export function chart(root, { utc }) {
  const alertCard = el("div", { class: "explain", hidden: true });
  const view = picture(root, alertCard, { utc, show: (from, to) => market && zoom(market, shown.field, from, to) });
  let shown = {};
  let market = null;
  let alerts = [];
  let followers = [];
  let opened = null;

  const render = () => view.draw(market, shown, alerts);

  function update(state) {
    const next = { ...state, ...format.parts(state.metric) };
    const moved = next.market !== shown.market;
    shown = next;
    view.choose(shown);
    if (moved) follow();
    else if (market) render();
    opened = explanation(alertCard, opened, state.alert, { utc });
  }

  function follow() {
    for (const each of followers) each.stop();
    market = null;
    alerts = [];
    view.load();
    followers = [followMarket(shown.market, take, fail), followAlerts(shown.market, mark)];
  }

  function take(news) {
    market = news;
    view.loaded();
    render();
  }

  function mark(news) {
    alerts = news;
    view.mark(alerts, shown.alert);
  }

  function fail(error) {
    if (!market || error.status === 404) view.fail(error);
  }

  return {
    update,
    restyle: view.restyle,
    stop() {
      for (const each of followers) each.stop();
      view.stop();
      opened?.stop();
    },
  };
}

/**
 * Fills `root` with heading, numbers, `alertCard`, plots and table; after `fail(error)` with a message instead.
 * `draw(market, shown, alerts)` shows a market. Call `load()` before another one is fetched, and `loaded()` when it is there.
 */
function picture(root, alertCard, { utc, show }) {
  const figure = plots({ utc, show, all: showAll });
  const values = table();
  const title = heading();
  const stats = el("dl", { class: "stats" });
  const message = el("div", { class: "message", hidden: true });
  const body = el("div", { class: "chart" }, title.node, stats, alertCard, figure.node, values.node, el("p", { id: "keys", class: "hint" }, KEYS));
  fill(root, message, body);

  function draw(market, shown, alerts) {
    const row = market.fields[shown.field];
    const range = visible(row, shown);
    document.title = `${format.short(row.last)} ${format.unit(row.unit)} · ${format.pairName(market)} ${shown.field} · data-tracker`;
    title.name(market);
    numbers(stats, row, utc());
    figure.draw(market, shown.field, range);
    figure.mark(alerts, shown.alert);
    values.update({ market, range, utc });
  }

  function loaded() {
    body.classList.remove("loading");
    [message.hidden, body.hidden] = [true, false];
  }

  function fail(error) {
    [message.hidden, body.hidden] = [false, true];
    fill(message, failure(error));
  }

  return {
    choose: title.choose, draw, fail, load: () => body.classList.add("loading"), loaded,
    mark: figure.mark, restyle: figure.restyle, stop: figure.stop,
  };
}

const followAlerts = (market, take) =>
  poll((options) => get("alerts", { market, limit: MARKERS }, options), (answer) => take(answer.alerts));

const ends = ({ start, step, values }) => [start, start + (values.length - 1) * step];

const showAll = () => url.go({ range: "24h", from: "", to: "" }, { replace: true });

/** The first and last slot of `series` to show. A range moves on with the newest slot; from and to are fixed. */
function visible(series, { range, ...fixed }) {
  const [start, end] = ends(series);
  const [from, to] = [Number(fixed.from), Number(fixed.to)];
  if (from && to > from && to > start) return [Math.max(from, start), Math.min(to, end)];
  return [Math.max(start, end - url.RANGES[range]), end];
}

/** Shows the time between `from` and `to`, in whole slots: at least NARROWEST of them, at most all. */
function zoom({ step, fields }, field, from, to) {
  const [start, end] = ends(fields[field]);
  const width = Math.min(end - start, Math.max(NARROWEST * step, to - from));
  if (width >= end - start) return showAll();
  const slot = (time) => Math.round(time / step) * step;
  const first = slot(Math.min(Math.max(start, from), end - width));
  url.go({ from: String(first), to: String(first + slot(width)) }, { replace: true });
}

const failure = ({ status, message }) => [
  el("h2", {}, status === 404 ? "There is no such metric" : "This metric cannot be shown"),
  el("p", {}, message),
  el("p", {}, "Press / to find another one."),
];
