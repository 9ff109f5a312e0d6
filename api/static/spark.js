/** A sparkline: the last 24 hours as a small SVG line that breaks at gaps. */

import { svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 22;

export function spark(values) {
  const present = (values ?? []).filter((value) => value !== null);
  const picture = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
  if (!present.length) return picture;
  const low = Math.min(...present);
  const range = Math.max(...present) - low || 1;
  const x = (index) => ((index / Math.max(1, values.length - 1)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 2 - ((value - low) / range) * (HEIGHT - 4)).toFixed(1);
  let path = "";
  values.forEach((value, index) => {
    if (value === null) return;
    const start = (values[index - 1] ?? null) === null;
    path += `${start ? "M" : "L"}${x(index)} ${y(value)}`;
    if (start && (values[index + 1] ?? null) === null) path += "h.1";
  });
  picture.append(svg("path", { d: path }));
  return picture;
}
