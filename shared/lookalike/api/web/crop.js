// A crop rectangle that the user draws with a pointer or moves with arrow keys.

import { h } from "./dom.js";

const STEP = 0.04;
const LEAST = 0.05;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Shows `canvas` with a rectangle. Calls `changed` with [left, top, width, height] as fractions, or null for all of it. */
export function cropper(canvas, box, changed) {
  let at = box ?? [0, 0, 1, 1];
  const frame = h("div", {
    class: "crop-frame", tabindex: "0", role: "group",
    "aria-label": "Part of the image to search with. Arrow keys move it; Shift and arrow keys resize it.",
    onkeydown: key,
  });
  const area = h("div", { class: "crop", onpointerdown: begin }, canvas, frame);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Query image");
  show();
  return { area, whole: () => set([0, 0, 1, 1]) };

  function show() {
    ["--left", "--top", "--width", "--height"].forEach((name, side) => frame.style.setProperty(name, `${at[side] * 100}%`));
    frame.classList.toggle("whole", at[2] > 0.995 && at[3] > 0.995);
  }
  function set(next, done = true) {
    at = next;
    show();
    if (done) changed(at[2] > 0.995 && at[3] > 0.995 ? null : at);
  }
  function key(event) {
    const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (across === undefined) return;
    event.preventDefault();
    const [left, top, width, height] = at;
    if (event.shiftKey)
      set([left, top, clamp(width + across * STEP, LEAST, 1 - left), clamp(height + down * STEP, LEAST, 1 - top)]);
    else set([clamp(left + across * STEP, 0, 1 - width), clamp(top + down * STEP, 0, 1 - height), width, height]);
  }
  function begin(event) {
    if (event.button) return;
    event.preventDefault();
    frame.focus();
    const bounds = area.getBoundingClientRect();
    const place = (e) => [
      clamp((e.clientX - bounds.left) / bounds.width, 0, 1), clamp((e.clientY - bounds.top) / bounds.height, 0, 1)];
    const start = place(event);
    const whole = at[2] > 0.995 && at[3] > 0.995;
    const inside = !whole && start[0] > at[0] && start[0] < at[0] + at[2] && start[1] > at[1] && start[1] < at[1] + at[3];
    const before = at;
    if (!inside) set([...start, 0, 0], false);
    const move = (e) => {
      const now = place(e);
      const [dx, dy] = [now[0] - start[0], now[1] - start[1]];
      if (inside) set([clamp(before[0] + dx, 0, 1 - before[2]), clamp(before[1] + dy, 0, 1 - before[3]), before[2], before[3]], false);
      else set([Math.min(start[0], now[0]), Math.min(start[1], now[1]), Math.abs(dx), Math.abs(dy)], false);
    };
    area.setPointerCapture(event.pointerId);
    area.addEventListener("pointermove", move);
    area.addEventListener("pointerup", () => {
      area.removeEventListener("pointermove", move);
      const tiny = at[2] < LEAST || at[3] < LEAST;
      set(tiny ? [0, 0, 1, 1] : at); // a click resets the crop to the whole image
    }, { once: true });
  }
}
