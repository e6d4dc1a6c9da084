"""The folder of a corpus: its description, and Parquet files, each of which is written completely or not at all."""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hf_saliency.corpus.columns import arrow
from hf_saliency.corpus.records import STORED, Key
from hf_saliency.errors import SaliencyError
from hf_saliency.maps import storage

FORMAT = "hf_saliency.Corpus"
VERSION = 1

Kind = Literal["maps", "failures"]

_DESCRIPTION = "corpus.json"
_LOCK = ".lock"
_LARGEST = 2**33  # maximum size of a file, in bytes
_UNPACKED = 2**32  # maximum size of its unpacked columns, in bytes; the writer starts a new file after 64 MiB
_NAME = re.compile(r"(maps|failures)-(\d{6,})-([0-9a-f]{8})\.parquet")


@dataclass(frozen=True)
class Shard:
    """One Parquet file; its name contains the CRC-32 of its bytes, which reveals damage."""

    path: Path
    kind: Kind
    number: int
    checksum: str

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """Read all columns, or some; a damaged or forged file raises an error that names it."""
        data = self._bytes()
        pa, parquet = arrow(), arrow("pyarrow.parquet")
        try:
            file = parquet.ParquetFile(pa.BufferReader(data))
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > _UNPACKED:
                raise self.damage(f"its columns unpack to more than {_UNPACKED >> 30} GiB")
            missing = [name for name in STORED[self.kind] if name not in file.schema_arrow.names]
            if missing:
                raise self.damage(f"it has no column {missing[0]!r}")
            return file.read(columns=None if columns is None else list(columns))
        except MemoryError as error:
            raise SaliencyError(f"{str(self.path)!r} does not fit into memory.") from error
        except (pa.ArrowException, OSError) as error:
            raise self.damage(str(error)) from error

    def count(self) -> int:
        """Return the number of rows, reading only the footer."""
        pa, parquet = arrow(), arrow("pyarrow.parquet")
        try:
            return int(parquet.read_metadata(self.path).num_rows)
        except (pa.ArrowException, OSError) as error:
            self._bytes()
            raise self.damage(str(error)) from error

    def _bytes(self) -> bytes:
        """Read the file; raise an error if it changed since it was written."""
        data = storage.read_file(self.path, _LARGEST)
        if f"{zlib.crc32(data):08x}" != self.checksum:
            raise self.damage("its bytes do not match the checksum in its name")
        return data

    def damage(self, reason: str) -> SaliencyError:
        """Return the error for a damaged file."""
        return SaliencyError(
            f"{str(self.path)!r} is damaged: {reason}. read_corpus(folder, damaged='skip') reads the other files; to "
            "explain its texts, delete the file and call write_corpus again with the same arguments."
        )


def shards(folder: Path, kind: Kind) -> list[Shard]:
    """Return the finished files of a folder in the order of writing."""
    matches = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    files = [Shard(path, kind, int(m[2]), m[3]) for path, m in matches if m and m[1] == kind]
    return sorted(files, key=lambda shard: shard.number)


def description(folder: Path) -> dict[str, Any]:
    """Read the description of a corpus from its ``corpus.json``."""
    path = folder / _DESCRIPTION
    if not path.exists():
        raise SaliencyError(
            f"{str(folder)!r} is not a corpus: it has no {_DESCRIPTION}. hs.write_corpus(explainer, texts, folder) "
            "makes one."
        )
    try:
        data = storage.parsed(storage.read_file(path, storage.LARGEST_DOCUMENT).decode())
    except (ValueError, RecursionError) as error:
        raise SaliencyError(f"{str(path)!r} is damaged: it is not JSON ({error}).") from error
    content: dict[str, Any] = storage.opened(data, FORMAT, VERSION, "corpus", repr(str(path)), "corpus")
    if not isinstance(content, dict):
        raise SaliencyError(f"{str(path)!r} is damaged: it contains no description of a corpus.")
    for name, kind in {"task": dict, "columns": dict, "key": str, "complete": bool}.items():
        if not isinstance(content.get(name), kind):
            raise SaliencyError(f"{str(path)!r} is damaged: its {name!r} is {content.get(name)!r}.")
    if content["key"] not in ("int64", "string") or not {"method", "model"} <= set(content["task"]):
        raise SaliencyError(
            f"{str(path)!r} is damaged: the type of its keys is unknown, or its method or model is missing."
        )
    return content


@dataclass
class Folder:
    """A folder that one process writes."""

    path: Path
    content: dict[str, Any]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, content: Mapping[str, Any]) -> Iterator[Folder]:
        """Open a new folder, or one with finished files of the same task; another task's folder raises an error."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaliencyError(f"cannot create the folder {str(path)!r}: {error.strerror}.") from error
        with _locked(path):
            if (path / _DESCRIPTION).exists():
                _check_same(path, description(path), content)
            elif any(entry.name != _LOCK for entry in path.iterdir()):
                raise SaliencyError(f"{str(path)!r} has other files: give a new folder, or an empty one.")
            for part in path.glob(".*.part"):  # left by a process that was killed while writing
                part.unlink(missing_ok=True)
            folder = cls(path, {**content, "complete": False})
            folder.describe()
            yield folder

    def describe(self, **changes: Any) -> None:
        """Write ``corpus.json``."""
        self.content |= changes
        document = storage.envelope(FORMAT, VERSION, "corpus", storage.json_safe(self.content))
        data = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
        storage.write_file(self.path / _DESCRIPTION, storage.encode(data))

    def finished(self) -> dict[Key, int]:
        """Return the keys that are explained or failed already, with the digests of their texts."""
        keys: dict[Key, int] = {}
        kinds: tuple[Kind, ...] = ("maps", "failures")
        for shard in (shard for kind in kinds for shard in shards(self.path, kind)):
            table = shard.table(["key", "digest"])
            keys.update(zip(table["key"].to_pylist(), table["digest"].to_pylist(), strict=True))
        return keys

    def write(self, kind: Kind, batches: Sequence[Any], metadata: Mapping[str, str]) -> None:
        """Write record batches as a new file, in one step."""
        pa, parquet = arrow(), arrow("pyarrow.parquet")
        table = pa.Table.from_batches(batches)
        marks = {"hf_saliency.format": FORMAT, "hf_saliency.version": str(VERSION), **metadata}
        sink = pa.BufferOutputStream()
        parquet.write_table(table.replace_schema_metadata(marks), sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        number = max((shard.number for shard in shards(self.path, kind)), default=0) + 1
        name = f"{kind}-{number:06d}-{zlib.crc32(data):08x}.parquet"
        try:
            storage.write_file(self.path / name, data)
        except SaliencyError as error:
            raise SaliencyError(
                f"{error} The finished files are kept; to continue, call write_corpus again with the same arguments."
            ) from error


def _check_same(path: Path, former: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Refuse the folder of another task; library versions may differ, since each file records its own."""
    for name in ("task", "columns", "key", "scores", "target_column"):
        before, now = former.get(name), storage.json_safe(content[name])
        if isinstance(before, dict) and isinstance(now, dict):
            differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            if differing:
                name, before, now = differing[0], before.get(differing[0]), now.get(differing[0])
        if before != now:
            raise SaliencyError(
                f"{str(path)!r} is the corpus of another run: its {name} is {before!r}, not {now!r}. Give the "
                "arguments of that run to continue it, or another folder."
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let only one process write a folder at a time; the lock is released when that process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (path / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SaliencyError(
                f"another process writes {str(path)!r} at the moment: wait for it, or give another folder."
            ) from error
        except OSError:
            pass  # the file system has no locks
        yield
