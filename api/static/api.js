/** The API as the page sees it: JSON in, problems as errors. The static edition answers the same questions from files. */

const PATIENCE = 15_000;
const KEY = "data-tracker.key";
export const files = document.documentElement.dataset.edition === "files";

/** What went wrong, told so that it can be shown. `unreachable`: asking again later may help by itself. */
export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, retryAfter, unreachable: status === "offline" || status >= 500 || status === 429 });
  }
}

/** {body, etag, maxAge} of a resource of version 1, e.g. get("metrics", {q: "btc"}); body undefined if `etag` is still right. */
export async function get(path, parameters = {}, { signal, etag } = {}) {
  if (files) return (await import("./files.js")).get(path, parameters, { signal, etag });
  const answer = await ask(address(`v1/${path}`, parameters), {
    signal,
    headers: etag ? { "If-None-Match": etag } : {},
  });
  noticeStale(answer);
  return { ...freshness(answer), body: answer.status === 304 ? undefined : await answer.json() };
}

/** As `get`, of the service itself: "healthz". */
export async function health({ signal } = {}) {
  if (files) return (await import("./files.js")).health({ signal });
  const answer = await ask(address("healthz"), { signal });
  return { ...freshness(answer), body: await answer.json() };
}

/** Sends a write. */
export async function send(method, path, body) {
  const answer = await ask(address(`v1/${path}`), {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

/** Keeps an API key for as long as this tab is open; it goes with every request to the API. */
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** Says "change" when the API begins or ends to answer with what it kept while its store is away, as `seconds` of age. */
export const staleness = Object.assign(new EventTarget(), { seconds: 0 });

function noticeStale(answer) {
  const seconds = answer.headers.get("Warning")?.startsWith("110") ? Math.max(1, Number(answer.headers.get("Age"))) : 0;
  if (seconds === staleness.seconds) return;
  staleness.seconds = seconds;
  staleness.dispatchEvent(new Event("change"));
}

/** Fetches `url`, never out of the browser's own cache; raises Problem. */
export async function ask(url, { signal, headers, ...options } = {}) {
  const key = sessionStorage.getItem(KEY);
  const late = AbortSignal.timeout(PATIENCE);
  let answer;
  try {
    answer = await fetch(url, {
      cache: "no-store",
      credentials: "same-origin",
      ...options,
      headers: { ...headers, ...(key && { Authorization: `Bearer ${key}` }) },
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("offline", late.aborted ? "The server takes too long to answer." : "The server cannot be reached.");
  }
  if (answer.ok || answer.status === 304) return answer;
  if (answer.status === 401 && key) sessionStorage.removeItem(KEY); // it opens nothing, and what is open needs none
  const retryAfter = Number(answer.headers.get("Retry-After")) || undefined;
  throw new Problem(answer.status, await detail(answer), retryAfter);
}

/** {etag, maxAge} as the answer's headers say; maxAge in seconds from now, undefined if they do not. */
export function freshness(answer) {
  const control = answer.headers.get("Cache-Control") ?? "";
  const allowed = Number(/max-age=(\d+)/.exec(control)?.[1] ?? NaN);
  const age = Number(answer.headers.get("Age")) || 0;
  return {
    etag: answer.headers.get("ETag"),
    maxAge: Number.isNaN(allowed) ? undefined : Math.max(0, allowed - age),
  };
}

function address(path, parameters = {}) {
  const url = new URL(path, new URL(".", location.href));
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

async function detail(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered with status ${answer.status}.`;
  }
}
