/** The row of numbers above a chart: last value, changes, means, ranks, each with a note on its meaning. */

import { el, fill } from "./dom.js";
import * as format from "./format.js";

const PLURAL = { price: "prices", volume: "volumes" };
/** A metric is stale if its newest sample is this many slots old. */
const FRESH = 3;

/** Fills the list `root` with the numbers of the metric `row`. */
export function numbers(root, row, utc) {
  const { unit, field } = row;
  const ratio = row.cv_24h;
  fill(root,
    number("Last", format.number(row.last), [`${format.unit(unit)} `, freshness(row, utc)]),
    number("Change 1 h", format.percent(row.change_1h), "", format.up(row.change_1h)),
    number("Change 24 h", format.percent(row.change_24h), "", format.up(row.change_24h)),
    number("Mean 1 h", format.number(row.mean_1h, 4), format.unit(unit)),
    number("Mean 24 h", format.number(row.mean_24h, 4), format.unit(unit)),
    number("Std. deviation", format.number(row.stddev_24h, 4), format.unit(unit)),
    number("Variation", typeof ratio === "number" ? format.percent(ratio).replace("+", "") : "–", "deviation ÷ mean"),
    number("Rank", row.rank?.text ?? "–", place(row.rank, field), "", "By standard deviation, in the metric's own unit"),
    number("Relative rank", row.cv_rank?.text ?? "–", place(row.cv_rank, field), "", "By variation, which is the same in every unit"),
  );
}

/** Seconds since the newest sample's slot ended if the metric is stale, else 0. */
export function stale({ last_slot: slot, step = 60 }, now = Date.now() / 1000) {
  const age = now - slot - step;
  return typeof slot === "number" && age > (FRESH - 1) * step ? age : 0;
}

function number(name, value, note, tone = "", title = null) {
  return el("div", { title }, el("dt", {}, name), el("dd", { class: tone }, value), note && el("dd", { class: "note" }, note));
}

function freshness(row, utc) {
  if (typeof row.last_slot !== "number") return "no samples yet";
  const age = stale(row);
  const text = `at ${format.clock(row.last_slot, utc)}${utc ? " UTC" : ""}`;
  return age ? el("span", { class: "stale" }, `stale: ${format.duration(age)} old`) : text;
}

/** The rank in words, e.g. "most volatile of 3 prices". */
function place(rank, field) {
  if (!rank) return "no samples to rank by";
  const all = `${format.number(rank.of)} ${PLURAL[field]}`;
  if (rank.of === 1) return `the only one of its kind`;
  if (rank.position === 1) return `most volatile of ${all}`;
  if (rank.position === rank.of) return `least volatile of ${all}`;
  return `${format.number(rank.position - 1)} of ${all} ${rank.position === 2 ? "is" : "are"} more volatile`;
}
