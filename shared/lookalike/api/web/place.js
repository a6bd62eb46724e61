// Where one is in the page: the part of the address after `#`, so that it can be shared and gone back to.

/** `#map?collection=shop` → `{view, params}`. */
export function here() {
  const [view, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  return { view: view || "search", params: Object.fromEntries(new URLSearchParams(query)) };
}

export function address(view, params) {
  const kept = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${view}?${new URLSearchParams(kept)}`;
}

/** Goes there; the view is shown anew. */
export const go = (view, params) => {
  const to = address(view, params);
  if (to === location.hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = to;
};

/** Says in the address what is shown already. */
export const note = (view, params) => history.replaceState(null, "", address(view, params));
