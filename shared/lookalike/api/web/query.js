// The current query: images, items, crops of either, and words, each with a weight. It survives a change of view.

import { headers, key, path, post, Problem, url } from "./api.js";
import { drawn, jpeg, MAX_BYTES, opened, thumbnailUrl } from "./images.js";

const MOST_KEPT = 30;
const FARTHEST = 100;
export const MOST_PARTS = 8;

export const current = {
  parts: [],
  results: [],
  /** The part that the page shows large: the first that is no words. */
  get query() {
    return this.parts.find((part) => part.kind !== "words") ?? null;
  },
  set query(part) {
    this.parts = part ? [part] : [];
  },
};

// Queries by entry of the history: an image is in no address.
const kept = new Map();
/** Keeps a query. Returns what `recalled` finds it by, until the page is loaded again. */
export function remembered(parts) {
  if (kept.get(history.state) === parts) return history.state;
  const mark = `${performance.timeOrigin} ${performance.now()}`;
  kept.set(mark, parts);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return mark;
}
export const recalled = (mark) => kept.get(mark);

/** A query by file: the page shows `canvas` and sends `blob`. */
export async function ofFile(file) {
  const canvas = await opened(file);
  if (!canvas && file.size > MAX_BYTES)
    throw new Problem({
      status: 0,
      title: "This file cannot be used as a query",
      detail: "Your browser cannot decode it, and it is too large to send unchanged",
      fix: "Choose a JPEG, PNG or WebP image.",
    });
  const blob = canvas ? await jpeg(canvas) : file;
  return { kind: "file", name: file.name || "pasted.png", canvas, blob, box: null, weight: 1 };
}

/** A query by item. */
export const ofItem = (id, weight = 1) => ({ kind: "item", id, name: id, canvas: null, blob: null, box: null, weight });

/** A query by words. */
export const ofWords = (name, weight = 1) => ({ kind: "words", name, blob: null, weight });

/** "words", "image", or "mix": words with images, or words to avoid. No confidence is known for a mix. */
export function kindOf(parts) {
  if (!parts.some((part) => part.kind === "words")) return "image";
  return parts.every((part) => part.kind === "words" && part.weight > 0) ? "words" : "mix";
}

const subject = (part) => (part.kind === "words" ? { text: part.name } : { id: part.id });
const weighted = (part, what) => (part.weight === 1 ? what : { ...what, weight: part.weight });
const isPlain = (parts) => parts.length === 1 && parts[0].weight === 1;

/** A query as parameters of an address, without its images. */
export function linked(parts) {
  const shown = parts.filter((part) => !part.blob);
  if (isPlain(shown)) return subject(shown[0]);
  return shown.length ? { query: JSON.stringify(shown.map((part) => weighted(part, subject(part)))) } : {};
}

/** Inverse of `linked`. */
export function fromLink({ id, text, query }) {
  if (id) return [ofItem(id)];
  if (text) return [ofWords(text)];
  let found = [];
  try {
    found = JSON.parse(query || "[]");
  } catch {
    // A damaged link: the rest of it may be of use.
  }
  return (Array.isArray(found) ? found : []).slice(0, MOST_PARTS).flatMap((part) => {
    const weight = Number(part?.weight ?? 1);
    if (!weight || Math.abs(weight) > FARTHEST) return [];
    return typeof part?.id === "string" ? ofItem(part.id, weight) : typeof part?.text === "string" ? ofWords(part.text, weight) : [];
  });
}

/** The image of a query by item, for cropping. */
export async function imageOf(query, collection) {
  if (!query.canvas && query.kind === "item") {
    const response = await fetch(thumbnailUrl(collection, query.id, 960), { headers: headers() });
    if (response.ok) query.canvas = await opened(await response.blob());
  }
  return query.canvas;
}

/** The same query cropped to `box`: [left, top, width, height] as fractions of the image. */
export async function cropped(query, box) {
  const { width, height } = query.canvas;
  if (!box) {
    return { ...query, box, blob: query.kind === "file" ? await jpeg(query.canvas) : null };
  }
  const part = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
  return { ...query, box, blob: await jpeg(drawn(query.canvas, part)) };
}

const base64 = (blob) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.readAsDataURL(blob);
});

/** Sends the search request. */
export async function search(collection, parts, options, signal) {
  const where = path(collection, "search");
  const [query] = parts;
  if (!isPlain(parts)) {
    const mix = await Promise.all(parts.map(async (part) => weighted(part, part.blob ? { image: await base64(part.blob) } : subject(part))));
    return post(where, { json: { query: mix, ...options }, signal });
  }
  if (!query.blob) return post(where, { json: { ...subject(query), ...options }, signal });
  const form = new FormData();
  form.append("image", query.blob, "query.jpg");
  for (const [name, value] of Object.entries(options))
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  return post(where, { form, signal });
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same search as a curl command. It refers to the key by a variable and does not contain it. */
export function curl(collection, parts, options) {
  const said = ["curl"];
  const [query] = parts;
  if (key.get()) said.push('-H "X-API-Key: $LOOKALIKE_KEY"');
  if (isPlain(parts) && query.blob) {
    said.push(`-F ${quoted(`image=@"${query.name.replace(/["\\]/g, "\\$&")}"`)}`);
    for (const [name, value] of Object.entries(options))
      said.push(`-F ${quoted(`${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)}`);
  } else {
    const mix = parts.map((part) => weighted(part, part.blob ? { image: `base64 of ${part.name}` } : subject(part)));
    const json = { ...(isPlain(parts) ? subject(query) : { query: mix }), ...options };
    said.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(json))}`);
  }
  return [...said, quoted(url(path(collection, "search")))].join(" ");
}
