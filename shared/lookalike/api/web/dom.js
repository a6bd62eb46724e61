// Builds elements without parsing HTML, so that names and values always appear as plain text.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else if (name === "vars") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Creates an HTML element from attributes, `on…` listeners and `vars` (CSS properties). Children are nodes or text. */
export const h = (tag, props, ...children) => filled(document.createElement(tag), props, children);

/** Creates an SVG element. */
export const s = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

/** Announces a text to screen readers. */
export function say(text) {
  const spoken = document.getElementById("spoken");
  spoken.textContent = "";
  // Screen readers do not read an unchanged text again, so clear it first.
  requestAnimationFrame(() => (spoken.textContent = text));
}

let noticed = 0;

/**
 * Shows a message until another replaces it, the user closes it, or `seconds` have passed.
 * `action`: the text of a button, and what it does.
 */
export function notice(text, { kind = "info", seconds = 0, action = null } = {}) {
  const place = document.getElementById("notice");
  clearTimeout(noticed);
  if (!text) return place.replaceChildren();
  place.replaceChildren(
    h("p", { class: `notice ${kind}` }, h("span", { dir: "auto" }, text),
      action && h("button", { onclick: () => {
        place.replaceChildren();
        action[1]();
      } }, action[0]),
      h("button", { class: "quiet", "aria-label": "Close message", onclick: () => place.replaceChildren() }, "✕")),
  );
  if (seconds) noticed = setTimeout(() => place.replaceChildren(), seconds * 1000);
}

/** A heading that gets the focus when its view opens, so that a screen reader starts there. */
export const heading = (text, props) => h("h1", { tabindex: "-1", ...props }, text);

/** Opens a dialog. Resolves with the value of the button that closed it. */
export function dialog(title, content, buttons, { className = "" } = {}) {
  const before = document.activeElement;
  const box = h("dialog", { class: className, "aria-labelledby": "dialog-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title), content,
      h("div", { class: "row" },
        buttons.map(([value, text, kind]) => h("button", { value, class: kind ?? "" }, text)))));
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      before?.focus?.();
      resolve(box.returnValue);
    });
  });
}

/** Asks the user to confirm an action that cannot be undone. */
export const confirmed = async (title, text, yes) =>
  (await dialog(title, h("p", {}, text), [["no", "Cancel", "quiet"], ["yes", yes, "danger"]])) === "yes";

/** A file input that looks like a button and stays reachable by keyboard. */
export function chooser(text, props, chosen, className = "button") {
  const input = h("input", { type: "file", class: "unseen", ...props, onchange: () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) chosen(files);
  } });
  return h("label", { class: className }, input, text);
}

/** Debounces `work`. */
export function debounced(work, milliseconds = 200) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
