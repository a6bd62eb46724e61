// Plots as SVG.

import { h, s } from "./dom.js";

const WIDE = 420;
const HIGH = 250;
const EDGE = { left: 38, right: 10, top: 8, bottom: 34 };

/** A frame with axes from 0 to 1, or `low` to `high`. `x` and `y` map values to coordinates. */
function framed(title, across, up, { low = 0, high = 1, percent = true } = {}) {
  const x = (value) => EDGE.left + ((value - low) / (high - low)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => HIGH - EDGE.bottom - value * (HIGH - EDGE.top - EDGE.bottom);
  const steps = [0, 0.25, 0.5, 0.75, 1];
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": title },
    steps.map((step) => [
      s("line", { class: "axis", x1: EDGE.left, x2: WIDE - EDGE.right, y1: y(step), y2: y(step) }),
      up && s("text", { x: EDGE.left - 6, y: y(step) + 4, "text-anchor": "end" }, `${step * 100}`),
      s("text", { x: x(low + step * (high - low)), y: HIGH - EDGE.bottom + 15, "text-anchor": "middle" }, percent ? `${step * 100}` : (low + step * (high - low)).toFixed(2)),
    ]),
    s("text", { x: (WIDE + EDGE.left) / 2, y: HIGH - 3, "text-anchor": "middle" }, across),
    up && s("text", { transform: `translate(10 ${HIGH / 2 - 10}) rotate(-90)`, "text-anchor": "middle" }, up));
  return { svg, x, y, figure: h("figure", { class: "panel plot stack" }, h("figcaption", {}, h("h3", {}, title)), svg) };
}

const line = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** Precision against recall. `mark(point)` moves the spot. */
export function curve(points) {
  const { svg, x, y, figure } = framed("Precision and recall", "recall, %", "precision, %");
  const spot = s("circle", { class: "spot", r: 6 });
  svg.append(s("path", { class: "line", d: line(points.map((point) => [x(point.recall), y(point.precision)])) }), spot);
  const mark = (point) => {
    spot.setAttribute("cx", x(point.recall));
    spot.setAttribute("cy", y(point.precision));
  };
  return { figure, mark };
}

/** Scores of same-category and different-category pairs. */
export function histogram({ low, high, same, different }) {
  const seen = same.map((count, bin) => count + different[bin]);
  const first = Math.max(0, seen.findIndex(Boolean));
  const last = seen.findLastIndex(Boolean) + 1;
  const width = (high - low) / seen.length;
  const range = { low: low + first * width, high: low + Math.max(last, first + 1) * width };
  const { svg, x, y, figure } = framed("Scores of image pairs", "score", "", { ...range, percent: false });
  for (const [counts, kind] of [[different, "different"], [same, "same"]]) {
    const most = Math.max(1, ...counts);
    for (let bin = first; bin < last; bin += 1) {
      if (!counts[bin]) continue;
      const left = x(low + bin * width);
      svg.append(s("rect", { class: kind, x: left, width: Math.max(0.5, x(low + (bin + 1) * width) - left - 0.4), y: y(counts[bin] / most), height: y(0) - y(counts[bin] / most) }));
    }
  }
  const rule = s("line", { class: "mark", y1: y(0), y2: y(1) });
  svg.append(rule);
  figure.append(h("p", { class: "quiet-text" }, "Colour: same category. Grey: different categories. Scaled separately."));
  const mark = ({ score }) => {
    const at = x(Math.min(range.high, Math.max(range.low, score ?? range.high)));
    rule.setAttribute("x1", at);
    rule.setAttribute("x2", at);
  };
  return { figure, mark };
}

/** Minimum number of pairs of a bin to show; fewer are not significant. */
const FEWEST_PAIRS = 20;

/** Confidence against the share of correct matches; larger dots have more pairs. */
export function reliability(all) {
  const bins = all.filter((bin) => bin.pairs >= FEWEST_PAIRS), most = Math.max(...bins.map((bin) => bin.pairs));
  const { svg, x, y, figure } = framed("Calibration", "confidence, %", "correct, %");
  svg.append(s("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    s("path", { class: "line", d: line(bins.map((bin) => [x(bin.confidence), y(bin.right)])) }),
    ...bins.map((bin) => s("circle", { class: "spot", r: 2 + 5 * Math.sqrt(bin.pairs / most), cx: x(bin.confidence), cy: y(bin.right) })));
  return figure;
}
