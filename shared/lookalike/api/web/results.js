// Search results as a grid that loads more as the user scrolls.

import { dialog, h } from "./dom.js";
import { thumbnail } from "./images.js";
import * as words from "./words.js";

/** Least probability of a second category to show. */
const SHOWN = 0.1;

/** One match. Calls `more` with its id to search for it alone, `add` to add it to the query. */
export function card(collection, match, more, add) {
  const name = words.title(match);
  const confidence = match.confidence === null ? null : words.percent(match.confidence);
  return h("li", { class: "card" },
    h("button", {
      class: "shot", "aria-label": `Similar to ${words.clipped(name)}`,
      onclick: () => more(match.id),
    }, thumbnail(collection, match.id)),
    h("button", { class: "icon plus", "aria-label": `Add ${words.clipped(name)} to the query`, title: "Add to the query", onclick: () => add(match.id) }, "+"),
    h("div", { class: "caption" },
      h("p", { class: "name", dir: "auto", title: name }, name),
      h("p", { class: "facts" },
        confidence && h("span", { class: `confidence ${match.likelihood}`, vars: { "--part": match.confidence }, title: "Probability that your query is of this category" }, confidence, " ", match.likelihood),
        h("span", { class: "score", title: "Similarity: higher is closer" }, words.score(match.score)),
        match.category && h("bdi", { class: "tag" }, match.category),
        match.product_id && h("bdi", { class: "product", title: "Product" }, match.product_id)),
      h("button", { class: "quiet details", "aria-label": `Details of ${words.clipped(name)}`, onclick: () => details(collection, match, more) }, "⋯")));
}

/** What the query probably is, in words. */
export function estimate([first, second], about) {
  if (!first) return [];
  if (first.category === null) return [`Probably none of the categories here (${words.percent(first.probability)}).`];
  const named = (one) => [h("bdi", { class: "what" }, one.category), ` ${words.percent(one.probability)}`];
  return [`Your ${about}: `, ...named(first), ...(second?.category && second.probability >= SHOWN ? [", or ", ...named(second)] : [])];
}

/** How the words of the query were understood. */
export function reading({ words: read, note }) {
  const other = read.filter((one) => one.read_as && ![one.read_as, `${one.read_as}s`, `${one.read_as}es`].includes(one.word));
  const unknown = read.filter((one) => !one.read_as).map((one) => `“${one.word}”`);
  return [
    ...other.map((one) => `Read “${one.word}” as “${one.read_as}”.`),
    unknown.length > 0 && `No item has the ${unknown.length > 1 ? "words" : "word"} ${unknown.join(", ")}.`,
    note && `Compared by words only: ${note}.`,
  ].filter(Boolean).map((text) => h("p", { dir: "auto" }, text));
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
