// Search results as a grid that loads more as the user scrolls.

import { dialog, h } from "./dom.js";
import { thumbnail } from "./images.js";
import * as words from "./words.js";

/** Least probability of a second category to show. */
const SHOWN = 0.1;

/** One match. Calls `more` with its id. */
export function card(collection, match, more) {
  const name = words.title(match);
  const confidence = match.confidence === null ? null : words.percent(match.confidence);
  return h("li", { class: "card" },
    h("button", {
      class: "shot", "aria-label": `Similar to ${words.clipped(name)}`,
      onclick: () => more(match.id),
    }, thumbnail(collection, match.id)),
    h("div", { class: "caption" },
      h("p", { class: "name", dir: "auto", title: name }, name),
      h("p", { class: "facts" },
        confidence && h("span", { class: `confidence ${match.likelihood}`, vars: { "--part": match.confidence }, title: "Probability that your image is of this category" }, confidence, " ", match.likelihood),
        h("span", { class: "score", title: "Similarity: higher is closer" }, words.score(match.score)),
        match.category && h("bdi", { class: "tag" }, match.category),
        match.product_id && h("bdi", { class: "product", title: "Product" }, match.product_id)),
      h("button", { class: "quiet details", "aria-label": `Details of ${words.clipped(name)}`, onclick: () => details(collection, match, more) }, "⋯")));
}

/** What the query probably is, in words. */
export function estimate([first, second]) {
  if (!first) return [];
  if (first.category === null) return [`Probably none of the categories here (${words.percent(first.probability)}).`];
  const named = (one) => [h("bdi", { class: "what" }, one.category), ` ${words.percent(one.probability)}`];
  return ["Your image: ", ...named(first), ...(second?.category && second.probability >= SHOWN ? [", or ", ...named(second)] : [])];
}

/** All fields of an item next to a larger image. */
export async function details(collection, match, more) {
  const rows = Object.entries({
    id: match.id, score: match.score, distance: match.distance, confidence: match.confidence, likelihood: match.likelihood, "no confidence": match.confidence_reason,
    category: match.category, product: match.product_id, ...match.metadata,
  }).filter(([, value]) => value !== null && value !== undefined);
  const content = h("div", { class: "detail" },
    thumbnail(collection, match.id, { side: 960, alt: words.clipped(words.title(match)) }),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields" },
      h("table", {}, h("tbody", {}, rows.map(([name, value]) =>
        h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name)), h("td", { dir: "auto" }, words.value(value))))))));
  const answer = await dialog(words.clipped(words.title(match)), content,
    [["more", "Find similar", "primary"], ["close", "Close", "quiet"]], { className: "wide" });
  if (answer === "more") more(match.id);
}

/** Grey placeholders while results load. */
export const waiting = (number) => Array.from({ length: number }, () => h("li", { class: "card ghost", "aria-hidden": "true" }));
