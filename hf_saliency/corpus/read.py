"""read_corpus: reads the maps of a folder one at a time, by key or by column, or as a table for other programs."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_saliency.corpus.columns import arrow, maps_of
from hf_saliency.corpus.folder import Kind, Shard, description, shards
from hf_saliency.corpus.records import Key
from hf_saliency.errors import SaliencyError, checks_call, one_of, warn
from hf_saliency.maps import storage
from hf_saliency.maps.saliency_map import SaliencyMap

if TYPE_CHECKING:
    import pyarrow

Damaged = Literal["raise", "skip"]

_OWN = ("digest",)  # columns that only a continued run needs


@dataclass(frozen=True, eq=False)
class Corpus:
    """The maps of a folder that :func:`write_corpus` wrote, read one at a time.

    Iteration yields maps in the order of the texts, ``corpus[key]`` is the map of a key, and ``len(corpus)`` is the
    number of maps. Every function that takes maps also takes a corpus: ``hs.summarize(corpus)``.

    Parameters
    ----------
    folder
        The folder.
    description
        The content of ``corpus.json``: the task, the types of the columns, the provenance, whether it is complete.
    damaged
        The names of damaged files, which are left out.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> rows = [{"text": "She drank hot tea.", "topic": "drink"}, {"text": "He ate.", "topic": "food"}]
    >>> corpus = hs.write_corpus(explainer, rows, "corpus", columns=["topic"])
    >>> [heat.texts for heat in corpus.select(topic="food")]
    [('He ate.',)]
    """

    folder: Path
    description: Mapping[str, Any]
    damaged: tuple[str, ...] = ()
    _shards: tuple[Shard, ...] = ()
    _failed: tuple[Shard, ...] = ()
    _conditions: Mapping[str, frozenset[Any]] = dataclasses.field(default_factory=dict)
    _recent: dict[Shard, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def complete(self) -> bool:
        """Whether the run that wrote the corpus finished."""
        return bool(self.description["complete"])

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the carried columns."""
        return tuple(self.description["columns"])

    @property
    def failures(self) -> pyarrow.Table:
        """The texts that could not be explained: ``key``, ``number``, ``text``, ``reason`` and the carried columns."""
        tables = [shard.table().drop_columns(list(_OWN)) for shard in self._failed]
        return _joined(
            [_matching(table, self._conditions) for table in tables], self._empty("text", "reason")
        )

    def __len__(self) -> int:
        return len(self._places) if self._conditions else sum(shard.count() for shard in self._shards)

    def __bool__(self) -> bool:  # a corpus without maps is still a corpus
        return True

    def __iter__(self) -> Iterator[SaliencyMap]:
        return (heat for _, heat in self.items())

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: Key) -> SaliencyMap:
        if key not in self._places:
            raise SaliencyError(
                f"this corpus has no map with the key {key!r}; it has {len(self)}"
                + (f", such as {next(iter(self._places))!r}." if self._places else ".")
            )
        shard, row = self._places[key]
        if shard not in self._recent:  # consecutive keys are often in the same file
            self._recent.clear()
            self._recent[shard] = shard.table()
        ((_, heat),) = _items(shard, self._recent[shard].slice(row, 1))
        return heat

    def __repr__(self) -> str:
        task = self.description["task"]
        state = "complete" if self.complete else "not complete"
        columns = f", columns {', '.join(self.columns)}" if self.columns else ""
        made = f"{task['method']} of {task['model']}"
        return f"Corpus: {len(self)} maps in {str(self.folder)!r}, {made}, {state}{columns}"

    def keys(self) -> list[Key]:
        """Return the keys of the maps, in order.

        Returns
        -------
        list of str or int
        """
        return list(self._places)

    def items(self) -> Iterator[tuple[Key, SaliencyMap]]:
        """Yield pairs of a key and its map, reading one file at a time.

        Yields
        ------
        tuple[Key, SaliencyMap]
            A key and its map.
        """
        for shard in self._shards:
            yield from _items(shard, _matching(shard.table(), self._conditions))

    def select(self, keys: Iterable[Key] | None = None, **values: Any) -> Corpus:
        """Select maps by key, or by values of carried columns.

        Parameters
        ----------
        keys
            The keys to keep; None keeps all.
        **values
            For each carried column, the value or the list of values to keep.

        Returns
        -------
        Corpus
            The selected maps, in the order of the whole corpus.

        Raises
        ------
        SaliencyError
            If the corpus has no such column.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> corpus = hs.write_corpus(hs.Explainer(*hs.load_demo()), ["She drank tea.", "He ate."], "meals")
        >>> corpus.select([1]).keys()
        [1]
        """
        conditions = dict(self._conditions)
        if isinstance(keys, (str, bytes)):
            raise SaliencyError(f"keys={keys!r}: give a list of keys, select([{keys!r}]).")
        chosen: dict[str, Iterable[Any]] = {} if keys is None else {"key": keys}
        for name, value in values.items():
            if name not in self.columns:
                raise self._no_column(name)
            several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
            chosen[name] = value if several else [value]
        for name, values_kept in chosen.items():
            allowed = frozenset(values_kept)
            conditions[name] = conditions.get(name, allowed) & allowed
        return dataclasses.replace(self, _conditions=conditions)

    def column(self, name: str) -> list[Any]:
        """Return the values of a carried column, one per map, for example as groups for :func:`summarize`.

        Parameters
        ----------
        name
            The name of the column, or ``"key"``.

        Returns
        -------
        list

        Raises
        ------
        SaliencyError
            If the corpus has no such column.
        """
        if name != "key" and name not in self.columns:
            raise self._no_column(name)
        values: list[Any] = self.table([name])[name].to_pylist()
        return values

    def table(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Return the corpus as a pyarrow table with one row per text, for pandas, Polars, DuckDB or ``datasets``.

        Parameters
        ----------
        columns
            The columns to return; None returns all. ``docs/corpus_format.md`` lists their names and types.

        Returns
        -------
        pyarrow.Table

        Raises
        ------
        SaliencyError
            If the corpus has no such column, or a file is damaged.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> corpus = hs.write_corpus(hs.Explainer(*hs.load_demo()), ["She drank tea.", "He ate."], "meals")
        >>> corpus.table(["key", "texts"]).to_pylist()
        [{'key': 0, 'texts': ['She drank tea.']}, {'key': 1, 'texts': ['He ate.']}]
        """
        needed = None if columns is None else list(dict.fromkeys([*columns, *self._conditions]))
        tables = []
        for shard in self._shards:
            table = shard.table(needed)
            for name in needed or ():
                if name not in table.column_names:
                    raise self._no_column(name)
            table = _matching(table, self._conditions)
            tables.append(table.drop_columns(list(_OWN)) if columns is None else table.select(list(columns)))
        return _joined(tables, self._empty(*(columns or ())))

    @functools.cached_property
    def _places(self) -> dict[Key, tuple[Shard, int]]:
        """Map each key to the file and the row of its map."""
        places: dict[Key, tuple[Shard, int]] = {}
        for shard in self._shards:
            table = shard.table(["key", *(name for name in self._conditions if name != "key")])
            allowed = set(_matching(table, self._conditions)["key"].to_pylist())
            places |= {key: (shard, i) for i, key in enumerate(table["key"].to_pylist()) if key in allowed}
        return places

    def _empty(self, *names: str) -> Any:
        pa = arrow()
        kind = pa.type_for_alias(self.description["key"])
        types = {"key": kind, "number": pa.int64()}
        fields = [pa.field(name, types.get(name, pa.string())) for name in ("key", "number", *names)]
        return pa.schema({each.name: each.type for each in fields}).empty_table()

    def _no_column(self, name: str) -> SaliencyError:
        names = ", ".join(map(repr, self.columns)) or "none"
        return SaliencyError(f"this corpus carries no column {name!r}; its carried columns are {names}.")


@checks_call
def read_corpus(folder: str | os.PathLike[str], *, damaged: Damaged = "raise") -> Corpus:
    """Open a folder that :func:`write_corpus` wrote, finished or not; each map is read only when it is needed.

    Parameters
    ----------
    folder
        The folder.
    damaged
        How to treat a damaged file: ``"raise"`` raises an error when the file is read; ``"skip"`` checks all files
        now, and leaves out the damaged ones with a warning.

    Returns
    -------
    Corpus

    Raises
    ------
    SaliencyError
        If the folder is not a corpus, or pyarrow is not installed.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> written = hs.write_corpus(explainer, ["She drank hot tea."], "tea")
    >>> for heat in hs.read_corpus("tea"):
    ...     print(heat.scores.shape)
    (7, 9)
    """
    arrow()
    one_of(damaged, get_args(Damaged), "damaged")
    path = Path(storage.checked_path(folder, "attributions"))
    content = description(path)
    kinds: tuple[Kind, ...] = ("maps", "failures")
    files = {kind: shards(path, kind) for kind in kinds}
    broken: list[str] = []
    if damaged == "skip":
        for kind in kinds:
            files[kind] = [shard for shard in files[kind] if not _damage(shard, broken)]
    for name in broken:
        warn(f"{name!r} is damaged and left out.", UserWarning)
    return Corpus(path, content, tuple(broken), tuple(files["maps"]), tuple(files["failures"]))


def _damage(shard: Shard, broken: list[str]) -> bool:
    """Whether a file is damaged; if so, its name is added to ``broken``."""
    try:
        shard.table(["key"])
    except SaliencyError:
        broken.append(shard.path.name)
        return True
    return False


def _items(shard: Shard, table: Any) -> Iterator[tuple[Key, SaliencyMap]]:
    """Yield the key and the map of each row; the file may come from a stranger, so any content must be expected."""
    pa = arrow()
    try:
        head = table.schema.metadata[b"hf_saliency.map"].decode()
        for batch in table.to_batches():
            yield from zip(batch["key"].to_pylist(), maps_of(batch, head), strict=True)
    except (pa.ArrowException, AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise shard.damage(f"its rows cannot be read as maps ({type(error).__name__}: {error})") from error


def _matching(table: Any, conditions: Mapping[str, frozenset[Any]]) -> Any:
    """Keep the rows in which each named column has one of its allowed values."""
    pa, compute = arrow(), arrow("pyarrow.compute")
    for name, values in conditions.items():
        options = [
            value for value in values if type(value) is not bool or pa.types.is_boolean(table[name].type)
        ]
        try:
            allowed = pa.array(options, table[name].type)
        except (pa.ArrowException, TypeError) as error:
            raise SaliencyError(
                f"the column {name!r} has type {table[name].type}, so {options!r} cannot be compared with it: give "
                "values of this type."
            ) from error
        table = table.filter(compute.is_in(table[name], value_set=allowed))
    return table


def _joined(tables: Sequence[Any], empty: Any) -> Any:
    """Concatenate the tables; drop the metadata, since each file has its own."""
    pa = arrow()
    whole = pa.concat_tables(tables) if tables else empty
    return whole.replace_schema_metadata(None)
