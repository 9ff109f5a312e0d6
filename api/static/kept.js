/** What this browser remembers: starred and recent metrics, panes, theme, zone. Works without storage, too. */

const PREFIX = "data-tracker.";
const RECENT = 8;
export const PANES = 9;

export function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // storage is full or forbidden: the caller's own value lasts until the page is closed
  }
}

const ids = (name) => read(name, []).filter((id) => typeof id === "string");

export const starred = () => ids("starred");
export const recent = () => ids("recent");
export const panes = () => ids("panes").slice(0, PANES);
export const keepPanes = (list) => write("panes", list.slice(0, PANES));

export function star(id, on) {
  write("starred", [...starred().filter((each) => each !== id), ...(on ? [id] : [])]);
}

export function visited(id) {
  write("recent", [id, ...recent().filter((each) => each !== id)].slice(0, RECENT));
}
