/** What a chart says in words: the readout above a plot, and the caption below both. */

import { el } from "./dom.js";
import * as format from "./format.js";
import { extent, gaps } from "./series.js";

/** The default rule fires above this many times the mean of the hour before. */
const FACTOR = 3;

/** The value of the dashed line: the default rule's limit, null without a `mean`. */
export const limit = (mean) => mean && mean * FACTOR;

/** The readout of a field at the slot `cursor`, or at the newest sample if it is null. `beyond`: how many bars are cut off. */
export function readout(field, row, cursor, { mean, beyond }, utc) {
  const index = cursor ?? row.values.findLastIndex((value) => value !== null);
  return [
    el("b", {}, field), reading(row, index, utc), bounds(mean[index]),
    beyond > 0 && el("span", { class: "muted" }, `${beyond} ${beyond === 1 ? "bar reaches" : "bars reach"} beyond the top`),
  ];
}

function reading({ values, start, step, closed, final, unit }, index, utc) {
  if (index < 0) return el("span", { class: "value" }, "no samples");
  const value = values[index] === null ? "no sample" : format.amount(values[index], unit, format.exact);
  const state = index >= closed ? " · in progress" : index >= final && values[index] !== null && " · may still change";
  return [el("span", { class: "value" }, value), el("time", {}, format.moment(start + index * step, utc), state)];
}

function bounds(mean) {
  if (mean === null || mean === undefined) return null;
  return [el("span", { class: "key baseline" }, `1 h mean ${format.number(mean)}`),
    el("span", { class: "key limit" }, `${FACTOR} × mean ${format.number(limit(mean))}`)];
}

/** The chart's caption: low, high, slots and gaps of the slots between `from` and `to`. */
export function caption({ values, start, step, closed, unit }, [from, to], utc) {
  const first = Math.max(0, Math.ceil((from - start) / step));
  const part = values.slice(first, Math.floor((to - start) / step) + 1);
  const found = extent(part);
  if (!found) return "No samples in this time. Gaps fill by themselves when the source answers again.";
  const when = (index) => format.clock(start + (first + index) * step, utc);
  const missing = gaps(part.slice(0, closed - first));
  const lost = missing.reduce((sum, [a, b]) => sum + b - a + 1, 0) * step;
  return [
    `low ${format.amount(found.low, unit)} at ${when(found.lowAt)}`,
    `high ${format.amount(found.high, unit)} at ${when(found.highAt)}`,
    `${format.number(found.count)} of ${format.number(part.length)} slots`,
    lost && `${missing.length} ${missing.length === 1 ? "gap" : "gaps"} of ${format.duration(lost)} in all`,
  ].filter(Boolean).join(" · ");
}
