// Trainings: start one from the collection or a zip, watch it, cancel it; and go back to the encoder before.

import { get, headers, path, post, put, send, key } from "./api.js";
import { confirmed, h, notice, say } from "./dom.js";
import * as words from "./words.js";

const ACTIVE = ["waiting_for_upload", "queued", "running", "publishing"];
const WATCH_MS = 1_000;
const IDLE_MS = 10_000;

/** The section; `changed` is called when another encoder serves. */
export function trainings(collection, signal, changed) {
  const list = h("div", { class: "stack" });
  const status = h("p", { role: "status" });
  const sent = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Upload of the zip file" });
  const start = h("button", { class: "primary" }, "Start");
  const source = choice("source", "Learn from", [["collection", "this collection"], ["zip", "a zip file with a folder for each class"]]);
  const zip = h("input", { type: "file", accept: ".zip,application/zip", id: "zip" });
  const zipLine = h("label", { for: "zip", hidden: true }, "Zip file", zip);
  source.select.addEventListener("change", () => (zipLine.hidden = source.select.value !== "zip"));
  const backbone = choice("backbone", "Backbone", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"].map((name) => [name, name]));
  const publish = choice("publish", "Then let it serve", [["if_better", "if it is better"], ["always", "always"], ["never", "never"]]);
  const epochs = h("input", { type: "number", min: 1, max: 1000, id: "epochs", placeholder: "chosen" });
  let timer = 0;
  let known = null;
  signal.addEventListener("abort", () => clearTimeout(timer));

  const form = h("form", { class: "stack", onsubmit: ask },
    h("div", { class: "fieldset" }, source.label, zipLine, backbone.label, publish.label, h("label", { for: "epochs" }, "Epochs", epochs)),
    h("div", { class: "row" }, start, h("button", { type: "button", onclick: back }, "Roll back to the encoder before")), sent, status);
  watch();
  return h("section", { class: "panel stack", "aria-label": "Training" }, h("h2", {}, "Train an encoder on your categories"), form, list);

  async function ask(event) {
    event.preventDefault();
    const file = zip.files[0];
    if (source.select.value === "zip" && !file) return tell("Choose a zip file first.", true);
    start.disabled = true;
    try {
      const json = { source: source.select.value, backbone: backbone.select.value, publish: publish.select.value, ...(epochs.value ? { epochs: Number(epochs.value) } : {}) };
      const { upload } = await post(path(collection, "trainings"), { json, signal });
      tell("The training is asked for.");
      watch();
      if (upload) {
        sent.hidden = false;
        await put(upload, file, { signal, progress: (part) => (sent.value = part) });
        tell("The zip file has arrived.");
        watch();
      }
    } catch (error) {
      if (!signal.aborted) tell(error.message, true);
    } finally {
      start.disabled = false;
      sent.hidden = true;
    }
  }

  async function back() {
    if (!(await confirmed("Roll back?", "The encoder before serves again, with the snapshot that it had. What came in since is found too.", "Roll back"))) return;
    try {
      const done = await post(path(collection, "rollback"), { signal });
      tell(`${done.encoder} serves again, instead of ${done.previous_encoder}.`);
      changed();
    } catch (error) {
      tell(error.message, true);
    }
  }

  function tell(text, bad = false) {
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
        say(`The training ${latest.status}. ${latest.reason ?? ""}`);
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
        training.report_url && h("a", { href: training.report_url, target: "_blank", onclick: (event) => report(event, training) }, "Report")),
      active && training.phase && h("p", {}, `${training.phase}${left}`),
      active && h("progress", { "aria-label": training.phase || "Training", max: Math.max(1, training.total), value: training.total ? training.done : null }),
      training.reason && h("p", { class: training.status === "failed" ? "error" : "", dir: "auto" }, training.reason),
      compared && h("p", { class: "quiet-text" }, `mAP@R ${words.percent(compared.old.map_at_r)} → ${words.percent(compared.new.map_at_r)}, first right ${words.percent(compared.old.recall_at_1)} → ${words.percent(compared.new.recall_at_1)} on ${words.many(compared.queries, "picture")}.`),
      log?.length > 0 && h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Log of the training" }, log.map((line) => h("div", {}, line.message))));
  }

  async function cancel(id) {
    try {
      await send("DELETE", `${path(collection, "trainings")}/${id}`, { signal });
      watch();
    } catch (error) {
      tell(error.message, true);
    }
  }

  // A link sends no key: with one, the report is fetched and saved as a file.
  async function report(event, training) {
    if (!key.get()) return;
    event.preventDefault();
    const response = await fetch(training.report_url, { headers: headers() });
    if (!response.ok) return notice("The report cannot be read.", { kind: "error" });
    const local = URL.createObjectURL(await response.blob());
    h("a", { href: local, download: `${training.id}.html` }).click();
    setTimeout(() => URL.revokeObjectURL(local), 10_000);
  }
}

function choice(id, text, options) {
  const select = h("select", { id }, options.map(([value, name]) => h("option", { value }, name)));
  return { select, label: h("label", { for: id }, text, select) };
}
