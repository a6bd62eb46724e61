// Search: takes an image or an item and shows similar items.

import { get, path } from "./api.js";
import { cropper } from "./crop.js";
import { chooser, h, heading, notice, say, debounced } from "./dom.js";
import * as facets from "./facets.js";
import { thumbnail } from "./images.js";
import { address, note } from "./place.js";
import { search, cropped, curl, current, ofFile, ofItem, imageOf } from "./query.js";
import { card, estimate, waiting } from "./results.js";
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
    if (params.id && current.query?.id !== params.id) current.query = ofItem(params.id);
    if (current.collection !== collection) {
      current.collection = collection;
      if (current.query?.kind === "item" && current.query.id !== params.id) current.query = null;
    }
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
    this.more = h("button", { class: "more-results", hidden: true, onclick: () => this.load() }, "Show more");
    this.start_ = h("section", { class: "begin" });
    this.aside = h("aside", { class: "side", "aria-label": "Query and filters" }, this.preview, this.controls, this.fields);
    this.root.append(heading("Search", { class: "unseen" }), this.start_,
      h("div", { class: "found" }, this.aside, h("section", { class: "results", "aria-label": "Results" },
        h("div", { class: "bar" }, this.summary, this.tools()), this.estimate, this.grid, this.more)));
    const options = { signal: this.leaving.signal };
    for (const name of ["dragenter", "dragover"]) window.addEventListener(name, (event) => this.over(event), options);
    for (const name of ["dragleave", "drop"]) window.addEventListener(name, (event) => this.out(event), options);
    window.addEventListener("paste", (event) => this.pasted(event), options);
    this.watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && this.load(), { rootMargin: "600px" });
    this.watcher.observe(this.more);
    if (current.query) this.run();
    else this.invite();
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
    try {
      current.query = await ofFile(file);
    } catch (error) {
      return notice(error.message, { kind: "error" });
    }
    this.run();
  }

  choosers() {
    return [
      chooser("Choose an image", { accept: "image/*", "data-focus": "choose" }, ([file]) => this.take(file), "button primary"),
      chooser("Take a photo", { accept: "image/*", capture: "environment" }, ([file]) => this.take(file)),
    ];
  }

  async invite() {
    this.root.classList.add("empty");
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
    current.query = ofItem(id);
    window.scrollTo({ top: 0 });
    history.pushState(null, "", this.address());
    this.run();
  }

  address() {
    return address("search", this.state());
  }

  state() {
    const filter = Object.keys(this.filter).length ? JSON.stringify(this.filter) : "";
    const whole = current.query?.kind === "item" && !current.query.box;
    return { collection: this.collection, id: whole ? current.query.id : "", filter, min: this.least || "", group: this.group, rank: this.rank };
  }

  options() {
    return {
      limit: FIRST,
      ...(Object.keys(this.filter).length ? { filter: this.filter } : {}),
      ...(this.least ? { min_confidence: this.least } : {}),
      ...(this.group ? { group_by: this.group } : {}),
      ...(this.rank ? { rank_by: this.rank } : {}),
    };
  }

  async run() {
    this.root.classList.remove("empty");
    this.start_.replaceChildren();
    note("search", this.state());
    this.asking?.abort();
    this.asking = new AbortController();
    this.shown = 0;
    this.ended = false;
    this.busy = false;
    this.showQuery();
    this.grid.setAttribute("aria-busy", "true");
    if (!this.grid.children.length) this.grid.replaceChildren(...waiting(12));
    this.more.hidden = true;
    await this.load();
    this.refine();
  }

  async load() {
    if (this.busy || this.ended || !current.query) return;
    this.busy = true;
    const { signal } = this.asking;
    const limit = this.shown ? Math.min(NEXT, MOST - this.shown) : FIRST;
    try {
      const answer = await search(this.collection, current.query, { ...this.options(), limit, offset: this.shown }, signal);
      if (signal.aborted) return;
      const cards = answer.results.map((match) => card(this.collection, match, (id) => this.moreLike(id)));
      if (this.shown) this.grid.append(...cards);
      else {
        this.grid.replaceChildren(...cards);
        current.results = answer.results;
        performance.mark("query-end");
      }
      this.shown += cards.length;
      this.ended = cards.length < limit || this.shown >= MOST;
      this.reason = answer.confidence_reason;
      this.estimate.replaceChildren(...estimate(answer.category_estimate));
      this.showSummary(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!this.shown) this.grid.replaceChildren();
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
    if (!this.shown) this.grid.replaceChildren(h("li", { class: "none" }, "No matches. Lower the minimum confidence or clear filters."));
    if (this.shown <= FIRST) say(`${words.many(this.shown, "result")}${this.ended ? "" : ", more available"}`);
  }

  count() {
    const of = this.matching === undefined ? "" : ` of ${words.count(this.matching)}`;
    const all = this.ended ? words.many(this.shown, "result") : `${words.count(this.shown)}${of} results`;
    this.summary.replaceChildren(all, h("span", { class: "took" }, ` in ${Math.max(1, Math.round(this.took ?? 0))} ms`));
  }

  // Sidebar

  showQuery() {
    const query = current.query;
    const label = query.kind === "item" ? "Similar to item" : "Similar to";
    const line = h("p", { class: "said" }, label, " ", h("bdi", { title: query.name }, words.clipped(query.name, 60)));
    const buttons = h("div", { class: "row" },
      query.kind === "item" && !query.canvas && h("button", { onclick: () => this.beginCrop() }, "Crop"),
      query.box && h("button", { onclick: () => this.cropping.whole() }, "Whole image"),
      chooser("Change image", { accept: "image/*", "data-focus": "choose" }, ([file]) => this.take(file)));
    if (query.canvas && this.preview.contains(query.canvas)) {
      // Keep the canvas: the user may be drawing on it.
      this.preview.firstChild.replaceWith(line);
      this.preview.lastChild.replaceWith(buttons);
      return;
    }
    this.cropping = query.canvas && cropper(query.canvas, query.box, debounced((box) => this.cropTo(box), 250));
    const image = this.cropping?.area ?? (query.kind === "item" ? thumbnail(this.collection, query.id, { side: 320, alt: "" }) : h("p", {}, "No preview"));
    this.preview.replaceChildren(line, h("div", { class: "stage" }, image), buttons);
  }

  async beginCrop() {
    if (!(await imageOf(current.query, this.collection))) return notice("This image cannot be displayed.", { kind: "error" });
    this.showQuery();
    this.preview.querySelector(".crop-frame").focus();
  }

  async cropTo(box) {
    current.query = await cropped(current.query, box);
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
    const link = h("button", { class: "quiet", onclick: () => copy(new URL(this.address(), location.href).href, current.query?.kind === "item"
      ? "Link copied." : "Link copied. It includes your filters but not your image.", link) }, "Copy link");
    const line = h("button", { class: "quiet", onclick: () => copy(curl(this.collection, current.query, this.options()), "Command copied.", line) }, "Copy as curl");
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
    if (this.controls.children.length) return;
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
    const known = !this.reason || this.least > 0;
    slider.disabled = !known;
    const order = h("select", { id: "rank", disabled: !known && !this.rank, onchange: () => {
      this.rank = order.value;
      this.run();
    } }, [["", "similarity"], ["confidence", "probable category"]].map(([value, text]) =>
      h("option", { value, selected: value === this.rank }, text)));
    this.groupBox = h("input", { type: "checkbox", checked: this.group !== "", onchange: () => {
      this.group = this.groupBox.checked ? "product_id" : "";
      this.run();
    } });
    this.groupLine = h("label", { class: "choice", hidden: !this.group }, this.groupBox, "One result per product");
    this.controls.append(
      h("label", { class: "least", for: "rank" }, "Rank by "), order,
      h("label", { class: "least", for: "least" }, "Minimum confidence ", text), slider,
      known ? "" : h("p", { class: "quiet-text" }, `No confidence: ${this.reason}.`), this.groupLine);
  }
}

function parsed(text) {
  try {
    const found = JSON.parse(text || "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}
