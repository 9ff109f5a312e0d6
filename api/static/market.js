/** Polls the series of a market or a metric: the whole series first, then only new slots. */

import { get } from "./api.js";
import { poll } from "./poll.js";
import { merge } from "./series.js";

/** Seconds between two fetches of the whole series: a source that comes back fills older slots. */
const WHOLE_EVERY = 300;

/** Calls `take` with the answer of /markets/{id}; its `fields` are whole series, each {…row, start, step, values}. */
export const followMarket = (id, take, fail) =>
  follow(`markets/${id}`, ({ price, volume, ...market }) => split(market, { price, volume }), take, fail);

/** Like followMarket, for /metrics/{id}: `fields` has one entry. */
export const followMetric = (id, take, fail) =>
  follow(`metrics/${id}`, (answer) => split(answer, { [answer.field]: answer }), take, fail);

function split(market, fields) {
  const { start, step, closed, final } = market;
  return { ...market, fields: Object.fromEntries(Object.entries(fields).map(([name, row]) => [name, { ...row, start, step, closed, final }])) };
}

function follow(path, read, take, fail) {
  let known = null;
  let wholeAt = 0;

  async function ask(options) {
    const whole = !known || Date.now() / 1000 - wholeAt > WHOLE_EVERY;
    const answer = await get(path, whole ? {} : { since: known.since }, whole ? { ...options, etag: null } : options);
    if (whole && answer.body) wholeAt = Date.now() / 1000;
    return answer.body && { ...answer, body: { whole, market: read(answer.body) } } || answer;
  }

  return poll(ask, ({ whole, market }) => {
    for (const [name, row] of Object.entries(market.fields)) {
      const before = whole ? null : known?.market.fields[name];
      const rows = known?.rows ?? row.values.length;
      market.fields[name] = { ...row, ...merge(before, row, whole ? row.values.length : rows) };
    }
    const [any] = Object.values(market.fields);
    // The next request begins with the first slot that may still change.
    known = { market, rows: whole ? any.values.length : known.rows, since: any.start + any.final * any.step };
    take(market);
  }, fail);
}
