/** Short helpers to make and fill elements. They never parse HTML: text stays text. */

/** el("button", {class: "x", "aria-label": "y", on: {click}}, child, "text"); null, false and undefined are left out. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  set(node, properties);
  node.append(...children.flat(Infinity).filter(present));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Replaces the content of `node` with `children`. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(present));
  return node;
}

/** Sets the text only if it differs, so that screen readers do not repeat it and the layout stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function set(node, { on = {}, ...attributes }) {
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (present(value)) node.setAttribute(name, value);
  }
}

const present = (value) => value !== null && value !== undefined && value !== false;
