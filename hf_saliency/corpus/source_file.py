"""Files of texts: lines, JSON lines, comma-separated values and Parquet, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_saliency.corpus.columns import arrow
from hf_saliency.errors import SaliencyError

_SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class SourceFile:
    """A file of texts; each iteration reads it from the beginning, and ``len`` returns the number of texts or rows.

    A ``.txt`` file has one text per line; empty lines are skipped. The other formats have rows, read as dictionaries.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in _SUFFIXES:
            raise SaliencyError(
                f"{str(self.path)!r}: give a file whose name ends in {', '.join(_SUFFIXES)}: texts, one a line, or "
                "a table."
            )
        try:
            self.path.open("rb").close()
        except OSError as error:
            raise SaliencyError(f"cannot read {str(self.path)!r}: {error.strerror}.") from error

    def __len__(self) -> int:
        if self.path.suffix.lower() == ".parquet":
            return int(self._parquet().metadata.num_rows)
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Any]:
        read = {".txt": self._texts, ".jsonl": self._objects, ".csv": self._cells, ".parquet": self._rows}
        try:
            yield from read[self.path.suffix.lower()]()
        except UnicodeDecodeError as error:
            raise SaliencyError(f"{str(self.path)!r} is not UTF-8 text.") from error
        except csv.Error as error:
            raise SaliencyError(
                f"{str(self.path)!r} is not a table of comma-separated values: {error}."
            ) from error

    def _texts(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8-sig") as file:
            yield from (line.rstrip("\n") for line in file if line.strip())

    def _objects(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise SaliencyError(
                        f"line {number} of {str(self.path)!r} is not JSON ({error})."
                    ) from error
                if not isinstance(row, dict):
                    raise SaliencyError(
                        f"line {number} of {str(self.path)!r} is not a JSON object: write "
                        '{"text": "..."} in each line.'
                    )
                yield row

    def _cells(self) -> Iterator[dict[str, str | None]]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                if None in row:
                    raise SaliencyError(
                        f"{str(self.path)!r} has a row with more cells than columns; it begins with "
                        f"{next(iter(row.values()))!r}. Put quotation marks around cells with commas."
                    )
                yield dict(row)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for batch in self._parquet().iter_batches():
            yield from batch.to_pylist()

    def _parquet(self) -> Any:
        pa, parquet = arrow(), arrow("pyarrow.parquet")
        try:
            return parquet.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise SaliencyError(f"cannot read {str(self.path)!r} as Parquet: {error}.") from error
