from __future__ import annotations

import datetime
import decimal
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import MetadataError
from lookalike.metadata import MetadataTable, RowProblem, is_metadata, read_metadata
from lookalike.metadata.columns import MAX_CELL_CHARACTERS, typed_column
from lookalike.metadata.table import MAX_PROBLEMS


def csv_table(text: str, encoding: str = "utf-8") -> MetadataTable:
    return read_metadata("m.csv", text.encode(encoding))


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def attributes(table: MetadataTable) -> list[dict[str, Any]]:
    return [dict(row.attributes) for row in table.rows]


def column(*cells: object) -> tuple[list[object], list[RowProblem]]:
    problems: list[RowProblem] = []
    return list(typed_column("x", range(1, len(cells) + 1), cells, problems)), problems


EXPECTED = [
    ("shoes/1.jpg", "shoes", "P1", "Red shoe", {"price": 12.5, "stock": 3, "new": True, "brand": "Acme"}),
    ("shoes/2.jpg", None, None, None, {"price": 20.0}),
]


def facts(table: MetadataTable) -> list[tuple[object, ...]]:
    assert table.problems == []
    return [(r.id, r.category, r.product_id, r.title, dict(r.attributes)) for r in table.rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_any_delimiter(delimiter: str) -> None:
    lines = [
        ["file", "category", "product_id", "title", "price", "stock", "new", "brand"],
        ["shoes/1.jpg", "shoes", "P1", "Red shoe", "12.5", "3", "true", "Acme"],
        ["shoes/2.jpg", "", "", "", "20", "", "", ""],
    ]
    assert facts(csv_table("\n".join(delimiter.join(line) for line in lines))) == EXPECTED


def test_jsonl() -> None:
    lines = [
        {"file": "shoes/1.jpg", "category": "shoes", "product_id": "P1", "title": "Red shoe"}
        | {"price": 12.5, "stock": 3, "new": True, "brand": "Acme"},
        {"file": "shoes/2.jpg", "price": 20, "title": None},
    ]
    data = "\n\n".join(map(json.dumps, lines)).encode()
    assert facts(read_metadata("m.jsonl", data)) == EXPECTED


def test_parquet() -> None:
    table = pa.table(
        {
            "file": ["shoes/1.jpg", "shoes/2.jpg"],
            "category": pa.array(["shoes", None]).dictionary_encode(),
            "product_id": ["P1", None],
            "title": ["Red shoe", None],
            "price": [12.5, 20.0],
            "stock": pa.array([3, None], pa.int16()),
            "new": [True, None],
            "brand": ["Acme", None],
        }
    )
    assert facts(read_metadata("m.parquet", parquet(table))) == EXPECTED


def test_parquet_types_that_json_has_not() -> None:
    table = pa.table(
        {
            "file": ["a"],
            "day": [datetime.date(2024, 2, 29)],
            "at": pa.array([datetime.datetime(2024, 2, 29, 12)], pa.timestamp("s")),
            "price": [decimal.Decimal("1.25")],
            "tags": [["x", "y"]],
        }
    )
    found = read_metadata("m.parquet", parquet(table))
    assert attributes(found) == [{"day": "2024-02-29", "at": "2024-02-29 12:00:00.000", "price": 1.25}]
    assert found.problems == [RowProblem(0, "tags: nested and binary columns cannot be kept")]


def test_whole_floats_of_a_table_program_become_plain_product_ids() -> None:
    """pandas turns an integer column with gaps into floats."""
    table = pa.table({"id": ["a", "b"], "product_id": pa.array([123.0, None], pa.float64())})
    found = read_metadata("m.parquet", parquet(table))
    assert [row.product_id for row in found.rows] == ["123", None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(encoding: str) -> None:
    table = csv_table("file;title\ncafé/1.jpg;Crème brûlée\n", encoding)
    assert [(row.id, row.title) for row in table.rows] == [("café/1.jpg", "Crème brûlée")]
    assert table.problems == []


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("./a/b.jpg", "a/b.jpg"),
        (".//./a.jpg", "a.jpg"),
        ("images/a/b.jpg", "a/b.jpg"),
        ("./images/a/b.jpg", "a/b.jpg"),
        ("/a.jpg", "a.jpg"),
        ("shoes\\red\\1.jpg", "shoes/red/1.jpg"),
        ("  padded.jpg ", "padded.jpg"),
        ('o\'neill "x".jpg', 'o\'neill "x".jpg'),
    ],
)
def test_ids_as_people_write_them(given_id: str, expected: str) -> None:
    line = json.dumps({"id": given_id})
    assert [row.id for row in read_metadata("m.jsonl", line.encode()).rows] == [expected]


@pytest.mark.parametrize(
    ("given_id", "ids"),
    [
        ("images/a.jpg", {"a.jpg", "images/a.jpg"}),
        ("a\\b.jpg", {"a/b.jpg", "a\\b.jpg"}),
        (" lead.jpg", {"lead.jpg", " lead.jpg"}),
        ("cafe\u0301.jpg", {"caf\u00e9.jpg"}),
        ("x.jpg#2", {"x.jpg#2"}),
    ],
)
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.parquet"])
def test_a_path_that_can_be_read_in_two_ways_describes_both_items(
    name: str, given_id: str, ids: set[str]
) -> None:
    data = {
        "m.csv": f"file\n{given_id}\n".encode(),
        "m.jsonl": json.dumps({"file": given_id}).encode(),
        "m.parquet": parquet(pa.table({"file": [given_id]})),
    }
    table = read_metadata(name, data[name])
    assert [{row.id, *row.other_ids} for row in table.rows] == [ids]
    assert table.problems == []


def test_a_row_that_names_an_id_exactly_is_the_one_that_describes_it() -> None:
    table = csv_table("file,title\nimages/a.jpg,One\na.jpg,Two\n b.jpg,Three\nb.jpg,Four\n")
    titles = {item_id: row.title for row in table.rows for item_id in (row.id, *row.other_ids)}
    assert titles == {"images/a.jpg": "One", "a.jpg": "Two", " b.jpg": "Three", "b.jpg": "Four"}
    assert table.problems == []


def test_metadata_of_an_upload_describes_exactly_one_item() -> None:
    data = json.dumps({"file": "images/images/ a\\b.jpg"}).encode()
    row = read_metadata("uploads/x.jsonl", data).rows[0]
    assert (row.id, row.other_ids) == ("images/ a\\b.jpg", ())


@pytest.mark.parametrize(
    "given_id", ["", " ", "../x.jpg", "a/../b", "a//b", "a/", "tab\tname", "x" * 1025, None]
)
def test_ids_that_name_no_image_are_reported_by_row(given_id: str | None) -> None:
    lines = [{"file": "good.jpg"}, {"file": given_id}, {"file": "fine.jpg"}]
    table = read_metadata("m.jsonl", "\n".join(map(json.dumps, lines)).encode())
    assert [row.id for row in table.rows] == ["good.jpg", "fine.jpg"]
    assert table.problems == [RowProblem(2, "no usable file; skipped")]


def test_column_names_are_trimmed_and_reserved_ones_known_in_any_case() -> None:
    table = csv_table(" File , Product_ID,TITLE,Category, Unit Price ,ID\na.jpg,P,T,C,3,7\n")
    row = table.rows[0]
    assert (row.id, row.product_id, row.title, row.category) == ("a.jpg", "P", "T", "C")
    assert row.attributes == {"Unit Price": 3}
    assert table.problems == [RowProblem(0, "both file and id are given; file is used, id is left out")]


def test_a_column_twice_and_a_column_of_no_name() -> None:
    table = csv_table(",file,price,price\n0,a.jpg,1,2\n")
    assert attributes(table) == [{"price": 1}]
    assert table.problems == [RowProblem(1, "column price appears twice; the first is used")]


def test_of_two_rows_with_one_id_the_last_wins() -> None:
    table = csv_table("file,price\na.jpg,1\nb.jpg,2\n./a.jpg,3\n")
    assert {row.id: row.attributes["price"] for row in table.rows} == {"a.jpg": 3, "b.jpg": 2}
    assert table.problems == [RowProblem(2, "a.jpg appears again in row 4; that row is used")]


def test_ragged_rows_are_skipped_by_number() -> None:
    table = csv_table("file,a,b\n1.jpg,1,2\n2.jpg,1\n3.jpg,1,2,3\n4.jpg,1,2,,\n\n5.jpg,3,4\n")
    assert [row.id for row in table.rows] == ["1.jpg", "4.jpg", "5.jpg"]
    assert table.problems == [
        RowProblem(3, "2 cells, the header has 3; skipped"),
        RowProblem(4, "4 cells, the header has 3; skipped"),
    ]


def test_cells_with_line_breaks_keep_the_count_of_lines() -> None:
    table = csv_table('file,title\na.jpg,"two\nlines"\nb.jpg\nc.jpg,"quoted, with ""quotes"""\n')
    assert [row.title for row in table.rows] == ["two\nlines", 'quoted, with "quotes"']
    assert table.problems == [RowProblem(4, "1 cells, the header has 2; skipped")]


def test_a_missing_quote_is_suspected() -> None:
    table = csv_table('file,title\na.jpg,fine\nb.jpg,"oops\nc.jpg,x\nd.jpg,y","z"\ne.jpg,fine\n')
    assert [row.id for row in table.rows] == ["a.jpg", "e.jpg"]
    assert [problem.row for problem in table.problems] == [3]
    assert "is a quote missing?" in table.problems[0].message


def test_a_field_over_csvs_own_limit_costs_only_its_row() -> None:
    table = csv_table(f"file,title\na.jpg,one\nb.jpg,{'x' * 140_000}\nc.jpg,two\n")
    assert [row.id for row in table.rows] == ["a.jpg", "c.jpg"]
    assert [problem.row for problem in table.problems] == [3]


def test_a_huge_cell_is_left_out_and_its_row_kept() -> None:
    huge = "x" * (MAX_CELL_CHARACTERS + 1)
    table = csv_table(f"file,title,note\na.jpg,{huge},{huge}\nb.jpg,fine,fine\n")
    assert [(row.id, row.title, dict(row.attributes)) for row in table.rows] == [
        ("a.jpg", None, {}),
        ("b.jpg", "fine", {"note": "fine"}),
    ]
    assert [problem.row for problem in table.problems] == [2, 2]


def test_nul_characters_are_left_out_and_reported() -> None:
    table = csv_table("file,title\na\0.jpg,A\0B\n")
    assert [(row.id, row.title) for row in table.rows] == [("a.jpg", "AB")]
    assert table.problems == [RowProblem(0, "2 NUL characters were left out")]


def test_bad_lines_of_jsonl_are_skipped_by_number() -> None:
    lines = ['{"file": "a"}', "{oops", "[1]", '"text"', "[" * 100_000, '{"file": "b"}']
    table = read_metadata("m.jsonl", "\n".join(lines).encode())
    assert [row.id for row in table.rows] == ["a", "b"]
    assert [problem.row for problem in table.problems] == [2, 3, 4, 5]


def test_nested_and_unreal_values_are_left_out() -> None:
    lines = ['{"file": "a", "x": [1], "y": NaN, "z": 1, "title": {"a": 1}}', '{"file": "b", "x": 2, "y": 3}']
    table = read_metadata("m.jsonl", "\n".join(lines).encode())
    assert attributes(table) == [{"z": 1}, {"x": 2, "y": 3}]
    assert table.rows[0].title is None
    assert [problem.row for problem in table.problems] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("m.xlsx", b"", "unknown kind"),
        ("m.csv", b"", "is empty"),
        ("m.csv", b" \n\n", "is empty"),
        ("m.csv", b"name,price\na,1\n", "columns name, price; expected a column file or id"),
        ("m.jsonl", b'{"name": 1}', "expected a column file or id"),
        ("m.parquet", b"PAR1 but not really", "not Parquet"),
        ("m.parquet", b"", "not Parquet"),
    ],
)
def test_files_that_cannot_be_read_at_all(name: str, data: bytes, match: str) -> None:
    with pytest.raises(MetadataError, match=match):
        read_metadata(name, data)


def test_too_many_columns() -> None:
    header = ",".join(["file", *(f"c{number}" for number in range(500))])
    with pytest.raises(MetadataError, match="too many columns"):
        csv_table(f"{header}\n{'x,' * 500}x\n")


def test_problems_are_bounded_and_the_rest_counted() -> None:
    bad = MAX_PROBLEMS + 25
    table = csv_table("file,x\n" + "\n".join(["only-one-cell"] * bad))
    assert len(table.problems) == MAX_PROBLEMS + 1
    assert table.problems[-1].message == "and 25 more problems"


def test_which_names_are_metadata() -> None:
    names = ("a.csv", "B.CSV", "x/y.jsonl", "z.parquet", "t.tsv", "n.ndjson", "readme.txt", "csv", "a.csv.gz")
    assert [name for name in names if is_metadata(name)] == list(names[:6])


# One type per column


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "+3"], [1, -2, 3]),
        (["1", "2.5", ".5", "1e3"], [1.0, 2.5, 0.5, 1000.0]),
        (["true", "FALSE"], [True, False]),
        (["a", "1"], ["a", "1"]),
        (["", None], [None, None]),
        (["1", ""], [1, None]),
        (["1,5", "2"], ["1,5", "2"]),
        (["nan", "inf"], ["nan", "inf"]),
        ([".", "e5"], [".", "e5"]),
        (["1e999"], ["1e999"]),
        (["9" * 30], ["9" * 30]),
        ([1, 2.5], [1.0, 2.5]),
        ([True, False], [True, False]),
        ([True, 1], ["true", "1"]),
        ([2**80], [str(2**80)]),
    ],
)
def test_the_type_of_a_column(cells: list[object], expected: list[object]) -> None:
    values, problems = column(*cells)
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]
    assert problems == []


def test_one_odd_cell_among_many_numbers_is_left_out() -> None:
    values, problems = column(*["1.5"] * 40, "n/a")
    assert values == [1.5] * 40 + [None]
    assert problems == [RowProblem(41, "x: 'n/a' is not a number like the rest; left out")]


def test_a_column_of_sizes_stays_text() -> None:
    cells = ["38", "39", "40", "41", "M", "42", "43", "44", "45"]
    assert column(*cells) == (cells, [])


def test_a_leading_zero_makes_codes_of_all() -> None:
    cells = [*map(str, range(1, 100)), "00420"]
    assert column(*cells) == (cells, [])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)), max_size=30
    )
)
def test_every_column_gets_one_type_and_loses_nothing_silently(cells: list[object]) -> None:
    values, problems = column(*cells)
    assert len({type(value) for value in values if value is not None}) <= 1
    filled = {row for row, cell in enumerate(cells, 1) if cell is not None and cell != ""}
    kept = {row for row, value in enumerate(values, 1) if value is not None}
    assert filled - kept == {problem.row for problem in problems}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(["m.csv", "m.jsonl", "m.parquet"]), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    try:
        table = read_metadata(name, data)
    except MetadataError:
        return
    assert len({row.id for row in table.rows}) == len(table.rows)
    assert all(row.id for row in table.rows)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z0-9 ,;'\"ü]{1,8}", fullmatch=True), st.text("ab,;\"\n\t'|é", max_size=6)
        ),
        max_size=8,
        unique_by=lambda pair: pair[0].strip(),
    )
)
def test_what_pythons_csv_writes_is_read_back(pairs: list[tuple[str, str]]) -> None:
    import csv

    rows = [(f"f/{name.strip()}.jpg", title.strip() or None) for name, title in pairs if name.strip()]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["file", "title"])
    writer.writerows([(name, title or "") for name, title in rows])
    table = csv_table(out.getvalue())
    assert [(row.id, row.title) for row in table.rows] == rows
    assert table.problems == []
