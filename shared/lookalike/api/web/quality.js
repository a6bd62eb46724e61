// Quality: evaluates the encoder, lets the user explore thresholds, and manages trainings.

import { get, path } from "./api.js";
import { h, heading } from "./dom.js";
import * as plots from "./plots.js";
import { trainings } from "./trainings.js";
import * as words from "./words.js";

const NAMES = { recall_at_1: "Recall@1", recall_at_5: "Recall@5", recall_at_10: "Recall@10", map_at_r: "mAP@R" };
const SHOWN = 12;

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const leaving = new AbortController();
  const judged = h("section", { class: "stack", "aria-label": "Evaluation" }, h("p", { class: "quiet-text", role: "status" }, "Evaluating the encoder on this collection's categories…"));
  root.append(h("div", { class: "narrow" }, heading("Quality"), judged, trainings(collection, leaving.signal, () => judge())));
  judge();
  return () => leaving.abort();

  async function judge() {
    try {
      judged.replaceChildren(...evaluation(await get(path(collection, "quality"), { signal: leaving.signal })));
    } catch (error) {
      if (error.name === "AbortError") return;
      judged.replaceChildren(h("p", { class: "error", role: "alert" }, error.message), h("div", {}, h("button", { onclick: judge }, "Try again")));
    }
  }
}

function evaluation(found) {
  const curve = plots.curve(found.curve);
  const histogram = plots.histogram(found.histogram);
  const readout = h("output", { for: "threshold", class: "headline" });
  const slider = h("input", { type: "range", id: "threshold", min: 0, max: Math.max(0, found.curve.length - 1), step: 1 });
  const set = (place) => {
    const point = found.curve[place];
    if (!point) return;
    slider.setAttribute("aria-valuetext", `score ${words.score(point.score)}, precision ${words.percent(point.precision)}, recall ${words.percent(point.recall)}`);
    readout.replaceChildren(...[[words.score(point.score), "Threshold: minimum score of a match"], [words.percent(point.precision), "Precision: share of accepted matches that are correct"], [words.percent(point.recall), "Recall: share of correct matches that are accepted"]]
      .map(([value, text]) => h("div", {}, h("b", {}, value), h("span", {}, text))));
    curve.mark(point);
    histogram.mark(point);
  };
  slider.addEventListener("input", () => set(Number(slider.value)));
  const wanted = found.threshold.score;
  const begin = wanted === null ? 0 : nearest(found.curve, wanted);
  slider.value = begin;
  set(begin);
  return [
    h("p", { class: "quiet-text" }, h("bdi", {}, found.encoder), `: ${words.many(found.queries, "query", "queries")} against ${words.many(found.gallery, "image")} in ${words.many(found.categories, "category", "categories")} (${found.split}).`),
    h("div", { class: "panel headline" }, Object.entries(NAMES).map(([name, text]) => metric(found.metrics[name], text))),
    h("div", { class: "panel stack" }, h("label", { for: "threshold" }, h("h2", {}, "Score threshold")), slider, readout,
      wanted === null ? h("p", { class: "quiet-text" }, `No threshold reaches ${words.percent(found.wanted_precision)} precision.`) : ""),
    h("div", { class: "plots" }, curve.figure, histogram.figure, found.reliability?.length ? plots.reliability(found.reliability) : "", categories(found)),
  ];
}

const metric = (interval, text) => h("div", {},
  h("b", {}, interval?.value == null ? "–" : words.percent(interval.value)), h("span", {}, text),
  interval?.low == null ? "" : h("span", {}, ` (${Math.round(interval.low * 100)}–${Math.round(interval.high * 100)})`));

const nearest = (curve, score) => curve.reduce((best, point, place) => (Math.abs(point.score - score) < Math.abs(curve[best].score - score) ? place : best), 0);

function categories({ by_category, confusion }) {
  const cell = (part) => h("td", { class: "number" }, part === null ? "–" : words.percent(part));
  return h("div", { class: "panel stack" }, h("h3", {}, "Categories, hardest first"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Categories" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Category"), ["Queries", "Recall@1", "mAP@R"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
      h("tbody", {}, by_category.map((each) => h("tr", {}, h("td", {}, h("bdi", {}, each.name)), h("td", { class: "number" }, words.count(each.queries)), cell(each.recall_at_1), cell(each.map_at_r)))))),
    confusion.length > 0 && h("p", { class: "quiet-text" }, "Most often confused: ",
      confusion.slice(0, SHOWN).map((each, place) => [place ? ", " : "", h("bdi", {}, each.asked), " → ", h("bdi", {}, each.found), ` ${each.queries}×`]), "."));
}
