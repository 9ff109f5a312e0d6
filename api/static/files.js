/** The static edition: answers the API's questions from the files that `export` writes. */

import { ask, freshness, Problem } from "./ask.js";

/** Seconds before a file is fetched again if its server sends no max-age. */
const USUAL = 30;
export const DATABASE = "data-tracker.sqlite";
/** Order -> the number to sort by, largest first; null sorts by id, A to Z. */
const ORDERS = {
  rank: (row) => row.stddev_24h, cv: (row) => row.cv_24h, last: (row) => row.last, change: (row) => row.change_24h, id: null,
};
const kept = new Map();

export async function get(path, parameters, options) {
  if (path === "metrics") return list(parameters, options);
  if (path === "alerts") return alerts(parameters, options);
  return file(`v1/${path.replaceAll("%3A", ":")}.json`, options);
}

export const health = (options) => file("healthz.json", options);

/** Fetches a file as {etag, maxAge, body}; body is undefined if `etag` still matches. */
async function file(path, { signal, etag } = {}) {
  const answer = await ask(new URL(path, new URL(".", location.href)), { signal, headers: etag ? { "If-None-Match": etag } : {} });
  return { maxAge: USUAL, ...defined(freshness(answer)), body: answer.status === 304 ? undefined : await answer.json() };
}

/** A file that answers many questions. It is fetched again only after its maxAge. */
async function shared(path, { signal } = {}) {
  const before = kept.get(path);
  if (before && before.until > Date.now()) return before;
  const answer = await file(path, { signal, etag: before?.etag });
  const known = { ...answer, body: answer.body ?? before.body, until: Date.now() + answer.maxAge * 1000 };
  kept.set(path, known);
  return known;
}

async function list({ q = "", field, exchange, quote, order = "rank", limit = 100, fields = "" }, options) {
  const { body, maxAge } = await shared("v1/metrics.json", options);
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const found = body.metrics.filter((row) =>
    (!field || row.field === field) && (!exchange || row.exchange === exchange) && (!quote || row.quote === quote) &&
    words.every((word) => row.id.includes(word)));
  const metrics = sorted(found, order).slice(0, limit);
  return { maxAge, body: { metrics: fields.split(",").includes("spark") ? await withSparks(metrics, options) : metrics, total: found.length } };
}

function sorted(rows, order) {
  const number = ORDERS[order.replace("-", "")];
  const sign = order.startsWith("-") ? 1 : -1;
  if (!number) return [...rows].sort((a, b) => (a.id < b.id ? sign : -sign));
  const fields = (row) => (row.field === "price" ? 0 : 1);
  const missing = (row) => (number(row) === null ? 1 : 0);
  return [...rows].sort((a, b) => fields(a) - fields(b) || missing(a) - missing(b) || sign * (number(a) - number(b)) || (a.id < b.id ? -1 : 1));
}

async function withSparks(rows, options) {
  const { body } = await shared("v1/sparks.json", options);
  const sparks = new Map(body.metrics.map(({ id, spark }) => [id, spark]));
  return rows.map((row) => ({ ...row, spark: sparks.get(row.id) }));
}

async function alerts({ metric, market, state, limit = 100 }, options) {
  const { body, maxAge } = await shared("v1/alerts.json", options);
  const found = body.alerts.filter((alert) =>
    (!metric || alert.metric === metric) && (!market || alert.metric.startsWith(`${market}:`)) && (!state || alert.state === state));
  return { maxAge, body: { alerts: found.slice(0, limit), next: null } };
}

/** The database's size in bytes; 0 if there is none, 1 if the server does not say. */
export async function databaseSize() {
  try {
    const answer = await ask(new URL(DATABASE, new URL(".", location.href)), { method: "HEAD" });
    return Number(answer.headers.get("Content-Length")) || 1;
  } catch (error) {
    if (error instanceof Problem) return 0;
    throw error;
  }
}

const defined = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null));
