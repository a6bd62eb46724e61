// The current query: an image, an item, or a crop of either. It survives a change of view.

import { headers, key, path, post, Problem, url } from "./api.js";
import { drawn, jpeg, MAX_BYTES, opened, thumbnailUrl } from "./images.js";

export const current = { query: null, results: [] };

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
  return { kind: "file", name: file.name || "pasted.png", canvas, blob, box: null };
}

/** A query by item. */
export const ofItem = (id) => ({ kind: "item", id, name: id, canvas: null, blob: null, box: null });

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

/** Sends the search request. */
export function search(collection, query, options, signal) {
  const where = path(collection, "search");
  if (!query.blob) return post(where, { json: { id: query.id, ...options }, signal });
  const form = new FormData();
  form.append("image", query.blob, "query.jpg");
  for (const [name, value] of Object.entries(options))
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  return post(where, { form, signal });
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same search as a curl command. It refers to the key by a variable and does not contain it. */
export function curl(collection, query, options) {
  const parts = ["curl"];
  if (key.get()) parts.push('-H "X-API-Key: $LOOKALIKE_KEY"');
  if (query.blob) {
    parts.push(`-F ${quoted(`image=@"${query.name.replace(/["\\]/g, "\\$&")}"`)}`);
    for (const [name, value] of Object.entries(options))
      parts.push(`-F ${quoted(`${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)}`);
  } else {
    parts.push("-H 'Content-Type: application/json'");
    parts.push(`-d ${quoted(JSON.stringify({ id: query.id, ...options }))}`);
  }
  return [...parts, quoted(url(path(collection, "search")))].join(" ");
}
