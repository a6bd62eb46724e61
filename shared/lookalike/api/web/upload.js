// Upload: sends files or folders, shows progress for each, and lists rejected files with reasons.

import { get, path, post, put } from "./api.js";
import { chooser, h, heading, notice, say } from "./dom.js";
import { isTable, readTable } from "./table.js";
import * as words from "./words.js";

const BATCH = 40;
const AT_ONCE = 4;
const ROWS = 200;
const TOGETHER = 8;
const WATCH_MS = 1_000;
const TYPES = {
  jpg: "jpeg", jpeg: "jpeg", png: "png", webp: "webp", gif: "gif", bmp: "bmp", tif: "tiff", tiff: "tiff", avif: "avif",
};

/** Shows the view. Returns its cleanup function. */
export function show(root, { collection }) {
  const upload = new Upload(root, collection);
  upload.start();
  return () => upload.close();
}

class Upload {
  constructor(root, collection) {
    Object.assign(this, { root, collection, jobs: [], rows: new Map(), metadata: new Map(), running: 0 });
    this.leaving = new AbortController();
  }

  start() {
    this.category = h("input", { type: "text", id: "category", placeholder: "shoes", autocomplete: "off" });
    this.summary = h("p", { role: "status" });
    this.bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "All files" });
    this.retry = h("button", { hidden: true, onclick: () => this.again(this.jobs.filter((job) => job.state === "failed")) }, "Retry failed files");
    this.body = h("tbody", {});
    this.table = h("table", { class: "files", hidden: true }, h("caption", { class: "unseen" }, "Files"),
      h("thead", {}, h("tr", {}, ["File", "Progress", "Status"].map((name) => h("th", { scope: "col" }, name)))), this.body);
    this.rejected = h("section", { class: "panel stack", "aria-label": "Rejected files" });
    this.root.append(h("div", { class: "narrow" }, heading(`Upload to ${this.collection}`),
      h("div", { class: "drop" }, h("p", { class: "big" }, "Drop images or folders"),
        h("p", { class: "quiet-text" }, "Folder names become categories. Add a CSV or JSONL file with a “file” column to attach metadata."),
        h("div", { class: "row" },
          chooser("Choose files", { multiple: true, accept: "image/*,.csv,.tsv,.jsonl,.ndjson,.parquet", "data-focus": "choose" }, (files) => this.take(files.map((file) => [file.name, file])), "button primary"),
          chooser("Choose a folder", { webkitdirectory: true }, (files) => this.take(files.map((file) => [file.webkitRelativePath, file])))),
        h("label", { class: "row", for: "category" }, "Category for files without a folder", this.category)),
      h("div", { class: "stack" }, this.summary, this.bar, this.retry, this.table), this.rejected));
    const options = { signal: this.leaving.signal };
    window.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    }, options);
    window.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"), options);
    window.addEventListener("drop", (event) => this.dropped(event), options);
    this.rejections();
  }

  close() {
    this.leaving.abort();
    clearTimeout(this.watch);
    document.body.classList.remove("dropping");
  }

  // Choosing files

  async dropped(event) {
    event.preventDefault();
    document.body.classList.remove("dropping");
    // Read the entries now: the browser clears them after the first await.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.some((entry) => entry.isDirectory)) this.take((await Promise.all(entries.map(walked))).flat());
    else this.take([...event.dataTransfer.files].map((file) => [file.name, file]));
  }

  async take(files) {
    const seen = files.filter(([name]) => !name.split("/").some((part) => part.startsWith(".")));
    const tables = seen.filter(([name]) => isTable(name));
    for (const [, file] of tables) {
      try {
        for (const [name, fields] of await readTable(file)) this.metadata.set(name, fields);
      } catch (error) {
        return notice(error.message, { kind: "error" });
      }
    }
    const images = seen.filter(([name]) => !isTable(name));
    const named = withoutCommonFolder(images, this.category.value.trim());
    const jobs = named.map(([name, file]) => ({ name, file, done: 0, state: "waiting", metadata: this.metadataOf(name, file.name) }));
    if (tables.length && jobs.length && !jobs.some((job) => job.metadata)) notice("The metadata does not match these images. Its “file” column must contain their names.", { kind: "error" });
    if (!jobs.length) return notice(tables.length ? "Metadata loaded. Now choose the images that it describes." : "No images among these files.");
    this.jobs.push(...jobs);
    this.again(jobs);
  }

  metadataOf(name, file) {
    const parts = name.split("/");
    for (let from = 0; from < parts.length; from += 1) {
      const found = this.metadata.get(parts.slice(from).join("/"));
      if (found) return found;
    }
    return this.metadata.get(file) ?? [...this.metadata].find(([about]) => about.endsWith(`/${name}`))?.[1];
  }

  // Sending

  async again(jobs) {
    for (const job of jobs) Object.assign(job, { state: "waiting", done: 0, problem: "" });
    this.queue = [...(this.queue ?? []), ...jobs];
    this.show();
    while (this.running < AT_ONCE && this.queue.length) {
      this.running += 1;
      this.work().finally(() => {
        this.running -= 1;
        if (!this.running) this.finished();
      });
    }
  }

  async work() {
    while (this.queue.length && !this.leaving.signal.aborted) {
      const batch = this.queue.splice(0, Math.max(1, Math.min(BATCH, Math.ceil(this.queue.length / AT_ONCE))));
      await this.send(batch);
    }
  }

  async send(batch) {
    const { signal } = this.leaving;
    let offers;
    try {
      const json = batch.map((job) => ({ name: job.name, content_type: type(job.file), ...(job.metadata ? { metadata: job.metadata } : {}) }));
      offers = (await post(path(this.collection, "uploads"), { json, signal })).uploads;
    } catch (error) {
      if (signal.aborted) return;
      // One bad name fails its whole batch: send each file alone so that the others succeed.
      if (batch.length > 1 && error.status >= 400 && error.status < 500 && error.status !== 401)
        for (const job of batch) await this.send([job]);
      else for (const job of batch) this.failed(job, error);
      return;
    }
    for (const [place, job] of batch.entries()) {
      job.state = "sending";
      try {
        await put(offers[place], job.file, { signal, progress: (part) => {
          job.done = part;
          this.line(job);
        } });
        Object.assign(job, { done: 1, state: "sent", sent: Date.now() });
      } catch (error) {
        if (signal.aborted) return;
        this.failed(job, error);
      }
      this.line(job);
      this.progress();
    }
  }

  failed(job, error) {
    Object.assign(job, { state: "failed", problem: error.message });
    this.line(job);
    this.progress();
  }

  finished() {
    this.show();
    say(this.summary.textContent);
    if (this.jobs.some((job) => job.state === "sent")) this.follow(0);
  }

  /** Polls until each file that arrived is searchable or rejected. */
  async follow(turn) {
    const sent = this.jobs.filter((job) => job.state === "sent");
    const refused = await this.rejections();
    const since = (job, at) => Date.parse(at) >= Math.floor(job.sent / 1000) * 1000 - 5000;
    for (const job of sent) {
      const why = refused?.find((each) => each.id === job.name && since(job, each.at));
      if (why) Object.assign(job, { state: "rejected", problem: why.message });
    }
    await this.checkSearchable(sent.filter((job) => job.state === "sent"));
    this.show();
    if (this.jobs.some((job) => job.state === "sent") && !this.leaving.signal.aborted && turn < 600)
      this.watch = setTimeout(() => this.follow(turn + 1), WATCH_MS);
  }

  /** Marks files as searchable, a few per request. Uses facet counts because a missing item would be a 404. */
  async checkSearchable(jobs) {
    const { signal } = this.leaving;
    try {
      if (!(await get(path(this.collection, "standing"), { signal })).items) return;
      for (let at = 0; at < jobs.length; at += TOGETHER) {
        const some = jobs.slice(at, at + TOGETHER);
        const filter = JSON.stringify({ id: { in: some.map((job) => job.name) } });
        if ((await get(path(this.collection, "facets"), { query: { filter }, signal })).items < some.length) return;
        for (const job of some) job.state = "found";
      }
    } catch {
      // The next poll tries again.
    }
  }

  // Showing

  show() {
    const order = { failed: 0, rejected: 1, sending: 2, waiting: 3, sent: 4, found: 5 };
    const shown = [...this.jobs].sort((a, b) => order[a.state] - order[b.state]).slice(0, ROWS);
    for (const job of shown) this.line(job);
    this.body.replaceChildren(...shown.map((job) => this.rows.get(job)));
    this.table.hidden = !this.jobs.length;
    this.progress();
  }

  progress() {
    const number = (state) => this.jobs.filter((job) => job.state === state).length;
    const parts = [
      [number("found"), "searchable"], [number("sent"), "uploaded"], [number("sending") + number("waiting"), "remaining"],
      [number("failed"), "failed"], [number("rejected"), "rejected"],
    ].filter(([amount]) => amount);
    this.summary.textContent = parts.map(([amount, text]) => `${words.count(amount)} ${text}`).join(", ");
    this.bar.hidden = !this.jobs.length;
    this.bar.value = this.jobs.reduce((sum, job) => sum + (job.state === "failed" ? 0 : job.done), 0) / Math.max(1, this.jobs.length);
    this.retry.hidden = !number("failed") || this.running > 0;
  }

  line(job) {
    if (!this.rows.has(job)) {
      const bar = h("progress", { max: 1, value: 0, "aria-label": `Progress of ${words.clipped(job.name, 60)}` });
      this.rows.set(job, h("tr", {}, h("td", {}, h("bdi", {}, words.clipped(job.name, 300)), h("span", { class: "quiet-text" }, ` ${words.size(job.file.size)}`)), h("td", {}, bar), h("td", {})));
    }
    const [, progress, state] = this.rows.get(job).children;
    progress.firstChild.value = job.done;
    const text = { waiting: "waiting", sending: words.percent(job.done), sent: "uploaded", found: "searchable", failed: "failed", rejected: "rejected" }[job.state];
    if (state.dataset.text === text + job.problem) return;
    state.dataset.text = text + job.problem;
    state.replaceChildren(h("span", { class: job.problem ? "badge bad" : job.state === "found" ? "badge" : "" }, text),
      job.problem ? h("span", { class: "error" }, job.problem) : "",
      job.state === "failed" ? h("button", { "aria-label": `Retry ${words.clipped(job.name, 60)}`, onclick: () => this.again([job]) }, "Retry") : "");
  }

  async rejections() {
    try {
      const { rejections } = await get(path(this.collection, "rejections"), { query: { limit: 1000 }, signal: this.leaving.signal });
      this.rejected.hidden = !rejections.length;
      this.rejected.replaceChildren(h("h2", {}, `${words.many(rejections.length, "rejected file")} (cannot be indexed)`),
        h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of rejected files" }, h("table", {},
          h("thead", {}, h("tr", {}, ["File", "Reason", "When"].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, rejections.map((each) => h("tr", {}, h("td", {}, h("bdi", {}, each.id)), h("td", { dir: "auto" }, each.message), h("td", {}, words.ago(each.at))))))));
      return rejections;
    } catch (error) {
      if (error.name !== "AbortError") this.rejected.replaceChildren(h("p", { class: "error" }, error.message));
      return null;
    }
  }
}

const type = (file) => `image/${TYPES[file.name.split(".").at(-1).toLowerCase()] ?? "jpeg"}`;

/** All files below a dropped entry, with their paths. */
async function walked(entry) {
  if (entry.isFile) return [[entry.fullPath.slice(1), await new Promise((resolve, reject) => entry.file(resolve, reject))]];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A reader returns at most a hundred entries per call.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    for (const each of some) found.push(...(await walked(each)));
  }
  return found;
}

/** Removes the one folder that holds all files, if there are category folders in it. */
function withoutCommonFolder(files, category) {
  const parts = files.map(([name]) => name.split("/"));
  const common = parts.length && parts.every((each) => each.length > 2 || (each.length === 2 && parts.some((other) => other.length > 2))) && new Set(parts.map((each) => each[0])).size === 1;
  return files.map(([name, file]) => {
    const id = common ? name.slice(name.indexOf("/") + 1) : name;
    return [id.includes("/") || !category ? id : `${category}/${id}`, file];
  });
}
