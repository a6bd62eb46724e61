// Map: shows the items of a collection in two dimensions, and where a query image falls.

import { events, get, path } from "./api.js";
import { Chart } from "./chart.js";
import { chooser, h, heading, notice, say, debounced } from "./dom.js";
import { css, hue } from "./hues.js";
import { thumbnail } from "./images.js";
import { address, go } from "./place.js";
import { search, current, ofFile } from "./query.js";
import * as words from "./words.js";

const MOST = 10_000;
const AMONG = 5;

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const leaving = new AbortController();
  build(root, collection, leaving.signal).catch((error) => {
    if (error.name !== "AbortError") root.replaceChildren(h("div", { class: "view" }, heading("Map"), h("p", { class: "error", role: "alert" }, error.message)));
  });
  return () => leaving.abort();
}

async function build(root, collection, signal) {
  root.append(heading("Map", { class: "unseen" }), h("div", { class: "map-stage", "aria-busy": "true" }), h("aside", { class: "map-side", "aria-label": "About the map" }, h("p", { class: "quiet-text" }, "Loading the map…")));
  const data = await get(path(collection, "map"), { query: { limit: MOST }, signal });
  if (signal.aborted) return;
  const dark = document.documentElement.dataset.theme === "dark";
  const canvas = h("canvas", {
    tabindex: "0", role: "application",
    "aria-label": `Map of ${words.many(data.ids.length, "item")}. Arrow keys pan, plus and minus zoom, Enter selects the item at the centre.`,
  });
  const nearby = h("ul", { class: "near" });
  const taken = h("div", { class: "stack", role: "status" });
  const few = debounced((chart) => {
    const found = around(chart, data);
    if (String(found) === nearby.dataset.items) return;
    nearby.dataset.items = String(found);
    nearby.replaceChildren(...found.map((item) => h("li", {}, h("button", {
      class: "shot", "aria-label": `Show ${words.clipped(data.ids[item])} on the map`, onclick: () => pick(item),
    }, thumbnail(collection, data.ids[item], { side: 160 })))));
  }, 300);
  root.querySelector(".map-stage").append(canvas);
  const chart = new Chart(canvas, collection, data, { moved: few, picked: pick, signal });
  globalThis.lookalikeChart = chart; // for the frame-rate benchmark
  function pick(item) {
    chart.chosen = item;
    chart.draw();
    const id = data.ids[item];
    taken.replaceChildren(
      h("div", { class: "stage" }, thumbnail(collection, id, { side: 320, alt: words.clipped(id) })),
      h("p", {}, h("bdi", {}, words.clipped(id))),
      h("a", { class: "button primary", href: address("search", { collection, id }) }, "Find similar"));
  }
  root.querySelector(".map-stage").removeAttribute("aria-busy");
  root.querySelector(".map-stage").append(h("div", { class: "map-tools" },
    h("button", { onclick: () => chart.zoom(1.5), "aria-label": "Zoom in" }, "+"),
    h("button", { onclick: () => chart.zoom(1 / 1.5), "aria-label": "Zoom out" }, "−"),
    h("button", { onclick: () => chart.home() }, "Show all"),
    chooser("Locate an image", { accept: "image/*" }, ([file]) => place(file))));
  const of = data.total > data.ids.length ? `${words.count(data.ids.length)} of ${words.many(data.total, "item")} (sample)` : words.many(data.total, "item");
  root.querySelector(".map-side").replaceChildren(
    h("p", {}, h("b", {}, of), h("br", {}), h("span", { class: "quiet-text" }, "Similar items are close together.")),
    taken, h("section", {}, h("h2", {}, "Near the centre"), nearby), legend(data, chart, dark));
  events.addEventListener("theme", () => go("map", { collection }), { signal });
  const drop = { signal };
  window.addEventListener("dragover", (event) => event.preventDefault(), drop);
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) place(event.dataTransfer.files[0]);
  }, drop);
  if (current.query && current.collection === collection) locate(await search(collection, [current.query], { limit: AMONG, include_self: true }, signal));

  async function place(file) {
    try {
      current.query = await ofFile(file);
      current.collection = collection;
      locate(await search(collection, [current.query], { limit: AMONG }, signal));
    } catch (error) {
      if (error.name !== "AbortError") notice(error.message, { kind: "error" });
    }
  }
  function locate({ results }) {
    const number = new Map(data.ids.map((id, item) => [id, item]));
    const known = results.filter((match) => number.has(match.id)).slice(0, AMONG);
    if (!known.length) return notice("None of its matches are on this map.");
    // The mean position of its matches, weighted by closeness: the rule that the server uses for items added after a snapshot.
    const weights = known.map((match) => 1 / Math.max(match.distance, 1e-4) ** 2);
    const total = weights.reduce((sum, weight) => sum + weight);
    const mean = (axis) => known.reduce((sum, match, n) => sum + weights[n] * axis[number.get(match.id)], 0) / total;
    chart.pin = [mean(data.x), mean(data.y)];
    chart.centre(...chart.pin);
    taken.replaceChildren(h("p", {}, "The ring marks ", h("bdi", {}, words.clipped(current.query.name, 60)), "."));
    say("The map shows your image.");
  }
}

/** The items nearest to the centre of the view. */
function around(chart, data, most = 9) {
  const far = data.x.map((x, item) => [((x - chart.x) * chart.stretch) ** 2 + (data.y[item] - chart.y) ** 2, item]);
  return far.sort((a, b) => a[0] - b[0]).slice(0, most).map(([, item]) => item);
}

function legend(data, chart, dark) {
  const counts = new Array(data.categories.length).fill(0);
  for (const group of data.category) if (group >= 0) counts[group] += 1;
  const order = counts.map((_, group) => group).sort((a, b) => counts[b] - counts[a]);
  const buttons = order.map((group) => {
    const button = h("button", { "aria-pressed": "false", onclick: () => {
      chart.only = chart.only === group ? -1 : group;
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button && chart.only === group));
      chart.draw();
    } }, h("span", { class: "dot", vars: { "--hue": css(hue(group, dark)) } }), h("bdi", {}, data.categories[group]), h("span", { class: "number" }, words.count(counts[group])));
    return button;
  });
  return h("section", {}, h("h2", {}, "Categories"), h("ul", { class: "legend" }, buttons.map((button) => h("li", {}, button))));
}
