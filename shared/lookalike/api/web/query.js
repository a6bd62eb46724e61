// What is asked: a picture, an item, or a part of either. Kept while one looks at other views.

import { headers, key, path, post, Problem, url } from "./api.js";
import { drawn, jpeg, MOST_BYTES, opened, thumbnailUrl } from "./pictures.js";

export const current = { query: null, results: [] };

/** A query by a file: `canvas` shows it, `blob` is what is sent. */
export async function ofFile(file) {
  const canvas = await opened(file);
  if (!canvas && file.size > MOST_BYTES)
    throw new Problem({
      status: 0,
      title: "This file cannot be used",
      detail: "The browser cannot read it as a picture, and it is too large to be sent as it is",
      fix: "Choose a JPEG, PNG or WebP picture.",
    });
  const blob = canvas ? await jpeg(canvas) : file;
  return { kind: "file", name: file.name || "pasted.png", canvas, blob, box: null };
}

/** A query by an item. */
export const ofItem = (id) => ({ kind: "item", id, name: id, canvas: null, blob: null, box: null });

/** The picture of a query by an item, for cropping. */
export async function pictureOf(query, collection) {
  if (!query.canvas && query.kind === "item") {
    const response = await fetch(thumbnailUrl(collection, query.id, 960), { headers: headers() });
    if (response.ok) query.canvas = await opened(await response.blob());
  }
  return query.canvas;
}

/** The same query for a part of its picture; `box` is [left, top, width, height] in parts of 1. */
export async function cropped(query, box) {
  const { width, height } = query.canvas;
  if (!box) {
    return { ...query, box, blob: query.kind === "file" ? await jpeg(query.canvas) : null };
  }
  const part = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
  return { ...query, box, blob: await jpeg(drawn(query.canvas, part)) };
}

/** Asks the server. */
export function ask(collection, query, options, signal) {
  const where = path(collection, "search");
  if (!query.blob) return post(where, { json: { id: query.id, ...options }, signal });
  const form = new FormData();
  form.append("image", query.blob, "query.jpg");
  for (const [name, value] of Object.entries(options))
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  return post(where, { form, signal });
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The same question for a terminal. The key itself stays here. */
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
