/** Elements without ceremony. Text is always text: nothing here parses HTML. */

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

/** Puts `children` in place of what `node` holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(present));
  return node;
}

/** Writes text only where it differs, so that nothing is announced or laid out in vain. */
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
