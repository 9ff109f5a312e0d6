/** Formats numbers and times as text. Pure: the time zone is an argument. */

const NONE = "–";
const cache = new Map();

/** A number at a readable length: 67,012.5, 1.234, 0.000054, 3.1e-12. `digits`: significant ones below 1,000. */
export function number(value, digits = 5) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-8) return trimmedExponent(value, digits);
  if (size >= 1e15) return trimmedExponent(value, digits);
  return size >= 1000
    ? plain({ maximumFractionDigits: size >= 10_000 ? 1 : 2 }).format(value)
    : plain({ maximumSignificantDigits: digits }).format(value);
}

/** A number for a narrow space: 67K, 1.23M, 0.000054. */
export function short(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  return size >= 10_000 && size < 1e15
    ? plain({ notation: "compact", maximumSignificantDigits: 4 }).format(value)
    : number(value, 4);
}

/** Every stored digit, with thousands separators. */
export function exact(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-8 || size >= 1e21) ? String(value) : plain({ maximumFractionDigits: 20 }).format(value);
}

/** A fraction as a signed percentage: +1.25 %, −0.4 %. */
export function percent(fraction) {
  if (!known(fraction)) return NONE;
  const digits = Math.abs(fraction) >= 10 ? 0 : Math.abs(fraction) >= 0.1 ? 1 : 2;
  const text = plain({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(Math.abs(fraction) * 100);
  const sign = Number(text.replace(/[^1-9]/g, "")) === 0 ? "" : fraction > 0 ? "+" : "−";
  return `${sign}${text} %`;
}

/** Labels of an axis. All have the same number of decimals, enough to tell the ticks apart. */
export function ticks(values) {
  const shown = values.filter(known);
  if (!shown.length) return values.map(() => "");
  const gap = shown.length > 1 ? Math.abs(shown[1] - shown[0]) : Math.abs(shown[0]) || 1;
  const top = Math.max(...shown.map(Math.abs));
  if (top >= 1e15 || (top > 0 && top < 1e-8)) return values.map((value) => (known(value) ? value.toExponential(1) : ""));
  const scale = [1e9, 1e6, 1e3].find((each) => top >= Math.max(each, 1e5) && gap >= each / 2) ?? 1;
  const suffix = { 1: "", 1e3: "K", 1e6: "M", 1e9: "B" }[scale];
  const places = decimals(gap / scale);
  const style = plain({ minimumFractionDigits: places, maximumFractionDigits: places });
  return values.map((value) => (known(value) ? style.format(value / scale) + (value ? suffix : "") : ""));
}

/** How many decimals a step between ticks needs: 2.5 one, 0.01 two, 20 none. */
function decimals(step) {
  let places = 0;
  while (places < 12 && Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6 * step * 10 ** places) places++;
  return places;
}

export const unit = (symbol) => (symbol ?? "").toUpperCase();

export const amount = (value, symbol, style = number) => (known(value) ? `${style(value)} ${unit(symbol)}`.trim() : NONE);

/** 14:03, or 14:03:20 with seconds. */
export function clock(seconds, utc, withSeconds = false) {
  const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return times({ ...parts, ...(withSeconds && { second: "2-digit" }) }, utc).format(seconds * 1000);
}

/** 24 Nov, in the browser's language. */
export const day = (seconds, utc) => times({ day: "numeric", month: "short" }, utc).format(seconds * 1000);

/** A time with the other zone in brackets: 24 Nov 14:03 (13:03 UTC). */
export function moment(seconds, utc) {
  const other = utc ? `${clock(seconds, false)} local` : `${clock(seconds, true)} UTC`;
  const here = `${day(seconds, utc)} ${clock(seconds, utc)}`;
  return clock(seconds, true) === clock(seconds, false) ? `${here} UTC` : `${here}${utc ? " UTC" : ""} (${other})`;
}

/** 45 s, 12 min, 3 h 20 min, 2 d. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 90) return `${minutes} min`;
  if (minutes < 48 * 60) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.round(minutes / 1440)} d`;
}

export const ago = (seconds, now = Date.now() / 1000) => (known(seconds) ? `${duration(now - seconds)} ago` : "never");

/** Splits a metric id into {exchange, pair, field, market}. */
export function parts(id) {
  const [exchange, pair, field] = id.split(":");
  return { exchange, pair, field, market: `${exchange}:${pair}` };
}

/** {name, note} of an alert's subject: a metric, or a stale source (`source:NAME`). */
export function subject(id) {
  const { exchange, pair, field } = parts(id);
  return field ? { name: unit(pair), note: `${field} · ${exchange}` } : { name: pair, note: exchange };
}

/** BTC/USD if base and quote are known, else the exchange's own name for the pair. */
export const pairName = ({ base, quote, pair }) => (base && quote ? `${unit(base)}/${unit(quote)}` : unit(pair));

export const up = (fraction) => (known(fraction) && fraction !== 0 ? (fraction > 0 ? "up" : "down") : "even");

const known = (value) => typeof value === "number" && Number.isFinite(value);
const trimmedExponent = (value, digits) => value.toExponential(digits - 1).replace(/\.?0+e/, "e");

const plain = (options) => kept(Intl.NumberFormat, options);
const times = (options, utc) => kept(Intl.DateTimeFormat, utc ? { ...options, timeZone: "UTC" } : options);

function kept(Kind, options) {
  const key = Kind.name + JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new Kind(undefined, options));
  return cache.get(key);
}
