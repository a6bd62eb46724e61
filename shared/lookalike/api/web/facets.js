// Facets: the fields of a collection with their counts, as filter controls.

import { h, debounced } from "./dom.js";
import * as words from "./words.js";

const MOST_CHOICES = 30;
const FEW = 8;

/** The values that a filter selects for a field. */
const chosen = (condition) =>
  condition === undefined ? [] : condition?.in ?? (typeof condition === "object" && condition !== null ? [] : [condition]);

/** The panel. Calls `change(field, update)`, where `update` takes the field's current condition and returns the new one:
 * a control may outlive the filter that it was drawn with. */
export function panel(facets, filter, change) {
  const shown = facets.filter((facet) => facet.kind === "number" ? facet.distinct > 1 || filter[facet.field] : facet.distinct > 0 && (facet.distinct <= MOST_CHOICES || facet.field === "category"));
  shown.sort((a, b) => (b.field === "category") - (a.field === "category"));
  return shown.map((facet, place) =>
    h("details", { class: "facet", open: (place < 3 && innerWidth > 800) || facet.field in filter, "data-field": facet.field },
      h("summary", {}, h("bdi", {}, facet.field)),
      facet.kind === "number" ? range(facet, filter[facet.field], change) : choices(facet, chosen(filter[facet.field]), change)));
}

function choices(facet, picked, change) {
  const absent = picked.filter((value) => !facet.values.some((each) => each.value === value));
  const values = [...facet.values, ...absent.map((value) => ({ value, count: 0 }))];
  const line = ({ value, count }) => {
    const box = h("input", {
      type: "checkbox", checked: picked.includes(value), "data-focus": `${facet.field}=${value}`,
      onchange: () => change(facet.field, (present) => {
        const others = chosen(present).filter((each) => each !== value);
        const next = box.checked ? [...others, value] : others;
        return next.length === 0 ? undefined : next.length === 1 ? next[0] : { in: next };
      }),
    });
    return h("label", { class: "choice" }, box, h("bdi", { class: "grow" }, words.value(value)), h("span", { class: "number" }, words.count(count)));
  };
  const rest = values.slice(FEW);
  return h("div", { class: "choices" }, values.slice(0, FEW).map(line),
    rest.length > 0 && h("details", { open: rest.some((each) => picked.includes(each.value)) },
      h("summary", { class: "more" }, `${rest.length} more`), rest.map(line)));
}

function range(facet, condition, change) {
  const bound = (name, label, hint) => {
    const input = h("input", {
      type: "number", step: "any", placeholder: words.value(hint ?? ""), value: condition?.[name] ?? "",
      "aria-label": `${facet.field}: ${label}`, "data-focus": `${facet.field}.${name}`,
      oninput: debounced(() => change(facet.field, (present) => {
        const next = { ...present };
        delete next[name];
        if (input.value !== "" && input.validity.valid) next[name] = Number(input.value);
        return Object.keys(next).length ? next : undefined;
      }), 500),
    });
    return input;
  };
  return h("div", { class: "range" }, bound("gte", "at least", facet.low), h("span", {}, "to"), bound("lte", "at most", facet.high));
}
