/** Draws one series with uPlot: a line or bars, with gaps, baseline, limit and crosshair. */

import UPlot from "./vendor/uplot/uPlot-1.6.32.js";
import * as format from "./format.js";
import { gaps } from "./series.js";

const AXIS = 66;
const MARGIN = 0.06;
/** Width in pixels of a time label below the axis. */
const LABEL = 34;
/** With at least MANY bars, the axis may end at ROOM times the 99th percentile, so that a few outliers do not flatten the rest. */
const MANY = 60;
const ROOM = 1.6;

/**
 * Draws into `root`, and returns {plot, draw, resize, destroy}; `plot` is uPlot's object. The options:
 * `kind`: "line" or "bars". `utc()`: whether times are UTC. `sync`: panes with the same name share the crosshair.
 * `timeline`: whether times are written below the axis.
 * `moved(index)`: the crosshair is at that slot now; null if it left the plot.
 * `zoomed(from, to)`: the pointer selected these times, in seconds. `drawn()`: uPlot has drawn.
 */
export function pane(root, { kind, utc, sync, timeline = true, moved = () => {}, zoomed = () => {}, drawn = () => {} }) {
  const color = palette(root);
  const axis = { stroke: color.muted, font: "11px system-ui, sans-serif", grid: { stroke: color.grid, width: 1 }, ticks: { show: false } };
  let [least, top] = [0, Infinity]; // bounds for the top of the bars' axis
  const plot = new UPlot(
    {
      ...size(root),
      padding: [8, 0, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => (utc() ? UPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : new Date(seconds * 1000)),
      scales: { x: { time: true, auto: false }, y: { range: (_, low, high) => padded(low, Math.min(Math.max(high, least), top), kind) } },
      series: strokes(kind, color),
      axes: [
        { ...axis, show: timeline, size: 26, space: 64, values: (u, splits) => times(u, splits, utc()), gap: 6 },
        { ...axis, side: 1, size: AXIS, space: 34, gap: 8, values: (_, splits) => format.ticks(splits) },
      ],
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: kind === "line", size: 7, width: 2 },
        y: false,
        ...(sync && { sync: { key: sync, scales: ["x", null], setSeries: false } }),
      },
      hooks: {
        drawClear: [(u) => shade(u, color)],
        draw: [drawn],
        setCursor: [(u) => moved(u.cursor.left >= 0 ? u.cursor.idx : null)],
        setSelect: [(u) => select(u, zoomed)],
      },
    },
    [[], [], [], []],
    root,
  );

  return {
    plot,
    /**
     * Draws one value for each of `slots` (times in seconds), and the lines `baseline` and `limit` if given: arrays of the
     * same length with null for gaps. `range`, [from, to], is the time shown; by default all. Returns how many bars are
     * higher than the axis.
     */
    draw(slots, values, { baseline, limit, range = [slots[0], slots[slots.length - 1]] } = {}) {
      const none = new Array(slots.length).fill(null);
      const seen = values.filter((value, index) => value !== null && slots[index] >= range[0] && slots[index] <= range[1]);
      if (kind === "bars") {
        least = limit?.findLast((value) => value !== null) ?? 0;
        top = Math.max(ceiling(seen), least);
      }
      plot.setData([slots, values, baseline ?? none, limit ?? none], false);
      plot.setScale("x", { min: range[0], max: range[1] });
      return seen.filter((value) => value > top).length;
    },
    resize: () => plot.setSize(size(root)),
    destroy: () => plot.destroy(),
  };
}

/** How uPlot draws the four arrays of its data: slots, values, baseline, limit. */
function strokes(kind, color) {
  return [
    {},
    kind === "bars"
      ? { stroke: color.bars, fill: color.bars, width: 0, paths: UPlot.paths.bars({ size: [0.8, 12], align: 1 }), points: { show: false } }
      : { stroke: color.line, width: 1.5, pxAlign: 0, spanGaps: false, points: { show: alone, size: 4, fill: color.line } },
    { stroke: color.baseline, width: 1.25, pxAlign: 0, spanGaps: false, points: { show: false } },
    { stroke: color.limit, width: 1.25, pxAlign: 0, dash: [5, 4], spanGaps: false, auto: false, points: { show: false } },
  ];
}

/** The current theme's colours. */
function palette(root) {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["line", "bars", "baseline", "limit", "muted", "grid", "gap"].map((name) => [name, of(name)]));
}

const size = (root) => ({ width: Math.max(80, root.clientWidth), height: Math.max(48, root.clientHeight) });

/** Indices of values between two gaps: a line cannot show them, so they get a point. */
function alone(u, seriesIndex, first, last) {
  const values = u.data[seriesIndex];
  const found = [];
  for (let index = first; index <= last; index++) {
    if (values[index] !== null && (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null) found.push(index);
  }
  return found.length ? found : false;
}

function padded(low, high, kind) {
  if (low === null || high === null) return [0, 1];
  if (kind === "bars") return [0, high > 0 ? high * (1 + MARGIN) : 1];
  const room = high > low ? (high - low) * MARGIN : Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}

/** The top of the bars' axis: lower than the highest bars if these are outliers, else Infinity. */
function ceiling(values) {
  if (values.length < MANY) return Infinity;
  const sorted = [...values].sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length * 0.99)] * ROOM;
  return usual > 0 && usual < sorted[sorted.length - 1] / 2 ? usual : Infinity;
}

function times(u, splits, utc) {
  const gap = splits.length > 1 ? splits[1] - splits[0] : 0;
  return splits.map((at) => {
    const left = u.valToPos(at, "x");
    if (left < LABEL / 2 || left > u.width - LABEL / 2) return "";
    const text = format.clock(at, utc, gap > 0 && gap < 60);
    return text.startsWith("00:00") ? format.day(at, utc) : text;
  });
}

/** Shades the gaps, so that they do not look like a chart that is still loading. */
function shade(u, color) {
  const [slots, values] = u.data;
  if (slots.length < 2) return;
  const { left, top, width, height } = u.bbox;
  const step = slots[1] - slots[0];
  u.ctx.save();
  u.ctx.fillStyle = color.gap;
  for (const [first, last] of gaps(values)) {
    if (last === slots.length - 1 && first === last) continue;
    const from = Math.max(left, u.valToPos(slots[first] - step, "x", true));
    const to = Math.min(left + width, u.valToPos(slots[last] + step, "x", true));
    if (to > from) u.ctx.fillRect(from, top, to - from, height);
  }
  u.ctx.restore();
}

function select(u, zoomed) {
  const { left, width } = u.select;
  if (width < 4) return;
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  zoomed(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
}
