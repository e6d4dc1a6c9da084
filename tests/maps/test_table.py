"""Table: columns, checks, files and printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table

TABLE = Table(
    {
        "label": ["tea", "grün 中文", ""],
        "value": [0.5, np.nan, -np.inf],
        "n": np.array([3, 2, 1], np.int32),
        "odd": [True, False, True],
    },
    "mean share of the row",
    {"n": 3, "seed": 0, "interval": ["bootstrap", 0.95]},
)


def test_columns_have_four_types_and_cannot_be_changed() -> None:
    assert [TABLE[name].dtype.kind for name in TABLE.columns] == ["U", "f", "i", "b"]
    assert (TABLE["value"].dtype, TABLE["n"].dtype) == (np.float64, np.int64)
    with pytest.raises(ValueError, match="read-only"):
        TABLE["value"][0] = 1


def test_what_it_is_made_of_stays_the_callers() -> None:
    values = np.array([1.0, 2.0])
    table = Table({"value": values})
    values[0] = 7
    assert table["value"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([1, 2], "columns is a dictionary of arrays, not list"),
        ({"a": [1], "b": [1, 2]}, "the columns differ in length"),
        ({"a": [[1, 2]]}, r"column 'a' holds int64 of shape \(1, 2\)"),
        ({"a": 3}, r"of shape \(\)"),
        ({"a": [1, "x"]}, "all of one type"),
        ({"a": [None]}, "all of one type"),
        ({"a": [1j]}, "all of one type"),
        ({1: [1]}, "a column's name"),
    ],
)
def test_other_columns_are_refused(columns: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        Table(columns)


def test_equality_counts_everything() -> None:
    assert Table(TABLE.columns, TABLE.measure, TABLE.facts) == TABLE
    assert Table(TABLE.columns, TABLE.measure, {}) != TABLE
    assert Table(TABLE.columns, "", TABLE.facts) != TABLE
    assert Table({"a": [1]}) != Table({"a": [1.0]})
    assert Table({"a": [1]}) != Table({"b": [1]})
    assert TABLE != "a table"


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(SaliencyError, match="no column 'low'; its columns are 'label', 'value', 'n', 'odd'"):
        TABLE["low"]
    assert "value" in TABLE
    assert "low" not in TABLE


def test_iteration_says_what_to_do() -> None:
    with pytest.raises(SaliencyError, match="table.columns"):
        list(TABLE)


def test_an_empty_table_is_true_and_has_no_rows() -> None:
    table = Table({"label": np.array([], str), "value": []})
    assert len(table) == 0
    assert table
    assert repr(table) == "Table: 0 rows\n  label  value"


def test_rows_are_selected_as_numpy_does() -> None:
    assert TABLE.select(slice(0, 2))["n"].tolist() == [3, 2]
    assert TABLE.select(TABLE["odd"])["label"].tolist() == ["tea", ""]
    assert TABLE.select([2, 0])["n"].tolist() == [1, 3]
    assert len(TABLE.select([])) == 0
    with pytest.raises(SaliencyError, match="this table has 3 rows"):
        TABLE.select([3])


def test_it_is_not_saved_as_another_format_nor_read_as_a_map(tmp_path: Path) -> None:
    with pytest.raises(SaliencyError, match=r"writes JSON, not .csv: table.to_dataframe\(\)"):
        TABLE.save(tmp_path / "a.csv")
    TABLE.save(tmp_path / "a.json")
    with pytest.raises(SaliencyError, match=r"is not a saliency map: hs.Table.load reads it"):
        SaliencyMap.load(tmp_path / "a.json")


def test_it_reads_back_what_it_wrote(tmp_path: Path) -> None:
    TABLE.save(tmp_path / "table.json")
    again = Table.load(tmp_path / "table.json")
    assert again == TABLE
    assert [values.dtype.kind for values in again.columns.values()] == ["U", "f", "i", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["table"]["columns"][1]["values"].append(1), "does not match its SHA-256"),
        (lambda data: data.update(version=2), "has version 2 of the format, newer than the 1"),
        (lambda data: data.update(format="hf_saliency.SaliencyMap"), "is not a table"),
    ],
)
def test_a_damaged_file_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    TABLE.save(path)
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(SaliencyError, match=message):
        Table.load(path)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[]", b"{}"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SaliencyError, match="table"):
        Table.load(tmp_path / "x")


def test_it_prints_aligned_and_short() -> None:
    assert repr(Table({"label": ["tea", "of"], "value": [0.5, -12.25], "n": [1, 20]}, "score", {"n": 2})) == (
        "Table: 2 rows, score\n  n=2\n  label   value   n\n  tea      0.5    1\n  of     -12.25  20"
    )
    long = Table({"label": ["x" * 200] * 25})
    assert all(len(line) <= 80 for line in repr(long).splitlines())
    assert repr(long).endswith("... 5 more rows")
    assert "Table: 1 row\n" in repr(Table({"a": [1]}))


def test_a_dataframe_has_the_same_columns() -> None:
    pytest.importorskip("pandas")
    frame = TABLE.to_dataframe()
    assert list(frame) == list(TABLE.columns)
    assert frame["n"].tolist() == [3, 2, 1]
    assert frame.attrs == {"measure": TABLE.measure, **TABLE.facts}


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(SaliencyError, match="pip install pandas"):
        TABLE.to_dataframe()
