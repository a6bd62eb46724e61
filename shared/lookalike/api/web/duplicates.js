// Duplicates: groups of duplicate images, to keep one of each.

import { get, path, send } from "./api.js";
import { confirmed, h, heading, notice, say } from "./dom.js";
import { thumbnail } from "./images.js";
import { moved } from "./trash.js";
import * as words from "./words.js";

const PAGE = 20;

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const leaving = new AbortController();
  const groups = h("div", { class: "stack" });
  const summary = h("p", { role: "status", class: "quiet-text" }, "Comparing all images…");
  const more = h("button", { hidden: true, onclick: () => load() }, "Show more groups");
  const text = h("output", {}, "0.95");
  const slider = h("input", { type: "range", min: "0.8", max: "1", step: "0.01", value: "0.95", id: "alike", onchange: again, oninput: () => (text.textContent = Number(slider.value).toFixed(2)) });
  let shown = 0;
  root.append(h("div", { class: "narrow" }, heading("Duplicates"),
    h("div", { class: "panel" }, h("label", { class: "least", for: "alike" }, "Minimum similarity ", text), slider), summary, groups, more));
  load();
  return () => leaving.abort();

  function again() {
    shown = 0;
    groups.replaceChildren();
    load();
  }
  async function load() {
    more.hidden = true;
    try {
      const answer = await get(path(collection, "duplicates"), {
        query: { offset: shown, limit: PAGE, min_score: slider.value }, signal: leaving.signal,
      });
      shown += answer.groups.length;
      groups.append(...answer.groups.map((each) => group(collection, each)));
      summary.textContent = answer.total ? `${words.many(answer.total, "group")} of duplicates` : "No duplicates found.";
      more.hidden = shown >= answer.total;
    } catch (error) {
      if (error.name === "AbortError") return;
      summary.replaceChildren(h("span", { class: "error", role: "alert" }, error.message), " ", h("button", { onclick: again }, "Try again"));
    }
  }
}

function group(collection, { keep, members }) {
  const box = h("section", { class: "panel stack", "aria-label": `Group of ${members.length}, keep ${words.clipped(keep, 60)}` });
  const rest = new Map();
  const all = h("button", { onclick: () => removeAll() }, "Delete all but the best");
  const tiles = members.map((member) => {
    const kept = member.id === keep;
    const reasons = kept ? "best quality" : `${member.reasons.join(" and ")}, similarity ${words.score(member.score)}`;
    const tile = h("div", { class: `member ${kept ? "kept" : ""}` },
      h("div", { class: "frame" }, thumbnail(collection, member.id, { alt: words.clipped(member.id) })),
      h("p", { class: "name", title: member.id }, h("bdi", {}, member.id)),
      h("p", { class: "facts" }, `${member.width} × ${member.height}`, h("span", {}, reasons)),
      kept ? h("p", {}, h("span", { class: "badge" }, "Keep"))
        : h("button", { "aria-label": `Delete ${words.clipped(member.id, 60)}`, onclick: () => removeOne(member.id) }, "Delete"));
    if (!kept) rest.set(member.id, tile);
    return tile;
  });
  box.append(h("div", { class: "row" }, h("h2", { class: "grow" }, words.many(members.length, "image")), all), h("div", { class: "group-members" }, tiles));
  return box;

  async function removeOne(id) {
    if (await confirmed("Delete this image?", `${words.clipped(id, 200)} moves to the trash, where you can restore it for 30 days.`, "Delete image")) await remove([id]);
  }
  async function removeAll() {
    if (await confirmed("Delete all but the best?", `${words.many(rest.size, "image")} in this group will move to the trash, where you can restore them for 30 days.`, "Delete images")) await remove([...rest.keys()]);
  }
  async function remove(ids) {
    for (const id of ids) {
      try {
        await send("DELETE", path(collection, "items", id));
      } catch (error) {
        if (error.status !== 404) return notice(error.message, { kind: "error" });
      }
      rest.get(id).remove();
      rest.delete(id);
    }
    moved(collection, ids);
    if (!rest.size) box.remove();
  }
}
