/** The SQL view: runs queries on the static edition's database, with SQLite in this browser. */

import { el, fill, say } from "./dom.js";
import { DATABASE, databaseSize } from "./files.js";
import * as format from "./format.js";
import * as url from "./url.js";

const ENGINE = "static/vendor/sql.js/sql-wasm-1.16.0";
const SHOWN = 500;
const EXAMPLES = {
  "Most volatile volumes": "SELECT id, rank, rank_of, round(cv_24h, 3) AS variation\nFROM metrics WHERE field = 'volume' ORDER BY rank LIMIT 20",
  "Largest volume of each market": "SELECT market, datetime(slot, 'unixepoch') AS utc, max(volume) AS volume\nFROM series GROUP BY market ORDER BY market",
  "Spread between exchanges": "SELECT base || '/' || quote AS pair, count(*) AS exchanges, min(last) AS lowest, max(last) AS highest,\n  round((max(last) / min(last) - 1) * 100, 3) AS percent\nFROM metrics WHERE field = 'price' AND last > 0\nGROUP BY base, quote HAVING count(*) > 1 ORDER BY percent DESC LIMIT 20",
  "What there is": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
};
let opened = null;

export function sql(root) {
  const query = el("textarea", { "aria-label": "SQL", rows: 5, spellcheck: "false", on: { keydown: runByKey } });
  const told = el("p", { class: "muted", role: "status" });
  const result = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Result" });
  const run = el("button", { on: { click: execute } }, "Run");
  fill(root, el("header", { class: "title" }, el("h1", { tabindex: -1 }, "SQL")),
    el("div", { class: "query" }, query,
      el("div", { class: "row" }, run, Object.entries(EXAMPLES).map(([name, text]) =>
        el("button", { class: "example", on: { click: () => ((query.value = text), execute()) } }, name))), told), result);

  function runByKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) execute();
  }

  async function execute() {
    if (query.value !== url.state().sql) url.go({ sql: query.value });
    try {
      const database = await open(told);
      const began = performance.now();
      const [found] = database.exec(query.value);
      say(told, found ? `${format.number(found.values.length)} rows in ${format.number(performance.now() - began, 2)} ms` : "No rows.");
      fill(result, found && rows(found));
    } catch (error) {
      say(told, error.message);
    }
  }

  return {
    async update(state) {
      if (query.value) return;
      query.value = state.sql || Object.values(EXAMPLES)[0];
      const size = await databaseSize();
      say(told, opened ? "" : size ? `The first run downloads the database (${format.number(size / 1e6, 2)} MB).` : `There is no ${DATABASE} beside this page.`);
      run.disabled = !size;
      if (opened) execute();
    },
    stop() {},
  };
}

function rows({ columns, values }) {
  return el("table", {},
    el("caption", {}, values.length > SHOWN ? `The first ${SHOWN} rows` : ""),
    el("thead", {}, el("tr", {}, columns.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, values.slice(0, SHOWN).map((row) => el("tr", {}, row.map((value) =>
      el("td", { class: typeof value === "number" ? "figure" : "" }, value === null ? "–" : String(value)))))));
}

/** Fetches and opens the database once. A failed attempt is forgotten, so that the next one tries again. */
function open(told) {
  opened ??= load(told).catch((error) => {
    opened = null;
    throw error;
  });
  return opened;
}

async function load(told) {
  say(told, "Fetching the database…");
  const [init, file] = await Promise.all([engine(), fetch(new URL(DATABASE, location.href))]);
  if (!file.ok) throw new Error(`The database cannot be fetched: status ${file.status}.`);
  const { Database } = await init({ locateFile: () => `${ENGINE}.wasm` });
  return new Database(new Uint8Array(await file.arrayBuffer()));
}

function engine() {
  return new Promise((resolve, reject) => {
    const script = el("script", { src: `${ENGINE}.js`, on: {
      load: () => resolve(globalThis.initSqlJs), error: () => reject(new Error("SQLite cannot be fetched.")) } });
    document.head.append(script);
  });
}
