/** The list of sources: state, newest sample, markets and request budget of each. */

import { get, health } from "./api.js";
import { el, fill } from "./dom.js";
import * as format from "./format.js";
import { poll } from "./poll.js";

const TICK = 5_000;
/** If only the last success is known, a source counts as down after this many seconds. */
const QUIET = 180;

export function sources(root, { utc }) {
  const list = el("ul", { class: "sources" });
  fill(root, el("header", {}, el("h2", {}, "Sources")), list);
  let latest = null;
  const poller = poll(ask, ({ sources: found }) => {
    latest = found;
    render();
  }, (error) => fill(list, el("li", { class: "empty" }, error.message)));
  const timer = setInterval(() => document.hidden || render(), TICK);

  function render() {
    if (!latest) return;
    fill(list, latest.map((source) => entry(source, utc())));
    if (!latest.length) fill(list, el("li", { class: "empty" }, "No source is configured: set SOURCES and start again."));
  }

  return {
    update: render,
    stop() {
      poller.stop();
      clearInterval(timer);
    },
  };
}

async function ask(options) {
  try {
    return await get("sources", {}, options);
  } catch (error) {
    if (error.status !== 404) throw error;
    const answer = await health(options);
    return { ...answer, body: { sources: Object.entries(answer.body.sources ?? {}).map(([name, times]) => fromHealth(name, times)) } };
  }
}

function fromHealth(name, { last_success: good, last_error_at: bad }) {
  const quiet = Date.now() / 1000 - (good ?? 0) > QUIET;
  return { name, state: good === null ? "starting" : quiet ? "down" : "ok", last_success: good, last_error_at: bad };
}

function entry(source, utc) {
  const { markets, budget, newest_slot: slot } = source;
  const refused = Object.entries(source.refused ?? {});
  return el("li", { "data-source": source.name, class: source.state },
    el("span", { class: "dot", "aria-hidden": "true" }), el("b", {}, source.name),
    el("span", { class: `state ${source.state}` }, source.state),
    el("span", { class: "muted" }, slot ? `newest sample ${format.ago(slot)}` : `last answer ${format.ago(source.last_success)}`),
    markets && el("span", { class: markets.stale ? "stale" : "muted" },
      `${format.number(markets.tracked)} markets${markets.stale ? `, ${format.number(markets.stale)} stale` : ""}`),
    budget?.limit ? meter(budget) : null,
    source.reason && source.state !== "ok" && el("span", { class: "wide" }, source.reason),
    source.state !== "ok" && source.last_error && el("span", { class: "wide muted" },
      `${format.clock(source.last_error_at, utc, true)} ${source.last_error}`),
    refused.length ? el("span", { class: "wide muted" }, `refused: ${refused.map(([reason, n]) => `${reason} ${format.number(n)}`).join(", ")}`) : null);
}

function meter({ limit, period, used, deferred }) {
  const text = `${format.number(used)} of ${format.number(limit)} requests per ${format.duration(period)}`;
  return el("span", { class: "wide budget" },
    el("meter", { min: 0, max: limit, value: Math.min(used, limit), high: limit * 0.9, "aria-label": text }),
    el("span", { class: "muted" }, text, deferred ? `, ${format.number(deferred)} markets wait` : ""));
}
