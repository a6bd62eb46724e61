// Images: thumbnails from the server, and query images that the browser shrinks before it sends them.

import { headers, key, path, url } from "./api.js";
import { h } from "./dom.js";

export const MAX_SIDE = 1024; // several times an encoder's input size
export const MAX_BYTES = 4_000_000; // the limit of every deployment
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      fetched(target.dataset.from).then((blob) => {
        const local = URL.createObjectURL(blob);
        target.addEventListener("load", () => URL.revokeObjectURL(local), { once: true });
        target.src = local;
      }, () => target.classList.add("broken"));
    }
  },
  { rootMargin: "400px" },
);

async function fetched(from, signal) {
  const response = await fetch(from, { headers: headers(), signal });
  if (!response.ok) throw new Error(String(response.status));
  return response.blob();
}

export const thumbnailUrl = (collection, id, side) => url(path(collection, "thumbnails", id), { side });

/** A thumbnail as an element. With an API key it is fetched, because an `img` cannot send headers. */
export function thumbnail(collection, id, { side = 320, alt = "" } = {}) {
  const from = thumbnailUrl(collection, id, side);
  const image = h("img", { alt, loading: "lazy", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => image.classList.add("broken"));
  if (key.get()) {
    image.dataset.from = from;
    near.observe(image);
  } else image.src = from;
  return image;
}

/** A thumbnail as a bitmap, for a canvas. */
export const thumbnailBitmap = async (collection, id, side, signal) =>
  createImageBitmap(await fetched(thumbnailUrl(collection, id, side), signal));

/** Draws an image on a canvas, upright and at sending size. Null if the browser cannot decode it. */
export async function opened(blob) {
  performance.mark("decode-begin");
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
  performance.measure("decode", "decode-begin");
  const canvas = drawn(bitmap, [0, 0, bitmap.width, bitmap.height]);
  bitmap.close();
  return canvas;
}

/** Draws a part of an image on a new canvas, over white like the server does. */
export function drawn(source, [left, top, width, height]) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const canvas = h("canvas", {});
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const brush = canvas.getContext("2d");
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.imageSmoothingQuality = "medium";
  brush.drawImage(source, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** A canvas as a JPEG file to send. */
export const jpeg = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
