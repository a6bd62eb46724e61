// Search: takes images, items and words, and shows the items that fit.

import { get, path } from "./api.js";
import { asker } from "./ask.js";
import { cropper } from "./crop.js";
import { chooser, h, heading, notice, say, debounced } from "./dom.js";
import * as facets from "./facets.js";
import { thumbnail } from "./images.js";
import { address, note } from "./place.js";
import { search, cropped, curl, current, fromLink, kindOf, linked, ofFile, ofItem, imageOf, MOST_PARTS, recalled, remembered } from "./query.js";
import { card, estimate, reading, waiting } from "./results.js";
import * as words from "./words.js";

const FIRST = 24;
const NEXT = 48;
const MOST = 10_000;
const EXAMPLES = 18;

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection, params }) {
  const search = new Search(root, collection, params);
  search.start();
  return () => search.close();
}

class Search {
  constructor(root, collection, params) {
    Object.assign(this, { root, collection });
    this.filter = parsed(params.filter);
    this.least = Number(params.min) || 0;
    this.group = params.group ?? "";
    this.rank = params.rank === "confidence" ? "confidence" : "";
    this.mode = ["words", "meaning"].includes(params.mode) ? params.mode : "";
    if (current.collection !== collection) {
      current.collection = collection;
      current.parts = current.parts.filter((part) => part.kind !== "item");
    }
    const named = fromLink(params);
    if (recalled(history.state)) current.parts = recalled(history.state);
    else if (named.length && JSON.stringify(linked(named)) !== JSON.stringify(linked(current.parts))) current.parts = named;
    this.shown = 0;
    this.leaving = new AbortController();
  }

  start() {
    this.preview = h("div", { class: "preview" });
    this.controls = h("div", { class: "controls" });
    this.fields = h("div", { class: "fields" });
    this.grid = h("ul", { class: "grid" });
    this.summary = h("p", { class: "summary", role: "status" });
    this.estimate = h("p", { class: "estimate quiet-text" });
    this.reading = h("div", { class: "reading", role: "status" });
    this.ask = asker(this.collection, (parts) => this.change(parts));
    this.more = h("button", { class: "more-results", hidden: true, onclick: () => this.load() }, "Show more");
    this.start_ = h("section", { class: "begin" });
    this.aside = h("aside", { class: "side", "aria-label": "Query and filters" }, this.preview, this.controls, this.fields);
    this.root.append(heading("Search", { class: "unseen" }), ...this.ask.elements, this.start_,
      h("div", { class: "found" }, this.aside, h("section", { class: "results", "aria-label": "Results" },
        h("div", { class: "bar" }, this.summary, this.tools()), this.reading, this.estimate, this.grid, this.more)));
    const options = { signal: this.leaving.signal };
    for (const name of ["dragenter", "dragover"]) window.addEventListener(name, (event) => this.over(event), options);
    for (const name of ["dragleave", "drop"]) window.addEventListener(name, (event) => this.out(event), options);
    window.addEventListener("paste", (event) => this.pasted(event), options);
    window.addEventListener("popstate", (event) => this.stepped(event), options);
    this.watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && this.load(), { rootMargin: "600px" });
    this.watcher.observe(this.more);
    this.show();
  }

  show() {
    if (current.parts.length) this.run();
    else this.invite();
  }

  note() {
    note("search", this.state(), remembered(current.parts));
    this.noted = location.hash;
  }

  /** A step in the history between queries with the same address: by images, or none. */
  stepped({ state }) {
    if (location.hash !== this.noted || !recalled(state)) return;
    current.parts = recalled(state);
    this.show();
  }

  /** Searches for other parts, as a new entry of the history. */
  change(parts) {
    if (parts !== current.parts) {
      current.parts = parts;
      history.pushState(null, "", this.address());
    }
    this.show();
  }

  close() {
    this.leaving.abort();
    this.asking?.abort();
    this.watcher.disconnect();
    document.body.classList.remove("dropping");
  }

  // Choosing a query image

  over(event) {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  }

  out(event) {
    if (event.type === "dragleave" && event.relatedTarget) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.type === "drop" && event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
  }

  pasted(event) {
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    this.take(file);
  }

  async take(file) {
    performance.mark("query-begin");
    notice("");
    let image;
    try {
      image = await ofFile(file);
    } catch (error) {
      return notice(error.message, { kind: "error" });
    }
    // Words stay, unless they cannot be compared with images here.
    const others = current.parts.filter((part) => part !== current.query && !(this.wordsOnly && part.kind === "words"));
    this.change([{ ...image, weight: current.query?.weight ?? 1 }, ...others]);
  }

  choosers() {
    return [
      chooser("Choose an image", { accept: "image/*", "data-focus": "choose" }, ([file]) => this.take(file), "button primary"),
      chooser("Take a photo", { accept: "image/*", capture: "environment" }, ([file]) => this.take(file)),
    ];
  }

  async invite() {
    this.root.classList.add("empty");
    this.asking?.abort();
    this.grid.replaceChildren();
    this.ask.show(current.parts);
    this.note();
    const examples = h("ul", { class: "examples" });
    this.start_.replaceChildren(
      h("div", { class: "drop" },
        h("p", { class: "big" }, "Drop an image"),
        h("p", { class: "quiet-text" }, "anywhere on this page, or paste one, to find similar images."),
        h("div", { class: "row" }, this.choosers())),
      h("h2", {}, "Or start with one of these"), examples);
    try {
      const found = await get(path(this.collection, "map"), { query: { limit: EXAMPLES }, signal: this.leaving.signal });
      examples.append(...found.ids.map((id) => h("li", {}, h("button", {
        class: "shot", "aria-label": `Similar to ${words.clipped(id)}`, onclick: () => this.moreLike(id),
      }, thumbnail(this.collection, id, { side: 160 })))));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.start_.lastChild.previousSibling.remove();
      examples.replaceWith(h("p", { class: "error", role: "alert" }, error.message,
        error.status === 503 && h("a", { class: "button", href: address("upload", { collection: this.collection }) }, "Upload images")));
    }
  }

  // Searching

  moreLike(id) {
    performance.mark("query-begin");
    window.scrollTo({ top: 0 });
    this.change([ofItem(id)]);
  }

  add(id) {
    if (current.parts.length >= MOST_PARTS) return notice(`A query has ${MOST_PARTS} parts at most. Remove one first.`, { kind: "error" });
    window.scrollTo({ top: 0 });
    this.change([...current.parts.filter((part) => part.id !== id), ofItem(id)]);
  }

  address() {
    return address("search", this.state());
  }

  state() {
    const filter = Object.keys(this.filter).length ? JSON.stringify(this.filter) : "";
    return { collection: this.collection, ...linked(current.parts), filter, min: this.least || "", group: this.group, rank: this.rank, mode: this.mode };
  }

  get kind() {
    return kindOf(current.parts);
  }

  options() {
    return {
      limit: FIRST,
      ...(Object.keys(this.filter).length ? { filter: this.filter } : {}),
      ...(this.least && !this.unjudged ? { min_confidence: this.least } : {}),
      ...(this.group ? { group_by: this.group } : {}),
      ...(this.rank && !this.unjudged ? { rank_by: this.rank } : {}),
      ...(this.mode && this.kind === "words" ? { mode: this.mode } : {}),
    };
  }

  async run() {
    this.root.classList.remove("empty");
    this.start_.replaceChildren();
    this.note();
    this.asking?.abort();
    this.asking = new AbortController();
    this.shown = 0;
    this.ended = false;
    this.busy = false;
    this.unjudged = this.kind === "mix";
    this.ask.show(current.parts);
    this.showQuery();
    this.grid.setAttribute("aria-busy", "true");
    if (!this.grid.children.length) this.grid.replaceChildren(...waiting(12));
    this.more.hidden = true;
    await this.load();
    this.refine();
  }

  /** Sends the search; without what needs a confidence if words have none here. */
  async send(options, signal) {
    const sent = () => search(this.collection, current.parts, { ...this.options(), ...options }, signal);
    try {
      return await sent();
    } catch (error) {
      if (error.status !== 400 || this.kind !== "words" || this.unjudged || !(this.least || this.rank)) throw error;
      this.unjudged = true;
      return sent();
    }
  }

  async load() {
    if (this.busy || this.ended || !current.parts.length) return;
    this.busy = true;
    const { signal } = this.asking;
    const limit = this.shown ? Math.min(NEXT, MOST - this.shown) : FIRST;
    try {
      const answer = await this.send({ limit, offset: this.shown }, signal);
      if (signal.aborted) return;
      const cards = answer.results.map((match) => card(this.collection, match, (id) => this.moreLike(id), (id) => this.add(id)));
      if (this.shown) this.grid.append(...cards);
      else {
        this.grid.replaceChildren(...cards);
        current.results = answer.results;
        performance.mark("query-end");
      }
      this.shown += cards.length;
      this.ended = cards.length < limit || this.shown >= MOST;
      this.reason = answer.confidence_reason;
      if (answer.text) this.wordsOnly = Boolean(answer.text.note);
      this.reading.replaceChildren(...(answer.text ? reading(answer.text) : []));
      this.estimate.replaceChildren(...estimate(answer.category_estimate, answer.text ? "query" : "image"));
      this.showSummary(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!this.shown) {
        for (const part of [this.grid, this.reading, this.estimate]) part.replaceChildren();
      }
      this.ended = true;
      this.summary.replaceChildren(h("span", { class: "error", role: "alert" }, error.message),
        h("button", { onclick: () => this.run() }, "Try again"));
    } finally {
      if (!signal.aborted) {
        this.busy = false;
        this.grid.removeAttribute("aria-busy");
        this.more.hidden = this.ended;
      }
    }
  }

  showSummary(answer) {
    this.took = answer.took_ms;
    this.count();
    if (!this.shown) this.grid.replaceChildren(h("li", { class: "none" }, this.kind === "words"
      ? "No matches. Use other words or clear filters." : "No matches. Lower the minimum confidence or clear filters."));
    if (this.shown <= FIRST) say(`${words.many(this.shown, "result")}${this.ended ? "" : ", more available"}`);
  }

  count() {
    // Every item is more or less similar to an image, but how many fit words is known at the end only.
    const byWords = this.kind === "words";
    const of = this.matching === undefined || byWords ? "" : ` of ${words.count(this.matching)}`;
    const all = this.ended ? words.many(this.shown, "result") : `${byWords ? "First " : ""}${words.count(this.shown)}${of} results`;
    this.summary.replaceChildren(all, h("span", { class: "took" }, ` in ${Math.max(1, Math.round(this.took ?? 0))} ms`));
  }

  // Sidebar

  showQuery() {
    const query = current.query;
    const image = (text) => chooser(text, { accept: "image/*", "data-focus": "choose" }, ([file]) => this.take(file));
    if (!query) return this.preview.replaceChildren(h("div", { class: "row" }, image("Add an image")));
    const label = query.kind === "item" ? "Similar to item" : "Similar to";
    const line = h("p", { class: "said" }, label, " ", h("bdi", { title: query.name }, words.clipped(query.name, 60)));
    const buttons = h("div", { class: "row" },
      query.kind === "item" && !query.canvas && h("button", { onclick: () => this.beginCrop() }, "Crop"),
      query.box && h("button", { onclick: () => this.cropping.whole() }, "Whole image"),
      image("Change image"));
    if (query.canvas && this.preview.contains(query.canvas)) {
      // Keep the canvas: the user may be drawing on it.
      this.preview.firstChild.replaceWith(line);
      this.preview.lastChild.replaceWith(buttons);
      return;
    }
    this.cropping = query.canvas && cropper(query.canvas, query.box, debounced((box) => this.cropTo(box), 250));
    const shown = this.cropping?.area ?? (query.kind === "item" ? thumbnail(this.collection, query.id, { side: 320, alt: "" }) : h("p", {}, "No preview"));
    this.preview.replaceChildren(line, h("div", { class: "stage" }, shown), buttons);
  }

  async beginCrop() {
    if (!(await imageOf(current.query, this.collection))) return notice("This image cannot be displayed.", { kind: "error" });
    this.showQuery();
    this.preview.querySelector(".crop-frame").focus();
  }

  async cropTo(box) {
    const before = current.query;
    const after = await cropped(before, box);
    current.parts = current.parts.map((part) => (part === before ? after : part));
    this.run();
  }

  tools() {
    const copy = async (text, done, button) => {
      try {
        await navigator.clipboard.writeText(text);
        notice(done, { seconds: 4 });
      } catch {
        notice(text);
      }
      button.focus();
    };
    const link = h("button", { class: "quiet", onclick: () => copy(new URL(this.address(), location.href).href, current.parts.every((part) => !part.blob)
      ? "Link copied." : "Link copied. It includes your filters but not your image.", link) }, "Copy link");
    const line = h("button", { class: "quiet", onclick: () => copy(curl(this.collection, current.parts, this.options()), "Command copied.", line) }, "Copy as curl");
    return h("div", { class: "row tools" }, link, line);
  }

  async refine() {
    const { signal } = this.asking;
    this.knobs();
    try {
      const filter = Object.keys(this.filter).length ? JSON.stringify(this.filter) : null;
      const answer = await get(path(this.collection, "facets"), { query: { filter }, signal });
      this.matching = answer.items;
      const { dataset: { focus: focused } = {}, value: typed } = document.activeElement ?? {};
      const open = new Map([...this.fields.querySelectorAll(".facet")].map((each) => [each.dataset.field, each.open]));
      this.fields.replaceChildren(...facets.panel(answer.facets, this.filter, (field, update) => this.narrow(field, update)));
      for (const each of this.fields.querySelectorAll(".facet")) each.open = open.get(each.dataset.field) ?? each.open;
      const again = focused && [...this.root.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focused);
      if (again) {
        again.focus();
        if (again.type === "number") again.value = typed;
      }
      this.groupLine.hidden = !this.group && !answer.facets.some((facet) => facet.field === "product_id");
      const worded = answer.facets.some((facet) => facet.kind === "text" && facet.items) || filter;
      const none = this.kind === "words" && !worded && this.grid.querySelector(".none");
      if (none) none.replaceChildren(...wordless(this.collection));
      if (this.took !== undefined && !this.summary.querySelector(".error")) this.count();
    } catch (error) {
      if (error.name !== "AbortError" && !this.fields.children.length) this.fields.append(h("p", { class: "error" }, error.message));
    }
  }

  narrow(field, update) {
    const condition = update(this.filter[field]);
    this.filter = { ...this.filter, [field]: condition };
    if (condition === undefined) delete this.filter[field];
    this.run();
  }

  knobs() {
    if (!this.controls.children.length) this.makeKnobs();
    const { reason, unjudged } = this;
    const [rank, least] = ["#rank", "#least"].map((name) => this.controls.querySelector(name));
    least.disabled = Boolean(reason) && (!this.least || unjudged);
    rank.disabled = Boolean(reason) && (!this.rank || unjudged);
    this.why.textContent = least.disabled ? `No confidence: ${reason}.` : "";
    this.modeLine.hidden = this.kind !== "words";
  }

  makeKnobs() {
    const text = h("output", {}, words.percent(this.least));
    const slider = h("input", {
      type: "range", min: "0", max: "0.99", step: "0.01", value: this.least, id: "least",
      oninput: () => {
        text.textContent = words.percent(Number(slider.value));
        apply();
      },
    });
    const apply = debounced(() => {
      this.least = Number(slider.value);
      this.run();
    });
    const picker = (id, field, choices) => {
      const select = h("select", { id, onchange: () => {
        this[field] = select.value;
        this.run();
      } }, choices.map(([value, text]) => h("option", { value, selected: value === this[field] }, text)));
      return [h("label", { class: "least", for: id }, id === "rank" ? "Rank by " : "Compare words with "), select];
    };
    this.why = h("p", { class: "quiet-text" });
    this.modeLine = h("div", {}, picker("mode", "mode", [["", "words and images"], ["words", "words of the items"], ["meaning", "images"]]));
    this.groupBox = h("input", { type: "checkbox", checked: this.group !== "", onchange: () => {
      this.group = this.groupBox.checked ? "product_id" : "";
      this.run();
    } });
    this.groupLine = h("label", { class: "choice", hidden: !this.group }, this.groupBox, "One result per product");
    this.controls.append(
      this.modeLine, ...picker("rank", "rank", [["", "similarity"], ["confidence", "probable category"]]),
      h("label", { class: "least", for: "least" }, "Minimum confidence ", text), slider,
      this.why, this.groupLine);
  }
}

/** What to do where no item has words. */
const wordless = (collection) => [
  "No item of this collection has words. Give the items titles: ",
  h("a", { href: address("upload", { collection }) }, "upload"), " a CSV or JSONL file with the columns “file” and “title” along with the images.",
];

function parsed(text) {
  try {
    const found = JSON.parse(text || "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}
