// The map's canvas: a dot for each item, and thumbnails for as many as fit without overlap.
//
// Dots are written as pixels, so that the cost does not depend on the graphics card. Thumbnails are chosen once per
// zoom step, not per frame, so that they stay while the user pans.

import { css, hue } from "./hues.js";
import { thumbnailBitmap } from "./images.js";

const SIDE = 46; // of a thumbnail, in CSS pixels
const MOST_SCALE = 60;
const MOST_SHOWN = 500;
const AT_ONCE = 6;
const KEPT = 1_500;

export class Chart {
  /** Calls `moved` after the view changes, and `picked` with the number of a clicked item. */
  constructor(canvas, collection, data, { moved, picked, signal }) {
    Object.assign(this, { canvas, collection, data, moved, picked, signal });
    this.brush = canvas.getContext("2d", { alpha: false });
    this.dark = document.documentElement.dataset.theme === "dark";
    this.thumbnails = new Map();
    this.waiting = 0;
    this.levels = new Map();
    this.only = -1;
    this.pin = null;
    this.chosen = -1;
    this.colours = new Uint32Array(data.categories.length + 1);
    for (let number = -1; number < data.categories.length; number += 1) this.colours[number + 1] = pixel(hue(number, this.dark));
    this.faint = pixel(this.dark ? [62, 61, 58] : [214, 211, 206]);
    this.ground = pixel(this.dark ? [32, 32, 30] : [244, 242, 239]);
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(canvas.parentElement);
    signal.addEventListener("abort", () => this.resized.disconnect());
    this.listen();
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (!clientWidth || !clientHeight) return;
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.width = this.canvas.width = Math.round(clientWidth * this.ratio);
    this.height = this.canvas.height = Math.round(clientHeight * this.ratio);
    this.image = this.brush.createImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.least = 0.88 * Math.min(this.width, this.height);
    this.stretch = Math.min(1.7, Math.max(1, (0.9 * this.width) / this.least)); // stretch the map in a wide window
    if (!this.scale) this.home();
    this.draw();
  }

  home() {
    this.scale = this.least;
    [this.x, this.y] = [0.5, 0.5];
    this.draw();
  }

  across = (x) => (x - this.x) * this.scale * this.stretch + this.width / 2;
  down = (y) => (y - this.y) * this.scale + this.height / 2;
  worldX = (x) => (x - this.width / 2) / this.scale / this.stretch + this.x;
  worldY = (y) => (y - this.height / 2) / this.scale + this.y;

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [left, top] = [this.worldX(x), this.worldY(y)];
    this.scale = Math.min(this.least * MOST_SCALE, Math.max(this.least * 0.6, this.scale * factor));
    this.x += left - this.worldX(x);
    this.y += top - this.worldY(y);
    this.draw();
  }

  pan(dx, dy) {
    this.x = Math.min(1.2, Math.max(-0.2, this.x - dx / this.scale / this.stretch));
    this.y = Math.min(1.2, Math.max(-0.2, this.y - dy / this.scale));
    this.draw();
  }

  centre(x, y, factor = 1) {
    [this.x, this.y] = [x, y];
    this.zoom(factor);
  }

  /** The item nearest to a point of the canvas, and its distance in pixels. */
  nearest(x, y) {
    let best = -1;
    let least = Infinity;
    for (let item = 0; item < this.data.x.length; item += 1) {
      const far = (this.across(this.data.x[item]) - x) ** 2 + (this.down(this.data.y[item]) - y) ** 2;
      if (far < least) [best, least] = [item, far];
    }
    return [best, Math.sqrt(least)];
  }

  draw() {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      if (!this.image || this.signal.aborted) return;
      this.dots();
      this.shown();
      this.marks();
      this.moved(this);
    });
  }

  dots() {
    const { pixels, width, height, data } = this;
    const radius = Math.round((this.scale > this.least * 4 ? 4 : 3) * this.ratio);
    pixels.fill(this.ground);
    const reach = [];
    for (let row = -radius; row <= radius; row += 1) reach.push(Math.floor(Math.sqrt(radius * radius + radius * 0.6 - row * row)));
    const factor = this.scale * this.stretch;
    for (const pass of this.only < 0 ? [true] : [false, true]) {
      for (let item = 0; item < data.x.length; item += 1) {
        const group = data.category[item];
        if (this.only >= 0 && (group === this.only) !== pass) continue;
        const x = Math.round((data.x[item] - this.x) * factor + width / 2);
        const y = Math.round((data.y[item] - this.y) * this.scale + height / 2);
        if (x < radius || y < radius || x >= width - radius || y >= height - radius) continue;
        const colour = this.only >= 0 && group !== this.only ? this.faint : this.colours[group + 1];
        for (let row = -radius; row <= radius; row += 1) {
          const begin = (y + row) * width + x - reach[row + radius];
          pixels.fill(colour, begin, begin + 2 * reach[row + radius] + 1);
        }
      }
    }
    this.brush.putImageData(this.image, 0, 0);
  }

  /** Items with thumbnails at this zoom step: as many as fit without overlap, in item order. */
  chosenFor() {
    const step = Math.round(Math.log2(this.scale / this.least) * 2);
    if (!this.levels.has(step)) {
      const cell = (SIDE * 1.15 * this.ratio) / (this.least * 2 ** (step / 2));
      const taken = new Map();
      const items = [];
      const free = (column, row, x, y) => {
        for (let place = 0; place < 9; place += 1) {
          const other = taken.get((column + (place % 3) - 1) * 100_003 + row + Math.floor(place / 3) - 1);
          if (other && Math.abs(other[0] - x) < cell && Math.abs(other[1] - y) < cell) return false;
        }
        return true;
      };
      for (let item = 0; item < this.data.x.length; item += 1) {
        const [x, y] = [this.data.x[item] * this.stretch, this.data.y[item]];
        const [column, row] = [Math.floor(x / cell), Math.floor(y / cell)];
        if (!free(column, row, x, y)) continue;
        taken.set(column * 100_003 + row, [x, y]);
        items.push(item);
      }
      this.levels.set(step, items);
    }
    return this.levels.get(step);
  }

  shown() {
    const side = SIDE * this.ratio;
    let number = 0;
    const wanted = [];
    for (const item of this.chosenFor()) {
      if (this.only >= 0 && this.data.category[item] !== this.only) continue;
      const [x, y] = [this.across(this.data.x[item]), this.down(this.data.y[item])];
      if (x < -side || y < -side || x > this.width + side || y > this.height + side) continue;
      if ((number += 1) > MOST_SHOWN) break;
      const thumbnail = this.thumbnails.get(item);
      if (thumbnail === undefined) wanted.push(item);
      else if (thumbnail) this.thumbnail(item, thumbnail, x, y, side);
    }
    this.fetch(wanted);
  }

  thumbnail(item, thumbnail, x, y, side) {
    const fit = side / Math.max(thumbnail.width, thumbnail.height);
    const [width, height] = [Math.round(thumbnail.width * fit), Math.round(thumbnail.height * fit)];
    const [left, top] = [Math.round(x - width / 2), Math.round(y - height / 2)];
    const edge = Math.round(1.5 * this.ratio);
    this.brush.fillStyle = css(hue(this.data.category[item], this.dark));
    this.brush.fillRect(left - edge, top - edge, width + 2 * edge, height + 2 * edge);
    this.brush.drawImage(thumbnail, left, top, width, height);
  }

  fetch(items) {
    for (const item of items) {
      if (this.waiting >= AT_ONCE) return;
      this.waiting += 1;
      this.thumbnails.set(item, null);
      thumbnailBitmap(this.collection, this.data.ids[item], 64, this.signal)
        .then((thumbnail) => {
          this.thumbnails.set(item, thumbnail);
          if (this.thumbnails.size > KEPT) this.thumbnails.delete(this.thumbnails.keys().next().value);
        }, () => {}) // keep the dot
        .finally(() => {
          this.waiting -= 1;
          this.draw();
        });
    }
  }

  marks() {
    const { brush, ratio } = this;
    brush.lineWidth = 2.5 * ratio;
    if (this.chosen >= 0) {
      brush.strokeStyle = this.dark ? "#fff" : "#000";
      const half = (SIDE / 2 + 5) * ratio;
      brush.strokeRect(this.across(this.data.x[this.chosen]) - half, this.down(this.data.y[this.chosen]) - half, 2 * half, 2 * half);
    }
    if (this.pin) {
      const [x, y] = [this.across(this.pin[0]), this.down(this.pin[1])];
      for (const [radius, colour] of [[20, "#fff"], [17, "#c2185b"], [4, "#c2185b"]]) {
        brush.strokeStyle = colour;
        brush.lineWidth = (radius > 17 ? 7 : 3.5) * ratio;
        brush.beginPath();
        brush.arc(x, y, radius * ratio * (radius > 17 ? 0.85 : 1), 0, 7);
        brush.stroke();
      }
    }
    if (document.activeElement === this.canvas) {
      brush.strokeStyle = this.dark ? "#fffc" : "#000c";
      brush.lineWidth = ratio;
      brush.beginPath();
      for (const [dx, dy] of [[12, 0], [0, 12]]) {
        brush.moveTo(this.width / 2 - dx * ratio, this.height / 2 - dy * ratio);
        brush.lineTo(this.width / 2 + dx * ratio, this.height / 2 + dy * ratio);
      }
      brush.stroke();
    }
  }

  listen() {
    const { canvas } = this;
    const fingers = new Map();
    let travelled = 0;
    const at = (event) => {
      const bounds = canvas.getBoundingClientRect();
      return [(event.clientX - bounds.left) * this.ratio, (event.clientY - bounds.top) * this.ratio];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, at(event));
      travelled = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      travelled += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      if (fingers.size === 1) this.pan(now[0] - before[0], now[1] - before[1]);
      else {
        const other = [...fingers].find(([finger]) => finger !== event.pointerId)[1];
        const far = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
        this.zoom(far(now) / Math.max(1, far(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      fingers.set(event.pointerId, now);
    });
    const ended = (event) => {
      if (event.type === "pointerup" && fingers.size === 1 && travelled < 6 * this.ratio) {
        const [item, far] = this.nearest(...at(event));
        if (far < SIDE * this.ratio) this.picked(item);
      }
      fingers.delete(event.pointerId);
    };
    canvas.addEventListener("pointerup", ended);
    canvas.addEventListener("pointercancel", ended);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.draw());
  }

  key(event) {
    const step = 60 * this.ratio;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key in moves) this.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.home();
    else if (event.key === "Enter") this.picked(this.nearest(this.width / 2, this.height / 2)[0]);
    else return;
    event.preventDefault();
  }
}

// Canvas pixels are red, green, blue, alpha in memory, on little-endian machines.
const pixel = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
