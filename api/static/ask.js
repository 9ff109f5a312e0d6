/** Asking over HTTP: in time or not at all, with the tab's API key, problems as errors. */

const PATIENCE = 15_000;
const KEY = "data-tracker.key";

/** What went wrong, told so that it can be shown. `unreachable`: asking again later may help by itself. */
export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, retryAfter, unreachable: status === "offline" || status >= 500 || status === 429 });
  }
}

/** Keeps an API key for as long as this tab is open; it goes with every request to the API. */
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

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

async function detail(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered with status ${answer.status}.`;
  }
}
