// Duplicates: images that are the same picture, to keep one of each; variants and similar images, shown apart.

import { get, path, send } from "./api.js";
import { confirmed, h, heading, notice, say } from "./dom.js";
import { thumbnail } from "./images.js";
import { moved } from "./trash.js";
import * as words from "./words.js";

const PAGE = 20;
const SECONDS = 2; // of comparing images per call, so that the progress moves
const RELATIONS = [
  { name: "same", title: "The same picture", none: "No duplicates found.", about: "Structure, colours and details agree: the same picture, perhaps resized, recompressed, cropped or labelled." },
  { name: "variant", title: "Variants", none: "No variants found.", about: "The same thing in another colour or state, or mirrored. These are different pictures." },
  { name: "similar", title: "Similar", none: "No similar images found.", about: "Images that the encoder or the perceptual hash finds similar. Nothing shows that they are the same." },
];

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const leaving = new AbortController();
  const text = h("output", {}, "0.95");
  const slider = h("input", { type: "range", min: "0.8", max: "1", step: "0.01", value: "0.95", id: "alike", onchange: again, oninput: () => (text.textContent = Number(slider.value).toFixed(2)) });
  const lists = RELATIONS.map((relation) => list(collection, relation, slider, leaving.signal, again));
  root.append(h("div", { class: "narrow" }, heading("Duplicates"),
    h("div", { class: "panel" }, h("label", { class: "least", for: "alike" }, "Minimum similarity ", text), slider),
    lists.map((each) => each.element)));
  again();
  return () => leaving.abort();

  // One after another: the first compares the images, the others use its result.
  async function again() {
    for (const each of lists) each.clear();
    for (const each of lists) if (!(await each.load())) return;
  }
}

function list(collection, relation, slider, signal, again) {
  const groups = h("div", { class: "stack" });
  const summary = h("p", { role: "status", class: "quiet-text" });
  const more = h("button", { hidden: true, onclick: () => load() }, "Show more groups");
  const bar = h("progress", { hidden: true, "aria-label": "Compared images" });
  const about = h("p", { class: "quiet-text", hidden: true }, relation.about);
  const element = h("section", { class: "stack", "aria-label": relation.title }, h("h2", {}, relation.title), about, summary, bar, groups, more);
  let shown = 0;
  let run = 0;
  return { element, clear, load };

  function clear() {
    shown = 0;
    run += 1;
    groups.replaceChildren();
    about.hidden = more.hidden = bar.hidden = true;
    summary.textContent = relation.name === "same" ? "Comparing all images…" : "";
  }
  async function load() {
    more.hidden = true;
    try {
      const answer = await compared();
      if (!answer) return false;
      shown += answer.groups.length;
      groups.append(...answer.groups.map((each) => group(collection, each)));
      const what = relation.name === "same" ? "duplicates" : relation.title.toLowerCase();
      summary.textContent = answer.total ? `${words.many(answer.total, "group")} of ${what}` : relation.none;
      about.hidden = !answer.total;
      more.hidden = shown >= answer.total;
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      bar.hidden = true;
      summary.replaceChildren(h("span", { class: "error", role: "alert" }, error.message), " ", h("button", { onclick: again }, "Try again"));
      return false;
    }
  }
  // Each call compares images for a while; the groups are final when all pairs are compared.
  async function compared() {
    const own = run;
    for (;;) {
      const answer = await get(path(collection, "duplicates"), {
        query: { relation: relation.name, offset: shown, limit: PAGE, min_score: slider.value, seconds: SECONDS }, signal,
      });
      if (run !== own) return null; // another run has begun
      const { done, total } = answer.compared;
      bar.hidden = done >= total;
      if (done >= total) return answer;
      bar.max = total;
      bar.value = done;
      summary.textContent = `Comparing images: ${done.toLocaleString("en")} of ${words.many(total, "pair")}…`;
    }
  }
}

function group(collection, { relation, keep, kept_because, members }) {
  const same = relation === "same";
  const box = h("section", { class: "panel stack", "aria-label": `Group of ${members.length}, ${same ? "keep" : "with"} ${words.clipped(keep, 60)}` });
  const rest = new Map();
  const all = same ? h("button", { onclick: () => removeAll() }, "Delete all but the best") : null;
  const keepAll = same ? h("button", { onclick: () => decide("keep_all", ids()) }, "Keep all") : null;
  const apart = h("button", { onclick: () => decide("not_duplicates", ids()) }, same ? "Not duplicates" : "Do not show again");
  const tiles = members.map((member) => {
    const kept = member.id === keep;
    const tile = h("div", { class: `member ${kept && same ? "kept" : ""}` },
      h("div", { class: "frame" }, thumbnail(collection, member.id, { alt: words.clipped(member.id) })),
      h("p", { class: "name", title: member.id }, h("bdi", {}, member.id)),
      h("p", { class: "facts" }, `${member.width} × ${member.height}`, h("span", {}, reasons(member, kept))),
      same && kept ? h("p", {}, h("span", { class: "badge" }, "Keep")) : null,
      same && !kept ? h("div", { class: "row" },
        h("button", { "aria-label": `Delete ${words.clipped(member.id, 60)}`, onclick: () => removeOne(member.id) }, "Delete"),
        h("button", { "aria-label": `Not a duplicate: ${words.clipped(member.id, 60)}`, onclick: () => takeOut(member.id) }, "Not a duplicate")) : null);
    if (!kept) rest.set(member.id, tile);
    return tile;
  });
  box.append(h("div", { class: "row" }, h("h3", { class: "grow" }, words.many(members.length, "image")), keepAll, apart, all), h("div", { class: "group-members" }, tiles));
  return box;

  function ids() {
    return [keep, ...rest.keys()];
  }
  function reasons(member, kept) {
    if (kept) return same ? `kept: ${kept_because.join(", ") || "best quality"}` : "";
    return [...member.evidence, `similarity ${words.score(member.score)}`].join(", ");
  }
  async function takeOut(id) {
    if (!(await decide("not_duplicates", [id], ids().filter((other) => other !== id), false))) return;
    rest.get(id).remove();
    rest.delete(id);
    if (!rest.size) box.remove();
  }
  async function decide(decision, about, others = [], whole = true) {
    try {
      await send("POST", path(collection, "duplicates/decisions"), { json: { decision, ids: about, others } });
    } catch (error) {
      notice(error.message, { kind: "error" });
      return false;
    }
    say("Remembered.");
    notice("Remembered. These images are not offered as duplicates again.", { seconds: 4 });
    if (whole) box.remove();
    return true;
  }
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
