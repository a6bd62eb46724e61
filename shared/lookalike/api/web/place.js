// The page's state in the part of the address after `#`, so that links and the back button work.

/** `#map?collection=shop` → `{view, params}`. */
export function here() {
  const [view, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  return { view: view || "search", params: Object.fromEntries(new URLSearchParams(query)) };
}

export function address(view, params) {
  const kept = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${view}?${new URLSearchParams(kept)}`;
}

/** Navigates. Shows the view again even if the address is the same. */
export const go = (view, params) => {
  const to = address(view, params);
  if (to === location.hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = to;
};

/** Updates the address without navigating. */
export const note = (view, params) => history.replaceState(null, "", address(view, params));
