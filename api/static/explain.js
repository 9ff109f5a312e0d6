/** The card that explains an alert: its numbers, rule and deliveries, and the form to acknowledge or silence it. */

import { files, get, send } from "./api.js";
import { keepKey } from "./ask.js";
import { el, fill } from "./dom.js";
import * as format from "./format.js";
import { poll } from "./poll.js";
import * as url from "./url.js";

const SILENCES = { "1 h": "1h", "4 h": "4h", "24 h": "24h", "7 days": "7d" };
const NEEDS_KEY = [401, 403];

/** Shows the alert `id` in `root`, or hides `root` if there is none. `before` is the value of the previous call. */
export function explanation(root, before, id, { utc }) {
  if (before?.id === id) return before;
  before?.stop();
  root.hidden = !id;
  if (!id) return null;
  fill(root, el("p", { class: "muted" }, "Loading the alert…"));
  const card = el("div");
  const deeds = !files && actions(() => poller.now());
  const poller = poll((options) => get(`alerts/${encodeURIComponent(id)}`, {}, options), (alert) => {
    const shown = [...card.querySelectorAll("details")].map(({ open, firstChild }) => ({ open, focused: firstChild === document.activeElement }));
    fill(card, facts(alert, utc()));
    card.querySelectorAll("details").forEach((details, number) => {
      details.open = shown[number]?.open;
      if (shown[number]?.focused) details.firstChild.focus();
    });
    if (deeds) deeds.take(alert);
    if (!root.contains(card)) fill(root, closer(), card, deeds && deeds.root);
  }, (error) => fill(root, closer(), el("p", {}, error.status === 404 ? "This alert was deleted: alerts are kept for a week." : error.message)));
  return { id, stop: poller.stop };
}

function facts(alert, utc) {
  const limit = alert.kind === "ratio" && alert.baseline ? alert.factor * alert.baseline : null;
  const numbers = [
    ["Value", format.number(alert.value)],
    alert.baseline !== null && [alert.kind === "ratio" ? `Mean of ${format.duration(alert.window)} before` : "Compared with", format.number(alert.baseline)],
    [limit ? `Limit: ${format.number(alert.factor)} × mean` : "Limit", format.number(limit ?? alert.factor)],
    ["Samples", format.number(alert.samples)],
    ["Slot", format.moment(alert.slot, utc)],
    ["Detected after", format.duration(alert.at - alert.slot)],
  ];
  return [
    el("h2", {}, el("span", { class: `state ${alert.state}` },
      alert.state, alert.resolved_at && ` at ${format.clock(alert.resolved_at, utc)}`), headline(alert)),
    el("p", { class: "muted" }, alert.text),
    el("dl", { class: "facts" }, numbers.filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    el("div", { class: "columns" },
      el("details", {}, el("summary", {}, `Rule ${alert.rule}`), definition(alert.definition)),
      el("details", {}, el("summary", {}, "Deliveries: ", outcome(alert.deliveries)), deliveries(alert.deliveries, utc))),
    alert.acknowledged
      ? el("p", { class: "acknowledged" }, `Acknowledged by ${alert.acknowledged.by} at ${format.clock(alert.acknowledged.at, utc)}`,
        alert.acknowledged.comment && `: ${alert.acknowledged.comment}`)
      : null,
  ];
}

const closer = () => el("button", { class: "icon close", "aria-label": "Close the alert", on: { click: () => url.go({ alert: "" }) } }, "×");

/** "5.2 × its mean" for a ratio alert, else "". */
export function ratio({ kind, value, baseline }) {
  return kind === "ratio" && baseline ? `${format.number(value / baseline, 3)} × its mean` : "";
}

function headline(alert) {
  const { name, note } = format.subject(alert.metric);
  return `${name} ${note}: ${ratio(alert) || alert.rule}`;
}

function definition(rule) {
  if (!rule) return el("p", { class: "muted" }, "The definition of this rule was not stored.");
  const text = (value) => {
    if (Array.isArray(value)) return value.map(text).join(", ");
    if (value === null || typeof value !== "object") return String(value);
    return `(${Object.entries(value).filter(([, each]) => each !== null).map(([name, each]) => `${name.replaceAll("_", " ")} ${text(each)}`).join(", ")})`;
  };
  return el("dl", { class: "facts" }, Object.entries(rule).filter(([, value]) => value !== null && value !== "").map(([name, value]) =>
    el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, text(value)))));
}

const outcome = (list) => (list.length ? list.map(({ channel, state }) => `${channel} ${state}`).join(", ") : "none");

function deliveries(list, utc) {
  if (!list.length) return el("p", { class: "muted" }, "Not sent: the rule names no channel.");
  return el("ul", { class: "deliveries" }, list.map((delivery) => el("li", {},
    el("b", {}, delivery.channel), " ", el("span", { class: `state ${delivery.state}` }, delivery.state),
    delivery.next_try && el("span", { class: "muted" }, ` next try ${format.clock(delivery.next_try, utc, true)}`),
    delivery.attempts?.length ? el("ol", {}, delivery.attempts.map((attempt) => el("li", { class: attempt.ok ? "" : "down" },
      `${format.clock(attempt.at, utc, true)} ${attempt.ok ? "accepted" : "failed"}`,
      attempt.status && `, status ${attempt.status}`, attempt.detail && `: ${attempt.detail}`))) : null)));
}

/** The form as {root, take(alert)}. It is made once, so that an update of the alert keeps typed text and the last message. */
function actions(reload) {
  let alert;
  const told = el("p", { class: "told", role: "status" });
  const key = el("input", { type: "password", autocomplete: "off", placeholder: "API key with scope admin", "aria-label": "API key" });
  const keyForm = el("form", { class: "row", hidden: true, on: { submit } }, key, el("button", {}, "Use key"));
  const by = el("input", { placeholder: "Your name", "aria-label": "Your name", maxlength: 64, required: true });
  const comment = el("input", { placeholder: "Comment or reason", "aria-label": "Comment or reason", maxlength: 200 });
  const lasting = el("select", { "aria-label": "Silence for" }, Object.keys(SILENCES).map((name) => el("option", {}, name)));
  const acknowledging = el("button", {}, "Acknowledge");
  let retry = null;

  function submit(event) {
    event.preventDefault();
    keepKey(key.value.trim());
    keyForm.hidden = true;
    retry?.();
  }

  async function act(words, write) {
    retry = () => act(words, write);
    try {
      await write();
      fill(told, words);
      reload();
    } catch (error) {
      if (!error.status) throw error;
      keyForm.hidden = !NEEDS_KEY.includes(error.status);
      fill(told, error.message);
      if (!keyForm.hidden) key.focus();
    }
  }

  const acknowledge = () => act("Acknowledged.", () =>
    send("POST", `alerts/${encodeURIComponent(alert.id)}/acknowledge`, { by: by.value.trim(), comment: comment.value.trim() }));
  const silence = () => act(`Silenced for ${lasting.value}: its alerts are still recorded, but not sent.`, () => send("POST", "silences", {
    match: alert.metric, for: SILENCES[lasting.value], by: by.value.trim(), reason: comment.value.trim() || `from the alert ${alert.id}`,
  }));

  return {
    root: el("div", { class: "actions" },
      el("form", { class: "row", on: { submit: (event) => (event.preventDefault(), acknowledge()) } },
        by, comment, acknowledging,
        el("span", { class: "row" }, lasting, el("button", { type: "button", on: { click: silence } }, "Silence this metric"))),
      keyForm, told),
    take(latest) {
      alert = latest;
      if (alert.acknowledged && document.activeElement === acknowledging) comment.focus();
      acknowledging.hidden = acknowledging.disabled = Boolean(alert.acknowledged); // disabled, so that Enter does not submit it either
    },
  };
}
