"""Table: numbers about many maps, such as averages over a corpus or agreements between methods."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps import storage
from hf_saliency.maps.fields import json_object, string
from hf_saliency.maps.spans import Places, words
from hf_saliency.maps.static_html import static_table
from hf_saliency.maps.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from hf_saliency.maps.saliency_map import SaliencyMap


FORMAT = "hf_saliency.Table"
VERSION = 1

_KINDS = {"U": "string", "f": "float", "i": "integer", "b": "boolean"}
_DTYPES = {"string": np.str_, "float": np.float64, "integer": np.int64, "boolean": np.bool_}
_ROWS = 20
_WIDTH = 80


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Named columns of equal length, with a note on the measured quantity.

    :func:`hf_saliency.summarize`, :func:`hf_saliency.agreement_matrix` and the metrics return tables. A table needs
    neither pandas nor the maps that it comes from. Its columns are copied and read-only. Two tables are equal if
    all their contents are equal; NaN equals NaN.

    These columns have a fixed meaning, and marks look them up by name:

    ============================ =======================================================================
    ``value``                    the measured number
    ``low``, ``high``            ends of its interval (named in ``facts["interval"]``); NaN where unknown
    ``n``                        number of texts (or pairs of maps) behind the value
    ``label``                    name of the row: a word, a token, a method
    ``group``                    the line, colour or panel that a row belongs to
    ``position``                 distance from the target in tokens, negative before it
    ``x``                        a point of a curve; ``facts["x"]`` names the quantity
    ``first``, ``second``        the two maps of a pair
    ============================ =======================================================================

    Each mark draws the tables that have its columns; those in brackets are optional:

    =============== =======================================================================
    ``Ranking``     ``label``, ``value`` [``low``, ``high``, ``n``, ``group``]
    ``Profile``     ``position``, ``value`` [``low``, ``high``, ``n``, ``group``]
    ``Agreements``  ``first``, ``second``, ``value`` [``n``]
    ``Curves``      ``x``, ``value`` [``low``, ``high``, ``n``, ``group``]
    ``Dots``        ``label``, ``value`` [``low``, ``high``, ``n``, ``group``]
    =============== =======================================================================

    Parameters
    ----------
    columns
        An array of shape (rows,) for each name: strings, floats, integers or bools. Floats become float64,
        and integers become int64.
    measure
        Name of ``value`` for an axis, such as ``"mean share of the row"``.
    facts
        How it was measured, as JSON values: ``method``, ``unit``, ``normalization``, ``n``, ``interval``, ``seed``.

    Raises
    ------
    SaliencyError
        If the columns differ in length, or hold values of other types.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> table = hs.Table({"label": ["tea", "coffee"], "value": [0.5, 0.25]}, "mean share of the row", {"n": 12})
    >>> table
    Table: 2 rows, mean share of the row
      n=12
      label   value
      tea      0.5
      coffee   0.25
    >>> table["value"].sum()
    np.float64(0.75)
    """

    columns: Mapping[str, Any]  # as given; arrays after construction
    measure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Mapping):
            raise SaliencyError(
                f"columns is a dictionary of arrays, not {type(self.columns).__name__}: "
                "Table({'label': ['tea'], 'value': [0.5]})."
            )
        columns = {string(name, "a column's name"): _column(name, v) for name, v in self.columns.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise SaliencyError(
                f"the columns differ in length: {lengths}. Give one value per row in each column."
            )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "measure", string(self.measure, "measure"))
        object.__setattr__(self, "facts", json_object(self.facts, "facts"))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __bool__(self) -> bool:  # a result without rows is still a result
        return True

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            values: np.ndarray = self.columns[name]
            return values
        except KeyError:
            names = ", ".join(map(repr, self.columns)) or "none"
            raise SaliencyError(f"this table has no column {name!r}; its columns are {names}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Any:
        raise SaliencyError(
            "a table is not a sequence: use table['value'], table.columns or table.to_dataframe()."
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return (
            (self.measure, self.facts) == (other.measure, other.facts)
            and list(self.columns) == list(other.columns)
            and all(_equal(values, other.columns[name]) for name, values in self.columns.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        about, facts, more = self._notes()
        lines = [f"Table: {about}", *([f"  {facts}"] if facts else []), *_aligned(self.columns)]
        return "\n".join([*(_short(line) for line in lines), *([f"  ... {more}"] if more else [])])

    def _repr_html_(self) -> str:
        """HTML of the same rows, without a script, for a notebook that has the table as the last value of a cell."""
        about, facts, more = self._notes()
        text = {name for name, values in self.columns.items() if values.dtype.kind == "U"}
        return static_table(about, facts, _cells(self.columns), text, f"and {more}" if more else "")

    def _notes(self) -> tuple[str, str, str]:
        """The table's size and measure, its facts, and the number of rows that are not shown."""
        about = ", ".join(filter(None, [counted(len(self), "row"), self.measure]))
        facts = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        left = len(self) - _ROWS
        return about, facts, counted(left, "more row") if left > 0 else ""

    def select(self, rows: Any) -> Table:
        """Select rows.

        Parameters
        ----------
        rows
            An index of a NumPy array of shape (rows,): a slice, bools or integers.

        Returns
        -------
        Table

        Examples
        --------
        >>> import hf_saliency as hs
        >>> table = hs.Table({"label": ["tea", "coffee"], "value": [0.5, 0.25]})
        >>> table.select(table["value"] > 0.3)["label"].tolist()
        ['tea']
        """
        index = (
            rows
            if isinstance(rows, slice)
            else np.atleast_1d(np.asarray(rows, dtype=None if len(rows) else int))
        )
        try:
            columns = {name: values[index] for name, values in self.columns.items()}
        except IndexError as error:
            raise SaliencyError(f"select({rows!r}): this table has {len(self)} rows ({error}).") from error
        return Table(columns, self.measure, self.facts)

    @checks_call
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to one JSON file, in one step.

        Parameters
        ----------
        path
            Where to write; an existing file is replaced once the new one is complete.

        Raises
        ------
        SaliencyError
            If the path cannot be written, or has the suffix of another format than JSON.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> table = hs.Table({"label": ["tea"], "value": [0.5]})
        >>> table.save("table.json")
        >>> hs.Table.load("table.json") == table
        True
        """
        content = {
            "measure": self.measure,
            "facts": self.facts,
            "columns": [
                {"name": name, "type": _KINDS[v.dtype.kind], "values": storage.json_safe(v.tolist())}
                for name, v in self.columns.items()
            ],
        }
        storage.check_table_suffix(storage.checked_path(path, "table.json"))
        document = storage.envelope(FORMAT, VERSION, "table", content)
        storage.write_file(path, storage.encode(json.dumps(document, ensure_ascii=False, allow_nan=False)))

    @classmethod
    @checks_call
    def load(cls, path: str | os.PathLike[str]) -> Table:
        """Read a table that :meth:`save` wrote; it equals the saved one.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Table

        Raises
        ------
        SaliencyError
            If the file cannot be read, is not a table, is damaged, or has a newer format.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> hs.Table({"value": [1.0]}).save("table.json")
        >>> len(hs.Table.load("table.json"))
        1
        """
        name = repr(storage.checked_path(path))
        data = storage.read_file(path, storage.LARGEST_DOCUMENT)
        try:
            document = storage.parsed(data.decode())
        except (ValueError, RecursionError) as error:
            raise SaliencyError(f"{name} is damaged or not a table: it is not JSON ({error}).") from error
        content = storage.opened(document, FORMAT, VERSION, "table", name, "table")
        try:
            columns: dict[str, np.ndarray] = {
                each["name"]: np.array(each["values"], dtype=_DTYPES[each["type"]])
                for each in content["columns"]
            }
            return cls(columns, content["measure"], content["facts"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SaliencyError(f"{name} is damaged ({type(error).__name__}: {error}).") from error

    @checks_call
    def to_dataframe(self) -> pd.DataFrame:
        """Return the columns as a pandas DataFrame; ``measure`` and ``facts`` are in its ``attrs``.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        SaliencyError
            If pandas is not installed.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> table = hs.Table({"label": ["tea"], "value": [0.5]})
        >>> table.to_dataframe().shape  # doctest: +SKIP
        (1, 2)
        """
        frame = dataframe({name: values.copy() for name, values in self.columns.items()})
        frame.attrs = {"measure": self.measure, **self.facts}
        return frame

    @checks_call
    def plot(self, mark: Any = None, **options: Any) -> Any:
        """Draw the table: ``table.plot(mark, width=3.25)`` is ``hs.figure(table, mark, width=3.25)``.

        Parameters
        ----------
        mark
            How to draw it, such as ``hs.Ranking()``; the class docstring lists the columns that each mark needs.
        **options
            As for :func:`hf_saliency.figure`.

        Returns
        -------
        Figure
        """
        from hf_saliency.render.figure import figure

        return figure(self, mark, **options)


def dataframe(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a DataFrame of columns; raise an error with the command to install pandas if it is missing."""
    try:
        import pandas
    except ImportError as error:
        raise SaliencyError(
            "to_dataframe needs pandas, which is not installed: pip install pandas."
        ) from error
    return pandas.DataFrame(columns)


def _column(name: str, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """A read-only copy in one of the four dtypes."""
    array = np.array(values)
    if array.ndim == 1 and array.size == 0 and array.dtype.kind != "U":
        array = array.astype(
            np.int64 if array.dtype.kind in "iu" else bool if array.dtype.kind == "b" else float
        )
    kind = "i" if array.dtype.kind == "u" else array.dtype.kind
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.tolist()):
        array, kind = array.astype(str), "U"
    # NumPy makes strings of mixed lists: Table({"value": [1, "a"]}).
    mixed = kind == "U" and not isinstance(values, np.ndarray) and not all(isinstance(v, str) for v in values)
    if array.ndim != 1 or kind not in _KINDS or mixed:
        raise SaliencyError(
            f"column {name!r} holds {array.dtype} of shape {array.shape}: give one string, number or bool per row, "
            "all of one type."
        )
    if kind != "U":
        array = array.astype(_DTYPES[_KINDS[kind]])
    array.flags.writeable = False
    return array


def _equal(column: np.ndarray, other: np.ndarray) -> bool:
    return column.dtype.kind == other.dtype.kind and np.array_equal(
        column, other, equal_nan=column.dtype.kind == "f"
    )


def _cells(columns: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The first rows in printed form: numbers are rounded, and their decimal points are aligned."""
    cells = {}
    for name, values in columns.items():
        first = values[:_ROWS].tolist()
        if values.dtype.kind == "f":
            cells[name] = _points([f"{value:.4g}" for value in first])
        else:
            cells[name] = [" ".join(str(value).split()) for value in first]
    return cells


def _aligned(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Lines of a header and the first rows; text is aligned left, numbers right by their decimal points."""
    fields = []
    for name, shown in _cells(columns).items():
        width = max(map(len, [name, *shown]))
        flush = str.ljust if columns[name].dtype.kind == "U" else str.rjust
        fields.append([flush(text, width) for text in [name, *shown]])
    return ["  " + "  ".join(row).rstrip() for row in zip(*fields, strict=True)]


def _points(numbers: list[str]) -> list[str]:
    """Pad numbers on the right, so that their decimal points are aligned."""
    tails = [len(number) - number.find(".") if "." in number else 0 for number in numbers]
    return [number + " " * (max(tails) - tail) for number, tail in zip(numbers, tails, strict=True)]


def _short(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."


def score_columns(maps: Iterable[SaliencyMap]) -> dict[str, np.ndarray]:
    """The columns of :func:`to_dataframe` as NumPy arrays."""
    parts: list[dict[str, list[Any]]] = [_columns(number, heat) for number, heat in enumerate(maps)]
    names = parts[0] if parts else {}
    return {name: np.array([value for part in parts for value in part[name]]) for name in names}


def _columns(number: int, heat: SaliencyMap) -> dict[str, list[Any]]:
    rows, width = heat.scores.shape
    of_token: dict[str, list[Any]] = {
        "token": list(range(width)),
        "piece": [token.piece for token in heat.tokens],
        "label": list(heat.labels),
        "word": word_numbers(heat),
        "text_index": [token.text_index for token in heat.tokens],
        "start": [token.start for token in heat.tokens],
        "end": [token.end for token in heat.tokens],
        "special": [token.special for token in heat.tokens],
    }
    of_target: dict[str, list[Any]] = {
        "target": list(range(rows)),
        "target_label": [target.label for target in heat.targets],
        "against": [target.against or "" for target in heat.targets],
        "target_position": [-1 if target.position is None else target.position for target in heat.targets],
        "target_score": [target.score for target in heat.targets],
        "unit": [target.unit for target in heat.targets],
        "probability": [_number(target.probability) for target in heat.targets],
        "against_probability": [_number(target.against_probability) for target in heat.targets],
        "missed_sum": [np.nan] * rows if heat.missed_sums is None else heat.missed_sums.tolist(),
    }
    return {
        "map_index": [number] * (rows * width),
        "method": [heat.method] * (rows * width),
        **{name: [value for value in values for _ in range(width)] for name, values in of_target.items()},
        **{name: values * rows for name, values in of_token.items()},
        "score": heat.scores.astype(float).ravel().tolist(),
        "normalized": heat.normalized("row_max").astype(float).ravel().tolist(),
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def word_numbers(heat: SaliencyMap) -> list[int]:
    """The number of the first word that each token touches; -1 for special tokens and white space."""
    places = [Places(words(text)) for text in heat.texts]
    numbers = []
    for token in heat.tokens:
        touched = [] if token.special else places[token.text_index].overlapping(token.start, token.end)
        numbers.append(touched[0] if touched else -1)
    return numbers
