// Pictures: thumbnails from the server, and files made small in the browser before they are sent.

import { headers, key, path, url } from "./api.js";
import { h } from "./dom.js";

export const MOST_SIDE = 1024; // several times what an encoder looks at
export const MOST_BYTES = 4_000_000; // what every server takes
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

/** An item's small picture as an element. With an API key it is fetched, since an `img` sends no headers. */
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

/** An item's small picture as a bitmap, for a canvas. */
export const thumbnailBitmap = async (collection, id, side, signal) =>
  createImageBitmap(await fetched(thumbnailUrl(collection, id, side), signal));

/** A picture on a canvas, upright and no larger than it is sent; null: this browser cannot read the file. */
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

/** A part of a picture on a canvas of its own, over white as the server sees it. */
export function drawn(source, [left, top, width, height]) {
  const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
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
