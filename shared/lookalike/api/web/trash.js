// Trash: deleted items, which can be restored for 30 days.

import { events, get, path, post } from "./api.js";
import { h, heading, notice, say } from "./dom.js";
import * as words from "./words.js";

const PAGE = 50;
const UNDO_SECONDS = 30;

/** Reports that items were moved to the trash, with a button that restores them. */
export function moved(collection, ids) {
  const text = `${words.many(ids.length, "image")} moved to the trash.`;
  say(text);
  notice(text, { seconds: UNDO_SECONDS, action: ["Undo", () => restore(collection, ids).then((done) => done && reload())] });
}

/** Restores items. Returns whether that worked; shows why not. */
async function restore(collection, ids) {
  try {
    await post(path(collection, "trash/restore"), { json: { ids } });
    notice(`${words.many(ids.length, "image")} restored.`, { seconds: 5 });
    return true;
  } catch (error) {
    notice(error.message, { kind: "error" });
    return false;
  }
}

const reload = () => events.dispatchEvent(new Event("collections"));

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const leaving = new AbortController();
  const rows = h("ul", { class: "stack trash" });
  const summary = h("p", { role: "status", class: "quiet-text" }, "Loading…");
  const more = h("button", { hidden: true, onclick: () => load() }, "Show more");
  let cursor = null;
  root.append(h("div", { class: "narrow stack" }, heading("Trash"),
    h("p", { class: "quiet-text" }, `Images deleted from ${collection} stay here for 30 days. Searches do not find them.`), summary, rows, more));
  load();
  return () => leaving.abort();

  async function load() {
    more.hidden = true;
    try {
      const found = await get(path(collection, "trash"), { query: { limit: PAGE, cursor }, signal: leaving.signal });
      rows.append(...found.items.map(row));
      cursor = found.next;
      more.hidden = !cursor;
      summary.textContent = rows.children.length ? "" : "The trash is empty.";
    } catch (error) {
      if (error.name === "AbortError") return;
      summary.replaceChildren(h("span", { class: "error", role: "alert" }, error.message), " ", h("button", { onclick: () => load() }, "Try again"));
    }
  }
  function row(item) {
    const back = h("button", { "aria-label": `Restore ${words.clipped(item.id, 60)}`, onclick: async () => {
      back.disabled = true;
      if (await restore(collection, [item.id])) line.remove();
      back.disabled = false;
      if (!rows.children.length && !cursor) summary.textContent = "The trash is empty.";
    } }, "Restore");
    const line = h("li", { class: "row" }, h("div", { class: "grow" },
      h("bdi", { title: item.id }, words.clipped(item.id)),
      h("p", { class: "quiet-text" }, `${words.size(item.size_bytes)}, deleted ${words.ago(item.deleted_at)}`)), back);
    return line;
  }
}
