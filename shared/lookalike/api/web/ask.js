// The search box, and the parts of the query with their weights.

import { h } from "./dom.js";
import { thumbnail } from "./images.js";
import { MOST_PARTS, ofWords } from "./query.js";
import * as words from "./words.js";

const WEIGHTS = [[2, "more"], [1, "normal"], [0.5, "less"], [-1, "not"]];
const isWords = (part) => part.kind === "words";

/** The box and the list as `elements`. `show(parts)` updates them. They call `change(parts)` to search for other parts. */
export function asker(collection, change) {
  let parts = [];
  const box = h("input", {
    type: "text", id: "words", placeholder: "Describe what you look for", maxlength: "1000", enterkeyhint: "search",
    autocomplete: "off", dir: "auto", "data-focus": "words", oninput: update,
  });
  const clear = h("button", { type: "button", class: "quiet icon", "aria-label": "Clear words", onclick: () => {
    box.value = "";
    box.focus();
    submit();
    update();
  } }, "✕");
  const add = h("button", { type: "button", title: "Search for these words too", onclick: () => {
    change([...parts, ofWords(box.value.trim())]);
    box.focus();
  } }, "Add words");
  const find = h("button", { class: "primary" }, "Search");
  const form = h("form", { class: "ask", role: "search", onsubmit: (event) => {
    event.preventDefault();
    submit();
  } }, h("label", { class: "unseen", for: "words" }, "Search by words"), h("div", { class: "box" }, box, clear), find, add);
  const list = h("ul", { class: "chips", "aria-label": "Parts of the query" });
  update();
  return { elements: [form, list], show };

  // The box holds the words of the query as long as they are one part.
  function own() {
    const said = parts.filter(isWords);
    return said.length === 1 ? said[0] : null;
  }
  function submit() {
    const text = box.value.trim();
    const before = own();
    if (text === (before?.name ?? "")) return before && change(parts);
    if (!before) return parts.length < MOST_PARTS && change([...parts, ofWords(text)]);
    change(text ? replaced(before, { name: text }) : parts.filter((part) => part !== before));
  }
  function update() {
    const text = box.value.trim();
    clear.hidden = !box.value;
    add.hidden = !text || text === (own()?.name ?? text) || parts.length >= MOST_PARTS;
  }
  function replaced(part, by) {
    return parts.map((each) => (each === part ? { ...each, ...by } : each));
  }
  function show(next) {
    if (next !== parts) {
      parts = next;
      box.value = own()?.name ?? "";
      const focused = list.contains(document.activeElement) && document.activeElement.dataset;
      list.replaceChildren(...(parts.length > 1 || parts.some((part) => part.weight !== 1) ? parts.map(chip) : []));
      if (focused) ([...list.querySelectorAll("select")].find((each) => each.dataset.focus === focused.focus) ?? find).focus();
    }
    update();
  }
  function chip(part, place) {
    const name = words.clipped(isWords(part) ? part.name : part.name.split("/").at(-1), 60);
    const choices = WEIGHTS.some(([weight]) => weight === part.weight) ? WEIGHTS : [...WEIGHTS, [part.weight, `× ${part.weight}`]];
    const weight = h("select", {
      "aria-label": `Weight of ${name}`, "data-focus": `weight ${place}`,
      onchange: () => change(replaced(part, { weight: Number(weight.value) })),
    }, choices.map(([value, text]) => h("option", { value, selected: value === part.weight }, text)));
    return h("li", { class: part.weight < 0 ? "chip not" : "chip" },
      part.blob ? shownBlob(part.blob) : !isWords(part) && thumbnail(collection, part.id, { side: 160 }),
      h("bdi", { title: part.name }, name), weight,
      h("button", { class: "quiet icon", "aria-label": `Remove ${name}`, onclick: () => change(parts.filter((each) => each !== part)) }, "✕"));
  }
}

function shownBlob(blob) {
  const local = URL.createObjectURL(blob);
  const image = h("img", { alt: "", src: local });
  for (const name of ["load", "error"]) image.addEventListener(name, () => URL.revokeObjectURL(local));
  return image;
}
