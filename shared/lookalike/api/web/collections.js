// Collections: lists them with size, encoder and index age; creates and deletes them.

import { events, get, path, send } from "./api.js";
import { dialog, h, heading, notice } from "./dom.js";
import { thumbnail } from "./images.js";
import { address } from "./place.js";
import * as words from "./words.js";

const SHOWN = 5;
const REFRESH_MS = 5_000;

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection, collections, damaged }) {
  const leaving = new AbortController();
  const tiles = collections.map((each) => tile(each, each.name === collection, leaving.signal));
  root.append(h("div", { class: "stack" },
    heading("Collections"),
    damaged.map(broken),
    tiles.length ? h("ul", { class: "tiles" }, tiles.map(({ element }) => element)) : h("p", {}, "No collections yet. Create one below."),
    maker()));
  // One after another: all at once would exceed the server's limit on requests that read a whole collection.
  let refreshing = false;
  const refreshAll = async () => {
    if (refreshing) return;
    refreshing = true;
    for (const { refresh } of tiles) if (!leaving.signal.aborted) await refresh();
    refreshing = false;
  };
  refreshAll();
  const timer = setInterval(refreshAll, REFRESH_MS);
  return () => {
    clearInterval(timer);
    leaving.abort();
  };
}

function tile(collection, here, signal) {
  const { name, snapshot } = collection;
  const facts = h("dl", {});
  const strip = h("ul", { class: "strip" });
  const lines = (standing) => [
    ["Items", standing ? words.count(standing.items) : "…"],
    ["Categories", standing ? words.count(standing.categories) : "…"],
    ["Encoder", collection.encoder],
    ["Engine", `${collection.engine}, ${collection.metric}`],
    ["Last indexed", snapshot ? words.ago(standing?.snapshot_at ?? snapshot.created_at) : "not yet"],
    ["Index recall", snapshot?.recall == null ? "not measured" : words.percent(snapshot.recall)],
    ["Not yet indexed", standing ? words.many(standing.delta, "item") : "…"],
    ["Last upload", standing ? words.ago(standing.last_ingested_at) : "…"],
  ];
  const fill = (standing) => facts.replaceChildren(...lines(standing).flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, h("bdi", {}, text))]));
  const refresh = async () => {
    try {
      const standing = await get(path(name, "standing"), { signal });
      fill(standing);
      if (!standing.items || strip.children.length) return;
      const { ids } = await get(path(name, "map"), { query: { limit: SHOWN }, signal });
      strip.replaceChildren(...ids.map((id) => h("li", {}, thumbnail(name, id, { side: 160 }))));
    } catch (error) {
      if (error.name !== "AbortError") facts.replaceChildren(h("dt", { class: "error" }, "Not available"), h("dd", {}, error.message));
    }
  };
  fill(null);
  const element = h("li", { class: `panel tile ${here ? "here" : ""}` },
    h("div", { class: "row" }, h("h2", { class: "grow" }, name), here && h("span", { class: "badge" }, "selected")),
    strip, facts,
    h("div", { class: "row" },
      h("a", { class: "button primary", href: address("search", { collection: name }), "aria-label": `Search in ${name}` }, "Search"),
      h("a", { class: "button", href: address("upload", { collection: name }), "aria-label": `Upload to ${name}` }, "Upload"),
      h("a", { class: "button", href: address("trash", { collection: name }), "aria-label": `Trash of ${name}` }, "Trash"),
      h("button", { class: "quiet", "aria-label": `Delete ${name}`, onclick: () => remove(name) }, "Delete")));
  return { element, refresh };
}

/** A collection that cannot be used: why, and a button to delete it. */
function broken({ name, problem }) {
  return h("section", { class: "panel stack", "aria-label": `Damaged collection ${name}` },
    h("div", { class: "row" }, h("h2", { class: "grow" }, name), h("span", { class: "badge" }, "damaged")),
    h("p", { class: "error" }, problem),
    h("div", { class: "row" }, h("button", { class: "quiet", "aria-label": `Delete ${name}`, onclick: () => remove(name) }, "Delete")));
}

async function remove(name) {
  const typed = h("input", { type: "text", id: "delete-name", autocomplete: "off", spellcheck: "false" });
  const answer = await dialog(`Delete ${name}?`, h("div", { class: "stack" },
    h("p", {}, "This deletes its images, metadata, trash and indexes permanently. Encoders are kept."),
    h("label", { for: "delete-name" }, `Type ${name} to delete it`), typed),
  [["no", "Cancel", "quiet"], ["yes", "Delete collection", "danger"]]);
  if (answer !== "yes") return;
  if (typed.value.trim() !== name) return notice(`Nothing was deleted: the name is ${name}.`, { kind: "error" });
  try {
    await send("DELETE", path(name));
    notice(`Deleted ${name}.`, { seconds: 5 });
    events.dispatchEvent(new Event("collections"));
  } catch (error) {
    notice(error.message, { kind: "error" });
  }
}

function maker() {
  const input = h("input", { type: "text", id: "new-name", required: true, pattern: "[a-z0-9][a-z0-9\\-]{0,62}", placeholder: "shop", autocomplete: "off" });
  const make = async (event) => {
    event.preventDefault();
    try {
      await send("PUT", path(input.value), { json: {} });
      events.dispatchEvent(new CustomEvent("collections", { detail: address("upload", { collection: input.value }) }));
    } catch (error) {
      notice(error.message, { kind: "error" });
    }
  };
  return h("form", { class: "panel stack", onsubmit: make },
    h("h2", {}, "New collection"),
    h("label", { for: "new-name" }, "Name (lower-case letters, digits and dashes)"),
    h("div", { class: "row" }, input, h("button", { class: "primary" }, "Create")));
}
