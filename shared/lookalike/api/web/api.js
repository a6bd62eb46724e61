// All requests to the server go through here. Each failure becomes a `Problem` with a readable message.

const KEY = "lookalike-key";
const SLOW_MS = 4000;
export const events = new EventTarget();

/** Why a request failed. `status` is 0 if there was no response. */
export class Problem extends Error {
  constructor({ status, title, detail = "", fix = "", reason = "" }) {
    super([title, detail, detail.includes(fix) ? "" : fix].filter(Boolean).map(sentence).join(" "));
    Object.assign(this, { status, title, detail, fix, reason });
  }
}

/** The problem when there was no response. */
export const noResponse = () => new Problem({
  status: 0, title: "The server is not responding", detail: "It may have stopped, or the network is down", fix: "Try again in a moment.",
});

const sentence = (text) => {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
};

/** The API key, kept until the tab closes or, if the user chooses so, on this device. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "",
  set(text, { keep }) {
    this.forget();
    if (text) (keep ? localStorage : sessionStorage).setItem(KEY, text);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
};

export const headers = () => (key.get() ? { "X-API-Key": key.get() } : {});

/** The path of a collection's resource. Slashes in an id stay as they are. */
export const path = (collection, what = "", id = null) =>
  ["collections", collection, what, id === null ? "" : id.split("/").map(encodeURIComponent).join("/")]
    .filter(Boolean).join("/");

export const url = (where, query = {}) => {
  const found = new URL(where, document.baseURI);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null && value !== "") found.searchParams.set(name, value);
  return found.href;
};

/** Sends a request. Returns the response, or throws a `Problem` if it is an error. */
export async function send(method, where, { query, json, form, signal } = {}) {
  const slow = setTimeout(() => events.dispatchEvent(new Event("slow")), SLOW_MS);
  try {
    const response = await fetch(url(where, query), {
      method,
      signal,
      headers: { ...headers(), ...(json === undefined ? {} : { "Content-Type": "application/json" }) },
      body: json === undefined ? form : JSON.stringify(json),
    });
    if (!response.ok) throw await problemOf(response);
    return response;
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw noResponse();
  } finally {
    clearTimeout(slow);
    events.dispatchEvent(new Event("done"));
  }
}

export const get = async (where, options) => (await send("GET", where, options)).json();
export const post = async (where, options) => (await send("POST", where, options)).json();

export async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy answered, not the API: only the status is known.
  }
  const problem = new Problem({
    status: response.status,
    title: body.title ?? `The server returned ${response.status}`,
    detail: body.detail,
    fix: body.fix ?? (response.status >= 500 ? "Try again in a moment." : ""),
    reason: body.reason,
  });
  if (response.status === 401) events.dispatchEvent(new Event("key"));
  return problem;
}

/** PUTs a file to an upload URL and reports progress. */
export function put(offer, file, { progress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", offer.url);
    for (const [name, value] of Object.entries(offer.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(1, event.total));
    request.onload = async () => {
      if (request.status < 300) return resolve();
      const type = { headers: { "Content-Type": "application/json" } };
      reject(await problemOf(new Response(request.responseText, { status: request.status, ...type })));
    };
    request.onerror = () => reject(new Problem({
      status: 0, title: "The upload was interrupted", detail: "The server is not responding", fix: "Try again.",
    }));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
