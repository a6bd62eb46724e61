// Reads metadata files (CSV and JSON lines): one set of fields per image.

import { Problem } from "./api.js";

const FILE = "file";
const problem = (name, detail, fix) => new Problem({ status: 0, title: `${name} cannot be used`, detail, fix });

export const isTable = (name) => /\.(csv|tsv|jsonl|ndjson|parquet)$/i.test(name);

/** Rows by the image that they describe. */
export async function readTable(file) {
  if (/\.parquet$/i.test(file.name))
    throw problem(file.name, "Browsers cannot read Parquet", "Save it as CSV, or copy it to the collection's metadata folder.");
  const text = (await file.text()).replace(/^\uFEFF/, "");
  const rows = /\.(jsonl|ndjson)$/i.test(file.name) ? lines(text, file.name) : table(text, /\.tsv$/i.test(file.name) ? "\t" : ",");
  const named = new Map();
  for (const row of rows) {
    const key = Object.keys(row).find((name) => name.trim().toLowerCase() === FILE);
    if (key === undefined) throw problem(file.name, `It has no column "${FILE}"`, `Add a "${FILE}" column with the image that each row describes.`);
    const { [key]: about, ...rest } = row;
    const kept = Object.entries(rest).filter(([name, value]) => name.trim() && name.toLowerCase() !== "id" && value !== null && value !== "");
    named.set(String(about).replace(/^(\.?\/)+/, ""), Object.fromEntries(kept));
  }
  return named;
}

function lines(text, name) {
  return text.split(/\r?\n/).filter((line) => line.trim()).map((line, place) => {
    try {
      const row = JSON.parse(line);
      if (!row || typeof row !== "object" || Array.isArray(row)) throw new Error();
      return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value && typeof value === "object" ? JSON.stringify(value) : value]));
    } catch {
      throw problem(name, `Line ${place + 1} is not a JSON object`, "Write one object per line.");
    }
  });
}

/** Parses RFC 4180 CSV. */
export function table(text, separator = ",") {
  const rows = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    const row = rows.at(-1);
    if (quoted) {
      if (letter !== '"') row[row.length - 1] += letter;
      else if (text[at + 1] === '"') row[row.length - 1] += text[(at += 1)];
      else quoted = false;
    } else if (letter === '"' && row.at(-1) === "") quoted = true;
    else if (letter === separator) row.push("");
    else if (letter === "\n") rows.push([""]);
    else if (letter !== "\r") row[row.length - 1] += letter;
  }
  const [head, ...body] = rows.filter((row) => row.length > 1 || row[0] !== "");
  return body.map((row) => Object.fromEntries((head ?? []).map((name, place) => [name, typed(row[place] ?? "")])));
}

// Only numbers in canonical form become numbers: 007 and 1e999 stay text.
const typed = (text) => {
  if (/^-?(0|[1-9]\d{0,14})(\.\d{1,12})?$/.test(text)) return Number(text);
  return text === "true" ? true : text === "false" ? false : text;
};
