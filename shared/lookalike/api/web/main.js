// The page around each view: navigation, collection, API key and theme.

import { events, get, noResponse, key } from "./api.js";
import { dialog, h, notice } from "./dom.js";
import { address, go, here, note } from "./place.js";
import { current } from "./query.js";

const VIEWS = { search: "Search", map: "Map", upload: "Upload", duplicates: "Duplicates", quality: "Quality", collections: "Collections", trash: "Trash" };
const UNLISTED = "trash"; // reached from a collection
const THEME = "lookalike-theme";
const COLLECTION = "lookalike-collection";
const main = document.getElementById("main");
const frame = { collections: [], damaged: [], leave: () => {}, shows: null, number: 0 };

setTheme(localStorage.getItem(THEME));
events.addEventListener("key", () => promptForKey("The server requires an API key."));
events.addEventListener("slow", () => notice("Still waiting for the server…"));
events.addEventListener("done", () => document.querySelector("#notice .info")?.textContent.startsWith("Still waiting") && notice(""));
events.addEventListener("collections", ({ detail }) => reloadCollections(detail));
window.addEventListener("hashchange", () => open());
document.addEventListener("keydown", shortcut);
open({ first: true });

/** Shows the view that the address names. */
async function open({ first = false } = {}) {
  const turn = (frame.number += 1);
  const { view: wanted, params } = here();
  const view = wanted in VIEWS ? wanted : "search";
  frame.leave();
  frame.leave = () => {};
  if (!frame.collections.length || first) {
    try {
      await loadCollections();
    } catch (error) {
      if (turn === frame.number) {
        header(view, null);
        failed(error);
      }
      return;
    }
  }
  if (turn !== frame.number) return;
  const collection = chosen(params);
  header(view, collection);
  if (!collection && view !== "collections") return go("collections", {});
  if (collection) localStorage.setItem(COLLECTION, collection);
  if (params.collection !== collection && collection) note(view, { ...params, collection });
  await enter(view, { collection, params, collections: frame.collections, damaged: frame.damaged }, turn, first);
}

async function enter(view, context, turn, first) {
  try {
    const module = await import(`./${view}.js`).catch(() => Promise.reject(noResponse()));
    if (turn !== frame.number) return;
    const root = h("div", { class: `view ${view}` });
    main.replaceChildren(root);
    document.title = `${VIEWS[view]}${context.collection ? ` · ${context.collection}` : ""} · lookalike`;
    frame.leave = module.show(root, context) ?? (() => {});
    if (!first && frame.shows !== view) {
      window.scrollTo(0, 0);
      root.querySelector("h1")?.focus({ preventScroll: true });
    }
    frame.shows = view;
  } catch (error) {
    failed(error);
  }
}

function chosen(params) {
  const names = frame.collections.map((each) => each.name);
  const wanted = [params.collection, localStorage.getItem(COLLECTION)].find((name) => names.includes(name));
  if (params.collection && !names.includes(params.collection))
    notice(`There is no collection called ${params.collection}.`, { kind: "error" });
  return wanted ?? names[0] ?? null;
}

async function loadCollections() {
  const { collections, damaged } = await get("collections");
  Object.assign(frame, { collections, damaged });
}

async function reloadCollections(to) {
  await loadCollections();
  if (to) location.hash = to;
  else open();
}

function failed(error) {
  main.replaceChildren(h("div", { class: "view" }, h("h1", { tabindex: "-1" }, "Something went wrong"),
    h("p", { class: "error", role: "alert" }, error.message),
    h("button", { class: "primary", onclick: () => open({ first: true }) }, "Try again")));
}

function header(view, collection) {
  const picker = h("select", { "aria-label": "Collection", onchange: () => go(view, { collection: picker.value }) },
    frame.collections.map(({ name }) => h("option", { value: name, selected: name === collection }, name)));
  document.getElementById("top").replaceChildren(
    h("a", { class: "brand", href: address("search", { collection }), onclick: (event) => {
      event.preventDefault();
      current.query = null;
      go("search", { collection });
    } }, "lookalike"),
    frame.collections.length > 0 && picker,
    h("nav", { "aria-label": "Views" }, Object.entries(VIEWS).filter(([name]) => name !== UNLISTED).map(([name, text]) =>
      h("a", { href: address(name, { collection }), "aria-current": name === view ? "page" : null }, text))),
    h("div", { class: "row" },
      h("button", { class: "quiet icon", "aria-label": "Toggle dark mode", title: "Toggle dark mode", onclick: toggleTheme }, "◐"),
      h("button", { class: "quiet", "aria-label": "API key", title: "API key", onclick: () => promptForKey("") }, "Key")));
}

let keyDialogOpen = false;
async function promptForKey(why) {
  if (keyDialogOpen) return;
  keyDialogOpen = true;
  const input = h("input", { type: "password", autocomplete: "off", id: "key", value: key.get(), spellcheck: "false" });
  const keep = h("input", { type: "checkbox", checked: Boolean(localStorage.getItem("lookalike-key")) });
  const answer = await dialog("API key", h("div", { class: "stack" }, why && h("p", {}, why),
    h("label", { for: "key" }, "Key"), input,
    h("label", { class: "choice" }, keep, "Remember on this device"),
    h("p", { class: "quiet-text" }, "Otherwise the key is kept until you close this tab. It is sent only to this server.")),
  [["use", "Use key", "primary"], ["forget", "Forget key", "quiet"], ["close", "Cancel", "quiet"]]);
  keyDialogOpen = false;
  if (answer === "use") key.set(input.value.trim(), { keep: keep.checked });
  if (answer === "forget") key.forget();
  if (answer === "use" || answer === "forget") open({ first: true });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem(THEME, next);
  setTheme(next);
  events.dispatchEvent(new Event("theme"));
}

function shortcut(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, dialog")) return;
  event.preventDefault();
  document.querySelector("#main [data-focus=choose], #main input, #main button")?.focus();
}
