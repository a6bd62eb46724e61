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
  if (to !== location.hash) return (location.hash = to);
  history.replaceState(null, "");
  window.dispatchEvent(new HashChangeEvent("hashchange"));
};

/** Updates the address without navigating. `state` stays with this entry of the history. */
export const note = (view, params, state = null) => history.replaceState(state, "", address(view, params));
