/** Notices above the page: the connection is lost, the answers are stale. */

import { files, staleness } from "./api.js";
import { el, fill, say } from "./dom.js";
import * as format from "./format.js";
import { connection, tryNow } from "./poll.js";

/** Shows in `root` that the API cannot be reached, when the next try is, and what to do. */
export function connectionNotice(root) {
  const text = el("span");
  const again = el("button", { on: { click: tryNow } }, "Try now");
  const hint = files ? "Is the folder still served?" : "The numbers shown are from then. If this lasts, check that the API runs, and run .venv/bin/python -m tracker status.";
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
    say(root, staleness.seconds ? `The store does not answer: the numbers shown are at least ${format.duration(staleness.seconds)} old. If this lasts, check it with .venv/bin/python -m tracker status.` : "");
  });
}
