/** Changes the time shown by pointer, touch, wheel and keys. This module knows nothing about what is drawn. */

const CLOSER = 0.8;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };

/**
 * Listens on `figure`. Times are in seconds. `visible()` returns the time shown as [from, to], or null before there is any.
 * `show(from, to)` and `all()` change it. `step(by)` moves the crosshair by that many slots. `center()` returns the time
 * that stays in place when a key zooms.
 */
export function gestures(figure, { visible, show, all, step, center }) {
  figure.addEventListener("wheel", (event) => wheel(event, visible(), show), { passive: false });
  figure.addEventListener("pointerdown", (event) => pan(event, visible, show));
  // Shift and drag pans. uPlot must not see the press: it would start a selection.
  figure.addEventListener("mousedown", (event) => event.shiftKey && event.stopPropagation(), { capture: true });
  figure.addEventListener("dblclick", all);
  figure.addEventListener("keydown", (event) => {
    if (event.target !== figure || event.ctrlKey || event.metaKey || event.altKey || !visible()) return;
    if (event.key in STEPS) step(STEPS[event.key] * (event.shiftKey ? 10 : 1));
    else if (event.key === "+" || event.key === "=") zoom(0.5, center(), visible(), show);
    else if (event.key === "-") zoom(2, center(), visible(), show);
    else if (event.key === "Home") all();
    else return;
    event.preventDefault();
  });
}

const plotOf = (event) => event.target.closest(".u-over");

function zoom(factor, center, [from, to], show) {
  show(center - (center - from) * factor, center + (to - center) * factor);
}

function wheel(event, range, show) {
  const plot = plotOf(event);
  if (!plot || !range || event.ctrlKey) return;
  event.preventDefault();
  const [from, to] = range;
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    const by = ((to - from) * event.deltaX) / plot.clientWidth;
    return show(from + by, to + by);
  }
  const share = (event.clientX - plot.getBoundingClientRect().left) / plot.clientWidth;
  zoom(event.deltaY > 0 ? 1 / CLOSER : CLOSER, from + share * (to - from), range, show);
}

/** Shift and drag, or one finger, pans. Two fingers zoom. */
function pan(event, visible, show) {
  const plot = plotOf(event);
  if (!plot || !visible() || !(event.shiftKey || event.pointerType === "touch")) return;
  const fingers = new Map([[event.pointerId, event.clientX]]);
  const listening = new AbortController();
  const on = (name, listener) => addEventListener(name, listener, { signal: listening.signal });

  on("pointerdown", (more) => more.pointerType === "touch" && fingers.set(more.pointerId, more.clientX));
  on("pointermove", (moved) => {
    if (!fingers.has(moved.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(moved.pointerId, moved.clientX);
    drag(before, [...fingers.values()], visible(), plot.clientWidth, show);
  });
  for (const name of ["pointerup", "pointercancel"]) on(name, (up) => fingers.delete(up.pointerId) && !fingers.size && listening.abort());
}

function drag(before, after, [from, to], width, show) {
  if (before.length === 1) {
    const by = ((before[0] - after[0]) * (to - from)) / width;
    return show(from + by, to + by);
  }
  const stretch = Math.abs(before[0] - before[1]) / Math.max(8, Math.abs(after[0] - after[1]));
  zoom(stretch, (from + to) / 2, [from, to], show);
}
