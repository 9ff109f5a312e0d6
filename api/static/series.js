/** Computes with series of one value a slot: merge, baseline, gaps, extremes. Pure. */

/**
 * Writes the slots of `news` over `before` and keeps the last `rows` slots. A series is {start, step, values, closed,
 * final}: the first `closed` slots have ended, the values of the first `final` ones no longer change.
 */
export function merge(before, news, rows) {
  if (!before || before.step !== news.step) return news;
  const end = news.start + news.values.length * news.step;
  const start = Math.max(Math.min(before.start, news.start), end - rows * news.step);
  const length = Math.round((end - start) / news.step);
  const values = new Array(length).fill(null);
  for (const part of [before, news]) {
    const offset = Math.round((part.start - start) / news.step);
    part.values.forEach((value, index) => {
      if (index + offset >= 0 && index + offset < length) values[index + offset] = value;
    });
  }
  const moved = Math.round((news.start - start) / news.step);
  return { start, step: news.step, values, closed: news.closed + moved, final: news.final + moved };
}

export const slots = ({ start, step, values }) => values.map((_, index) => start + index * step);

/** For each slot, the mean of the values in the `seconds` before it; null if there are fewer than `enough`. */
export function baseline({ step, values }, seconds = 3600, enough = 30) {
  const width = Math.max(1, Math.round(seconds / step));
  const least = Math.min(enough, width);
  return values.map((_, at) => {
    let sum = 0;
    let count = 0;
    for (let index = Math.max(0, at - width); index < at; index++) {
      if (values[index] === null) continue;
      sum += values[index];
      count++;
    }
    return count >= least ? sum / count : null;
  });
}

/** Runs of missing values as [[first index, last index]], including those at both ends. */
export function gaps(values) {
  const found = [];
  let open = -1;
  values.forEach((value, index) => {
    if (value === null && open < 0) open = index;
    if (value !== null && open >= 0) {
      found.push([open, index - 1]);
      open = -1;
    }
  });
  if (open >= 0) found.push([open, values.length - 1]);
  return found;
}

/** {count, low, lowAt, high, highAt} of the values that are not null; lowAt and highAt are indices. Null if there are none. */
export function extent(values) {
  let found = null;
  values.forEach((value, index) => {
    if (value === null) return;
    found ??= { count: 0, low: value, lowAt: index, high: value, highAt: index };
    found.count++;
    if (value < found.low) [found.low, found.lowAt] = [value, index];
    if (value > found.high) [found.high, found.highAt] = [value, index];
  });
  return found;
}
