// The pictures that a search found, as a grid that grows as one scrolls.

import { dialog, h } from "./dom.js";
import { thumbnail } from "./pictures.js";
import * as words from "./words.js";

/** One match. `more` is called with its id. */
export function card(collection, match, more) {
  const name = words.title(match);
  const confidence = match.confidence === null ? null : words.percent(match.confidence);
  return h("li", { class: "card" },
    h("button", {
      class: "shot", "aria-label": `More like ${words.clipped(name)}`,
      onclick: () => more(match.id),
    }, thumbnail(collection, match.id)),
    h("div", { class: "caption" },
      h("p", { class: "name", dir: "auto", title: name }, name),
      h("p", { class: "facts" },
        confidence && h("span", { class: "confidence", vars: { "--part": match.confidence }, title: "Probability that it is of the same category" }, confidence),
        h("span", { class: "score", title: "Score: higher is better" }, words.score(match.score)),
        match.category && h("bdi", { class: "tag" }, match.category),
        match.product_id && h("bdi", { class: "product", title: "Product" }, match.product_id)),
      h("button", { class: "quiet details", "aria-label": `Details of ${words.clipped(name)}`, onclick: () => details(collection, match, more) }, "⋯")));
}

/** Everything known of an item, beside a larger picture. */
export async function details(collection, match, more) {
  const rows = Object.entries({
    id: match.id, score: match.score, distance: match.distance, confidence: match.confidence,
    category: match.category, product: match.product_id, ...match.metadata,
  }).filter(([, value]) => value !== null && value !== undefined);
  const content = h("div", { class: "detail" },
    thumbnail(collection, match.id, { side: 960, alt: words.clipped(words.title(match)) }),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What is known of it" },
      h("table", {}, h("tbody", {}, rows.map(([name, value]) =>
        h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name)), h("td", { dir: "auto" }, words.value(value))))))));
  const answer = await dialog(words.clipped(words.title(match)), content,
    [["more", "More like this", "primary"], ["close", "Close", "quiet"]], { className: "wide" });
  if (answer === "more") more(match.id);
}

/** Grey tiles where pictures will be. */
export const waiting = (number) => Array.from({ length: number }, () => h("li", { class: "card ghost", "aria-hidden": "true" }));
