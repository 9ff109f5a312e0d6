/** The list of alerts beside the view, newest first. A click opens the alert's explanation above the chart. */

import { get } from "./api.js";
import { el, fill, say } from "./dom.js";
import { ratio } from "./explain.js";
import * as format from "./format.js";
import { poll } from "./poll.js";
import * as url from "./url.js";

const SHOWN = 50;

export function alerts(root, { utc }) {
  const count = el("span", { class: "count" });
  const firing = el("input", { type: "checkbox", on: { change: () => poller.now() } });
  const list = el("ul", { class: "feed" });
  const spoken = el("p", { class: "sr-only", role: "status" });
  fill(root, el("header", {}, el("h2", {}, "Alerts"), count, el("label", { class: "check" }, firing, "firing only")), list, spoken);
  root.hidden = true;
  let known = null;
  let latest = [];

  const poller = poll((options) => get("alerts", { limit: SHOWN, state: firing.checked ? "firing" : "" }, options), (answer) => {
    root.hidden = false;
    latest = answer.alerts;
    announce();
    render();
  }, (error) => {
    root.hidden = error.status === 404;
    fill(list, el("li", { class: "empty" }, error.message));
  });

  function announce() {
    const fresh = known && latest.filter((alert) => !known.has(alert.id));
    if (fresh?.length) say(spoken, `New alert: ${fresh[0].text}`);
    known = new Set(latest.map((alert) => alert.id));
  }

  function render() {
    if (!known) return; // the first answer has not arrived
    const burning = latest.filter((alert) => alert.state === "firing").length;
    say(count, burning ? `${burning} firing` : "");
    if (!latest.length) {
      return fill(list, el("li", { class: "empty" }, firing.checked ? "Nothing fires at present." : "No alerts yet. One appears here when a value exceeds its rule, by default 3 × its mean of the hour before."));
    }
    const { alert: open } = url.state();
    fill(list, latest.map((alert) => entry(alert, open)));
  }

  function entry(alert, open) {
    const { name, note } = format.subject(alert.metric);
    const metric = format.parts(alert.metric).field ? { metric: alert.metric, range: "24h", from: "", to: "" } : {};
    return el("li", {}, el("a", { href: url.href({ view: "chart", alert: alert.id, ...metric }),
      "aria-current": alert.id === open ? "true" : null, class: alert.state, "data-alert": alert.id },
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("span", { class: "name" }, name, " ", el("small", {}, note)),
      el("time", { title: format.moment(alert.slot, utc()) }, format.clock(alert.slot, utc())),
      el("span", { class: "why" }, ratio(alert) || alert.rule),
      el("span", { class: "muted" }, alert.acknowledged ? "acknowledged" : alert.state)));
  }

  return { update: render, stop: poller.stop };
}
