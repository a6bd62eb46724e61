// Formats numbers, times and sizes for people.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export const count = (number) => whole.format(number);
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
export const percent = (part) => `${Math.round(part * 100)} %`;
export const score = (number) => number.toFixed(3);
export const value = (given) => (typeof given === "number" ? short.format(given) : String(given));

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let step = 0;
  for (; bytes >= 1000 && step < 3; step += 1) bytes /= 1000;
  return `${bytes.toFixed(bytes < 10 && step ? 1 : 0)} ${units[step]}`;
}

export function span(seconds) {
  if (seconds < 90) return many(Math.round(seconds), "second");
  if (seconds < 5400) return many(Math.round(seconds / 60), "minute");
  if (seconds < 129600) return many(Math.round(seconds / 3600), "hour");
  return many(Math.round(seconds / 86400), "day");
}

/** How long ago an ISO time was. */
export function ago(iso) {
  if (!iso) return "never";
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  return seconds < 5 ? "just now" : `${span(seconds)} ago`;
}

/** An item's display name: its title, or else the last part of its id. */
export const title = (item) => String(item.metadata?.title ?? item.id.split("/").at(-1));

export const clipped = (text, most = 120) => (text.length > most ? `${text.slice(0, most)}…` : text);
