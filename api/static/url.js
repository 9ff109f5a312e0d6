/** The page's state is its address, so a link shows everyone the same view. */

export const VIEWS = ["chart", "movers", "heatmap", "grid", "sql"];
export const RANGES = { "1h": 3600, "4h": 4 * 3600, "12h": 12 * 3600, "24h": 24 * 3600 };

/** Default values. They are left out of the address. */
const USUAL = {
  view: "chart", metric: "", range: "24h", from: "", to: "", alert: "", panes: "",
  field: "price", exchange: "", quote: "", order: "rank", sql: "",
};
const listeners = new Set();

export function state() {
  const query = new URLSearchParams(location.search);
  const found = Object.fromEntries(Object.entries(USUAL).map(([name, usual]) => [name, query.get(name) ?? usual]));
  if (!VIEWS.includes(found.view)) found.view = USUAL.view;
  if (!(found.range in RANGES)) found.range = USUAL.range;
  if (!["price", "volume"].includes(found.field)) found.field = USUAL.field;
  return found;
}

/** The address of this page with `changes` made to its state. */
export function href(changes) {
  const next = { ...state(), ...changes };
  const query = new URLSearchParams();
  for (const [name, usual] of Object.entries(USUAL)) if (next[name] !== usual) query.set(name, next[name]);
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
  return text ? `?${text}` : location.pathname;
}

/** Changes the state. Adds an entry to the history, or replaces the current one with `replace`. */
export function go(changes, { replace = false } = {}) {
  const target = href(changes);
  if (target === href({})) return;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  tell();
}

export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Lets links within the page change its state instead of reloading it. */
export function takeLinks(root) {
  root.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='?'], a[data-home]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    tell();
  });
}

function tell() {
  for (const listener of [...listeners]) listener(state());
}

addEventListener("popstate", tell);
