"""Search filters: conditions on the items of a search.

A filter is a JSON object. Its fields are joined by *and*; `any` holds alternatives and `not` a negation:

    {"category": "shoes", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]},
     "any": [{"colour": "red"}, {"sale": true}], "not": {"title": null}}

A plain value means equality, and `null` means "has no value". Operators: `eq`, `ne`, `in`, `gt`, `gte`,
`lt`, `lte`, `exists`. Text is compared by code point, so ISO dates compare as dates. An item without a
value matches no comparison, and therefore matches the `not` (and the `ne`) of every comparison.

Fields are the item's own columns, and its attributes by name. `attributes.<name>` names an attribute
whose name is also that of a column, or a word of this language.
"""

from lookalike.filters.apply import (
    ATTRIBUTE_PREFIX,
    FieldKind,
    check_filter,
    evaluate,
    field_kinds,
    resolve_field,
)
from lookalike.filters.language import Condition, Either, Every, Filter, Negation, parse_filter

__all__ = [
    "ATTRIBUTE_PREFIX",
    "Condition",
    "Either",
    "Every",
    "FieldKind",
    "Filter",
    "Negation",
    "check_filter",
    "evaluate",
    "field_kinds",
    "parse_filter",
    "resolve_field",
]
