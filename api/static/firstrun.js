/** What the page shows before it can open: the progress of the first fetch, or why the API refuses. */

import { get, health } from "./api.js";
import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import { keyForm } from "./keyform.js";
import { poll } from "./poll.js";

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

/** What to do if no samples arrive. */
function advice(sources) {
  const names = Object.keys(sources ?? {});
  const failing = names.filter((name) => sources[name].last_error_at > (sources[name].last_success ?? 0));
  if (failing.length) return `${failing.join(", ")} failed ${format.ago(sources[failing[0]].last_error_at)}; .venv/bin/python -m tracker status says why. It is tried again each interval.`;
  if (names.some((name) => sources[name].last_success)) return "This takes seconds to minutes, as the sources' rate limits allow. The page opens by itself.";
  return `No source has answered yet (${names.join(", ") || "none is configured"}). If this lasts, check that a worker and a beat run: ./scripts/start runs everything.`;
}
