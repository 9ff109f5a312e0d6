/** HTTP requests with a timeout and the tab's API key; every failure becomes a Problem. */

const PATIENCE = 15_000;
const KEY = "data-tracker.key";

/** A failed request, with a message to show. `unreachable` means that a later try may succeed. */
export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, retryAfter, unreachable: status === "offline" || status >= 500 || status === 429 });
  }
}

/** Keeps an API key until this tab is closed. Every request sends it. */
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** Fetches `url` without the browser's cache. Throws Problem, or the abort error if `signal` is aborted. */
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
  if (answer.status === 401 && key) sessionStorage.removeItem(KEY); // the key is wrong; without it, open resources can still be read
  const retryAfter = Number(answer.headers.get("Retry-After")) || undefined;
  throw new Problem(answer.status, await detail(answer), retryAfter);
}

/** {etag, maxAge} from the answer's headers. maxAge is in seconds from now, undefined if the headers do not say. */
export function freshness(answer) {
  const control = answer.headers.get("Cache-Control") ?? "";
  const allowed = Number(/max-age=(\d+)/.exec(control)?.[1] ?? NaN);
  const age = Number(answer.headers.get("Age")) || 0;
  return {
    etag: answer.headers.get("ETag"),
    maxAge: Number.isNaN(allowed) ? undefined : Math.max(0, allowed - age),
  };
}

async function detail(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered with status ${answer.status}.`;
  }
}
