// Trainings: start one from the collection or a zip file, follow it, cancel it, or roll back the encoder.

import { get, headers, path, post, put, send, key } from "./api.js";
import { confirmed, h, notice, say } from "./dom.js";
import * as words from "./words.js";

const ACTIVE = ["waiting_for_upload", "queued", "running", "publishing"];
const WATCH_MS = 1_000;
const IDLE_MS = 10_000;

/** The section. Calls `changed` when the collection uses another encoder. */
export function trainings(collection, signal, changed) {
  const list = h("div", { class: "stack" });
  const status = h("p", { role: "status" });
  const sent = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Zip file upload" });
  const start = h("button", { class: "primary" }, "Start training");
  const source = choice("source", "Training data", [["collection", "This collection"], ["zip", "Zip file with one folder per category"]]);
  const zip = h("input", { type: "file", accept: ".zip,application/zip", id: "zip" });
  const zipLine = h("label", { for: "zip", hidden: true }, "Zip file", zip);
  source.select.addEventListener("change", () => (zipLine.hidden = source.select.value !== "zip"));
  const backbone = choice("backbone", "Backbone", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"].map((name) => [name, name]));
  const publish = choice("publish", "Publish", [["if_better", "If better"], ["always", "Always"], ["never", "Never"]]);
  const epochs = h("input", { type: "number", min: 1, max: 1000, id: "epochs", placeholder: "automatic" });
  let timer = 0;
  let known = null;
  signal.addEventListener("abort", () => clearTimeout(timer));

  const form = h("form", { class: "stack", onsubmit: submit },
    h("div", { class: "fieldset" }, source.label, zipLine, backbone.label, publish.label, h("label", { for: "epochs" }, "Epochs", epochs)),
    h("div", { class: "row" }, start, h("button", { type: "button", onclick: back }, "Roll back to previous encoder")), sent, status);
  watch();
  return h("section", { class: "panel stack", "aria-label": "Training" }, h("h2", {}, "Train an encoder on your categories"), form, list);

  async function submit(event) {
    event.preventDefault();
    const file = zip.files[0];
    if (source.select.value === "zip" && !file) return report("Choose a zip file first.", true);
    start.disabled = true;
    try {
      const json = { source: source.select.value, backbone: backbone.select.value, publish: publish.select.value, ...(epochs.value ? { epochs: Number(epochs.value) } : {}) };
      const { upload } = await post(path(collection, "trainings"), { json, signal });
      report("Training queued.");
      watch();
      if (upload) {
        sent.hidden = false;
        await put(upload, file, { signal, progress: (part) => (sent.value = part) });
        report("Zip file uploaded.");
        watch();
      }
    } catch (error) {
      if (!signal.aborted) report(error.message, true);
    } finally {
      start.disabled = false;
      sent.hidden = true;
    }
  }

  async function back() {
    if (!(await confirmed("Roll back?", "This restores the previous encoder and its index. Items added since stay searchable.", "Roll back"))) return;
    try {
      const done = await post(path(collection, "rollback"), { signal });
      report(`${collection} now uses ${done.encoder} (was ${done.previous_encoder}).`);
      changed();
    } catch (error) {
      report(error.message, true);
    }
  }

  async function publishAnyway({ id, encoder, comparison }, button) {
    const figures = comparison ? ` ${changes(comparison)}` : "";
    if (!(await confirmed("Publish anyway?", `Searches in ${collection} will use ${encoder}, although it was not better.${figures} You can roll back.`, "Publish anyway"))) return;
    button.disabled = true;
    report("Publishing…");
    try {
      await post(`${path(collection, "trainings")}/${id}/publish`, { signal });
      report(`${collection} now uses ${encoder}.`);
      changed();
      watch();
    } catch (error) {
      button.disabled = false;
      if (!signal.aborted) report(error.message, true);
    }
  }

  function report(text, bad = false) {
    status.className = bad ? "error" : "";
    status.textContent = text;
  }

  async function watch() {
    clearTimeout(timer);
    try {
      const { trainings: all } = await get(path(collection, "trainings"), { query: { limit: 5 }, signal });
      const latest = all[0];
      const log = latest ? (await get(`${path(collection, "trainings")}/${latest.id}/log`, { signal })).lines : [];
      show(all, log);
      if (known?.id === latest?.id && known && ACTIVE.includes(known.status) && !ACTIVE.includes(latest.status)) {
        say(`Training ${latest.status}. ${latest.reason ?? ""}`);
        if (latest.published) changed();
      }
      known = latest;
      timer = setTimeout(watch, latest && ACTIVE.includes(latest.status) ? WATCH_MS : IDLE_MS);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      list.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
      timer = setTimeout(watch, IDLE_MS);
    }
  }

  function show(all, log) {
    const focused = document.activeElement?.dataset?.training;
    const scrolled = list.querySelector(".log")?.scrollTop;
    list.replaceChildren(...all.map((training, place) => entry(training, place ? null : log)));
    if (focused) list.querySelector(`[data-training="${focused}"]`)?.focus();
    const lines = list.querySelector(".log");
    if (lines) lines.scrollTop = scrolled ?? lines.scrollHeight;
  }

  function entry(training, log) {
    const active = ACTIVE.includes(training.status);
    const kind = training.status === "failed" ? "badge bad" : "badge";
    const left = training.remaining_seconds === null ? "" : `, about ${words.span(training.remaining_seconds)} left`;
    const compared = training.comparison;
    return h("article", { class: "stack", "aria-label": `Training ${training.id}` },
      h("div", { class: "row" }, h("h3", {}, training.id), h("span", { class: kind, "data-status": training.status }, training.status.replaceAll("_", " ")), h("span", { class: "quiet-text" }, words.ago(training.created_at)),
        active && h("button", { "data-training": training.id, onclick: () => cancel(training.id) }, "Cancel"),
        training.status === "succeeded" && training.encoder && training.published === false && h("button", { "data-training": training.id, onclick: (event) => publishAnyway(training, event.target) }, "Publish anyway"),
        training.report_url && h("a", { href: training.report_url, target: "_blank", onclick: (event) => download(event, training) }, "Report")),
      active && training.phase && h("p", {}, `${training.phase}${left}`),
      active && h("progress", { "aria-label": training.phase || "Training", max: Math.max(1, training.total), value: training.total ? training.done : null }),
      training.reason && h("p", { class: training.status === "failed" ? "error" : "", dir: "auto" }, training.reason),
      compared && h("p", { class: "quiet-text" }, changes(compared)),
      log?.length > 0 && h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Training log" }, log.map((line) => h("div", {}, line.message))));
  }

  async function cancel(id) {
    try {
      await send("DELETE", `${path(collection, "trainings")}/${id}`, { signal });
      watch();
    } catch (error) {
      report(error.message, true);
    }
  }

  // A link cannot send the API key: fetch the report with it and save it as a file.
  async function download(event, training) {
    if (!key.get()) return;
    event.preventDefault();
    const response = await fetch(training.report_url, { headers: headers() });
    if (!response.ok) return notice("Could not load the report. Try again.", { kind: "error" });
    const local = URL.createObjectURL(await response.blob());
    h("a", { href: local, download: `${training.id}.html` }).click();
    setTimeout(() => URL.revokeObjectURL(local), 10_000);
  }
}

function changes({ old, new: trained, queries }) {
  const change = (name, metric) => `${name} ${words.percent(old[metric])} → ${words.percent(trained[metric])}`;
  return `${change("mAP@R", "map_at_r")}, ${change("Recall@1", "recall_at_1")} on ${words.many(queries, "query", "queries")}.`;
}

function choice(id, text, options) {
  const select = h("select", { id }, options.map(([value, name]) => h("option", { value }, name)));
  return { select, label: h("label", { for: id }, text, select) };
}
