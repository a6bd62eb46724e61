// Elements, made without HTML text: whatever a name or a value holds, it is shown as text.

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

/** An HTML element: attributes, `on…` listeners, `vars` as style properties; children are nodes or texts. */
export const h = (tag, props, ...children) => filled(document.createElement(tag), props, children);

/** The same for SVG. */
export const s = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

/** Says something to people who do not see the page. */
export function say(text) {
  const spoken = document.getElementById("spoken");
  spoken.textContent = "";
  // A text that does not change is not read again.
  requestAnimationFrame(() => (spoken.textContent = text));
}

let noticed = 0;

/** Shows a line at the top until it is replaced, closed, or `seconds` have passed. */
export function notice(text, { kind = "info", seconds = 0 } = {}) {
  const place = document.getElementById("notice");
  clearTimeout(noticed);
  if (!text) return place.replaceChildren();
  place.replaceChildren(
    h("p", { class: `notice ${kind}` }, h("span", { dir: "auto" }, text),
      h("button", { class: "quiet", "aria-label": "Close this message", onclick: () => place.replaceChildren() }, "✕")),
  );
  if (seconds) noticed = setTimeout(() => place.replaceChildren(), seconds * 1000);
}

/** A heading that takes the focus when its view opens, so that a screen reader begins there. */
export const heading = (text, props) => h("h1", { tabindex: "-1", ...props }, text);

/** Opens a dialog; resolves with what its form was closed with. */
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

/** Asks before something that cannot be taken back. */
export const confirmed = async (title, text, yes) =>
  (await dialog(title, h("p", {}, text), [["no", "Cancel", "quiet"], ["yes", yes, "danger"]])) === "yes";

/** A file chooser that looks like a button; its input stays reachable by keyboard. */
export function chooser(text, props, chosen, className = "button") {
  const input = h("input", { type: "file", class: "unseen", ...props, onchange: () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) chosen(files);
  } });
  return h("label", { class: className }, input, text);
}

/** Calls `work` once things have been quiet for a moment. */
export function settled(work, milliseconds = 200) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
