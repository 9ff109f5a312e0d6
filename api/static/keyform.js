/** The form that asks for an API key when the API refuses to be read without one. */

import { keepKey } from "./ask.js";
import { el } from "./dom.js";

/** Returns the form with the message of `error`. It keeps the key for this tab and calls `again()`. */
export function keyForm(error, again) {
  const input = el("input", { type: "password", autocomplete: "off", "aria-label": "API key", required: true });
  const submit = (event) => {
    event.preventDefault();
    keepKey(input.value.trim());
    again();
  };
  return el("div", { class: "message" }, el("h1", {}, "Enter an API key"), el("p", { role: "status" }, error.message),
    el("form", { class: "row", on: { submit } }, input, el("button", {}, "Use key")),
    el("p", { class: "muted" }, "The key is kept until this tab is closed. To make one, run .venv/bin/python -m tracker keys create NAME."));
}
