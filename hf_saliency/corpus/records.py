"""Records: the texts of a corpus with their keys, their targets and their carried columns."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from hf_saliency.errors import SaliencyError, integer

Key = int | str

STORED = {
    "maps": (
        *("key", "number", "digest", "texts", "text_names", "tokens", "targets", "scores", "scale"),
        *("convergence_delta", "missed_sums"),
    ),
    "failures": ("key", "number", "digest", "text", "reason"),
}
"""The columns of each kind of file, without the carried ones."""

RESERVED = tuple(dict.fromkeys(name for names in STORED.values() for name in names))
"""Names that no carried column may have."""


@dataclass(frozen=True)
class Record:
    """One text of a corpus, before it is explained."""

    number: int
    key: Key
    text: Any
    place: Any  # the value of the target column: the word, label, answer or choice to explain
    carried: tuple[Any, ...]

    @property
    def digest(self) -> int:
        """A 64-bit hash of the text, its target and its carried columns, the same in every process."""
        content = repr((self.text, self.place, self.carried)).encode("utf-8", "backslashreplace")
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


@dataclass(frozen=True)
class Columns:
    """The role of each column of a table: ``carried`` columns are kept; without ``key``, the keys are row numbers."""

    text: str
    pair: str | None
    key: str | None
    target: str | None
    carried: tuple[str, ...]

    def __post_init__(self) -> None:
        named = [
            name for name in (self.text, self.pair, self.key, self.target, *self.carried) if name is not None
        ]
        for name in named:
            if not isinstance(name, str):
                raise SaliencyError(f"a column is named by a string, not {name!r}: text='sentence'.")
        for name in self.carried:
            if name in RESERVED:
                raise SaliencyError(
                    f"the carried column {name!r} has the name of a column of the corpus itself: rename it. The names "
                    f"in use are {', '.join(RESERVED)}."
                )

    @property
    def beyond_text(self) -> bool:
        """Whether a column other than the text's is named, so that the source must be a table."""
        return any((self.pair, self.key, self.target, *self.carried))


def size_of(source: Any) -> int | None:
    """Return the number of texts of a source, or None if it is unknown."""
    rows = getattr(source, "num_rows", None)
    return rows if isinstance(rows, int) else len(source) if isinstance(source, Sized) else None


def records(source: Any, columns: Columns, *, keyed: bool) -> Iterator[Record]:
    """Yield the records of a source, which holds texts, pairs of a key and a text, or the rows of a table."""
    keys: set[Key] = set()
    kind: type | None = None
    for number, element in enumerate(_elements(source)):
        if isinstance(element, Mapping):
            record = _of_row(number, element, columns)
        elif columns.beyond_text:
            raise SaliencyError(
                f"texts[{number}] is a {type(element).__name__}, which has no columns: give rows (dictionaries, a "
                "DataFrame, a Dataset, a Table), or leave the names of columns out."
            )
        elif keyed:
            if not isinstance(element, (tuple, list)) or len(element) != 2:
                raise SaliencyError(
                    f"texts[{number}] is not a pair of a key and a text: give (key, text), or omit keyed=."
                )
            record = Record(number, _key(element[0], f"texts[{number}]"), element[1], None, ())
        else:
            record = Record(number, number, element, None, ())
        if kind not in (None, type(record.key)):
            raise SaliencyError(
                f"texts[{number}] has the key {record.key!r}, but the keys before it are of the type "
                f"{kind.__name__}: give one type of keys."
            )
        kind = type(record.key)
        if keyed or columns.key is not None:  # numbers never repeat
            if record.key in keys:
                raise SaliencyError(
                    f"the key {record.key!r} occurs twice, the second time at texts[{number}]: each text needs a key "
                    "of its own."
                )
            keys.add(record.key)
        yield record


def _elements(source: Any) -> Iterator[Any]:
    """Iterate over the texts or rows of a source; the rows of a table are dictionaries."""
    if isinstance(source, (str, bytes, Mapping)) or not (
        isinstance(source, Iterable) or hasattr(source, "to_batches")
    ):
        raise SaliencyError(
            f"write_corpus(explainer, texts, folder) takes texts one after the other, not "
            f"{type(source).__name__}: give a list, a generator, an open file, or a table."
        )
    if hasattr(source, "to_batches"):  # a pyarrow Table or Dataset
        return itertools.chain.from_iterable(batch.to_pylist() for batch in source.to_batches())
    if hasattr(source, "iter_rows") and hasattr(source, "columns"):  # Polars
        return iter(source.iter_rows(named=True))
    if hasattr(source, "itertuples") and hasattr(source, "columns"):  # pandas
        names = list(source.columns)
        return (
            dict(zip(names, map(_plain, row), strict=True))
            for row in source.itertuples(index=False, name=None)
        )
    if hasattr(source, "read") and hasattr(source, "readline"):  # an open file
        return (line.rstrip("\r\n") for line in source)
    return iter(source)


def _of_row(number: int, row: Mapping[str, Any], columns: Columns) -> Record:
    text = _cell(row, columns.text, number)
    if columns.pair is not None:
        text = (text, _cell(row, columns.pair, number))
    key: Key = number
    if columns.key is not None:
        key = _key(_cell(row, columns.key, number), f"the column {columns.key!r} of texts[{number}]")
    place = None if columns.target is None else _cell(row, columns.target, number)
    return Record(number, key, text, place, tuple(_cell(row, name, number) for name in columns.carried))


def _cell(row: Mapping[str, Any], name: str, number: int) -> Any:
    try:
        return _plain(row[name])
    except KeyError:
        there = ", ".join(map(repr, row)) or "none"
        raise SaliencyError(f"texts[{number}] has no column {name!r}; its columns are {there}.") from None


def _plain(value: Any) -> Any:
    """Convert a NumPy scalar to a Python value."""
    return value.item() if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 else value


def _key(value: Any, name: str) -> Key:
    if isinstance(value, str):
        return str(value)
    number = integer(value)
    if number is None:
        raise SaliencyError(f"{name}: the key {value!r} is neither a string nor a whole number.")
    return number


def blocks(source: Iterator[Record], size: int) -> Iterator[Sequence[Record]]:
    """Yield lists of at most ``size`` records; if the source raises an error, yield the records before it first."""
    error: Exception | None = None
    while error is None:
        block: list[Record] = []
        try:
            for record in itertools.islice(source, size):
                block.append(record)
        except Exception as raised:
            error = raised
        if block:
            yield block
        elif error is None:
            return
    raise error
