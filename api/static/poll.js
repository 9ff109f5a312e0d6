/** Polls the API: as often as its answers allow, more slowly after failures, and not while the tab is hidden. */

const LEAST = 1;
const USUAL = 5;
const MOST = 60;
const TRIES = [1, 2, 4, 8, 15];

/** Whether the API can be reached. Fires "change" when `lost` or the time of the next try changes. */
export const connection = Object.assign(new EventTarget(), { lost: false, problem: null, nextTry: 0, lastGood: 0 });
const pollers = new Set();

/**
 * Calls `ask({signal, etag})` repeatedly, and `take(body)` when there is something new. Returns {stop, now}.
 *
 * `ask` returns {body, etag, maxAge}; body is undefined if nothing changed. If the API cannot be reached, it tries again
 * after growing pauses, or after Retry-After. Any other error goes to `fail(error)`, and the next try is a minute later.
 */
export function poll(ask, take, fail = () => {}) {
  const poller = { timer: 0, abort: null, tries: 0, etag: null, stopped: false };

  async function run() {
    clearTimeout(poller.timer);
    if (poller.stopped || document.hidden || poller.abort) return;
    const mine = (poller.abort = new AbortController());
    let pause = MOST;
    try {
      const answer = await ask({ signal: mine.signal, etag: poller.etag });
      if (mine.signal.aborted) return;
      poller.tries = 0;
      poller.etag = answer.etag ?? null;
      pause = Math.min(MOST, Math.max(LEAST, answer.maxAge ?? USUAL));
      reached();
      if (answer.body !== undefined) take(answer.body);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!error.status) throw error;
      if (error.unreachable) {
        pause = error.retryAfter ?? TRIES[Math.min(poller.tries++, TRIES.length - 1)];
        lost(error, pause);
      } else {
        reached();
        fail(error);
      }
    } finally {
      if (poller.abort === mine) {
        poller.abort = null;
        poller.timer = setTimeout(run, pause * 1000 * (1 + Math.random() / 10));
      }
    }
  }

  poller.run = run;
  poller.rest = () => {
    clearTimeout(poller.timer);
    poller.abort?.abort();
    poller.abort = null;
  };
  pollers.add(poller);
  run();
  return {
    now() {
      poller.rest();
      run();
    },
    stop() {
      poller.stopped = true;
      poller.rest();
      pollers.delete(poller);
    },
  };
}

export function tryNow() {
  for (const poller of pollers) poller.run();
}

function reached() {
  connection.lastGood = Date.now() / 1000;
  if (!connection.lost) return;
  Object.assign(connection, { lost: false, problem: null });
  connection.dispatchEvent(new Event("change"));
  tryNow();
}

function lost(problem, pause) {
  const at = Date.now() / 1000 + pause;
  Object.assign(connection, { problem, nextTry: connection.lost ? Math.min(Math.max(connection.nextTry, Date.now() / 1000), at) : at });
  connection.lost = true;
  connection.dispatchEvent(new Event("change"));
}

document.addEventListener("visibilitychange", () => {
  for (const poller of pollers) document.hidden ? poller.rest() : poller.run();
});
addEventListener("online", tryNow);
