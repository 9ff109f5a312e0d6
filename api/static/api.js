/** Calls the API: returns JSON and throws Problem. In the static edition the same calls read files. */

import { ask, freshness } from "./ask.js";

export const files = document.documentElement.dataset.edition === "files";

/** Gets a resource under /v1, e.g. get("metrics", {q: "btc"}). Returns {body, etag, maxAge}; body is undefined if `etag` still matches. */
export async function get(path, parameters = {}, { signal, etag } = {}) {
  if (files) return (await import("./files.js")).get(path, parameters, { signal, etag });
  const answer = await ask(address(`v1/${path}`, parameters), {
    signal,
    headers: etag ? { "If-None-Match": etag } : {},
  });
  noticeStale(answer);
  return { ...freshness(answer), body: answer.status === 304 ? undefined : await answer.json() };
}

/** Like `get`, for /healthz. */
export async function health({ signal } = {}) {
  if (files) return (await import("./files.js")).health({ signal });
  const answer = await ask(address("healthz"), { signal });
  return { ...freshness(answer), body: await answer.json() };
}

/** Sends `body` as JSON with `method`. Returns the answer's JSON, or null for 204. */
export async function send(method, path, body) {
  const answer = await ask(address(`v1/${path}`), {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

/** While the store is away the API answers from its cache; `seconds` is the age of that answer, else 0. Fires "change". */
export const staleness = Object.assign(new EventTarget(), { seconds: 0 });

function noticeStale(answer) {
  const seconds = answer.headers.get("Warning")?.startsWith("110") ? Math.max(1, Number(answer.headers.get("Age"))) : 0;
  if (seconds === staleness.seconds) return;
  staleness.seconds = seconds;
  staleness.dispatchEvent(new Event("change"));
}

function address(path, parameters = {}) {
  const url = new URL(path, new URL(".", location.href));
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}
