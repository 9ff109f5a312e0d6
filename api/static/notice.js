/** Notices for the whole page: connection lost, stale answers, first fetch, API key needed. */

import { files, get, health, staleness } from "./api.js";
import { keepKey } from "./ask.js";
import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import { connection, poll, tryNow } from "./poll.js";

/** Shows in `root` that the API cannot be reached, when the next try is, and what to do. */
export function connectionNotice(root) {
  const text = el("span");
  const again = el("button", { on: { click: tryNow } }, "Try now");
  const hint = files ? "Is the folder still served?" : "The numbers shown are from then. If this lasts, check that the API runs, and run .venv/bin/python -m tracker sources.";
  let timer = 0;

  function render() {
    clearInterval(timer);
    document.body.classList.toggle("lost", connection.lost);
    root.hidden = !connection.lost;
    if (!connection.lost) return fill(root);
    fill(root, el("b", {}, connection.problem?.status === 429 ? "Too many requests. " : "Connection lost. "), text, again);
    const tell = () => {
      const wait = Math.ceil(connection.nextTry - Date.now() / 1000);
      const since = connection.lastGood ? ` since ${format.clock(connection.lastGood, false, true)}` : "";
      say(text, `${connection.problem?.message ?? ""} No news${since}. ${hint} ${wait > 0 ? `Trying again in ${wait} s.` : "Trying…"}`);
    };
    tell();
    timer = setInterval(tell, 1000);
  }

  connection.addEventListener("change", render);
}

/** Shows in `root` that the API answers from its cache because the store is away. */
export function staleNotice(root) {
  staleness.addEventListener("change", () => {
    root.hidden = !staleness.seconds;
    say(root, staleness.seconds ? `The store does not answer: the numbers shown are at least ${format.duration(staleness.seconds)} old. If this lasts, check it with .venv/bin/python -m tracker sources.` : "");
  });
}

/** Shows the progress of the first fetch in `root`, and calls `ready()` once there are metrics to show. */
export function firstRun(root, ready) {
  const bar = el("progress", { "aria-label": "First fetch" });
  const told = el("p", { role: "status" });
  const hint = el("p", { class: "muted" });
  const box = el("div", { class: "message" }, el("h1", {}, "Fetching the first 24 hours"), bar, told, hint);

  const poller = poll(async (options) => {
    const { body: { metrics: ranked, sources } } = await health(options);
    const { body: { total } } = await get("metrics", { limit: 1, fields: "id" }, { signal: options.signal });
    return { maxAge: 1, body: { ranked, total, sources } };
  }, ({ ranked, total, sources }) => {
    const waited = box.isConnected;
    if (ranked > 0 && !(waited && ranked < total)) {
      poller.stop();
      box.remove();
      root.hidden = true;
      return ready();
    }
    root.hidden = false;
    if (!waited) fill(root, box);
    bar.max = total || 1;
    if (total) bar.value = ranked;
    say(told, total ? `${format.number(ranked)} of ${format.number(total)} metrics have their samples and ranks.` : "Waiting for the first catalogue of markets.");
    say(hint, advice(sources));
  }, (error) => {
    root.hidden = false;
    fill(root, error.status === 401 || error.status === 403 ? keyForm(error, () => poller.now()) : el("div", { class: "message" }, el("h1", {}, "The API refused the request"), el("p", {}, error.message)));
  });
}

function keyForm(error, again) {
  const input = el("input", { type: "password", autocomplete: "off", "aria-label": "API key", required: true });
  const submit = (event) => {
    event.preventDefault();
    keepKey(input.value.trim());
    again();
  };
  return el("div", { class: "message" }, el("h1", {}, "Enter an API key"), el("p", { role: "status" }, error.message),
    el("form", { class: "row", on: { submit } }, input, el("button", {}, "Use key")),
    el("p", { class: "muted" }, "It is kept until this tab is closed. To make one, run python -m tracker keys create NAME."));
}

/** What to do if no samples arrive. */
function advice(sources) {
  const names = Object.keys(sources ?? {});
  const failing = names.filter((name) => sources[name].last_error_at > (sources[name].last_success ?? 0));
  if (failing.length) return `${failing.join(", ")} failed ${format.ago(sources[failing[0]].last_error_at)}; .venv/bin/python -m tracker sources says why. It is tried again each interval.`;
  if (names.some((name) => sources[name].last_success)) return "This takes seconds to minutes, as the sources' rate limits allow. The page opens by itself.";
  return `No source has answered yet (${names.join(", ") || "none is configured"}). If this lasts, check that a worker and a beat run: ./scripts/start runs everything.`;
}
