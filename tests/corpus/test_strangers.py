"""A corpus from a stranger: errors name forged files, and small files are read with little memory."""

from __future__ import annotations

import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import hf_saliency as hs
from hf_saliency.corpus import folder as corpus_folder
from hf_saliency.maps import storage

HEAD = b"hf_saliency.map"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger") / "corpus"
    hs.write_corpus(hs.Explainer(*hs.load_demo()), ["She drank tea.", "He ate."], folder)
    return folder


def forged(written: Path, path: Path, change: Callable[[Any], Any]) -> Path:
    """Copy the corpus with another table in its file; the file's name has the correct checksum."""
    path.mkdir()
    shutil.copy(written / "corpus.json", path)
    (shard,) = written.glob("maps-*.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(change(parquet.read_table(shard)), sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    (path / f"maps-000001-{zlib.crc32(data):08x}.parquet").write_bytes(data)
    return path


def with_head(head: bytes | None) -> Callable[[Any], Any]:
    return lambda table: table.replace_schema_metadata(head if head is None else {HEAD: head})


def with_scores(values: list[Any]) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        place = table.schema.get_field_index("scores")
        return table.set_column(
            place, table.schema.field(place), pa.array(values, table.schema.field(place).type)
        )

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(with_head(head) for head in (None, b"{", b"[1]", b"\xff", b'{"dtype": "object"}')),
        with_scores([[], []]),
        with_scores([None, None]),
        lambda table: table.set_column(
            table.schema.get_field_index("scores"), "scores", pa.array(["a", "b"])
        ),
        lambda table: table.drop_columns(["tokens"]),
        lambda table: table.drop_columns(["key"]),
    ],
)
def test_a_forged_file_is_named(change: Callable[[Any], Any], written: Path, tmp_path: Path) -> None:
    corpus = hs.read_corpus(forged(written, tmp_path / "forged", change))
    with pytest.raises(
        hs.SaliencyError,
        match=r"forged.maps-000001-.*is damaged: (its rows cannot be read as maps|it has no column)",
    ):
        list(corpus)


def test_columns_that_unpack_to_too_much_are_not_unpacked(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = forged(written, tmp_path / "forged", with_scores([[0.0] * 10**6, []]))
    assert sum(each.stat().st_size for each in path.glob("*.parquet")) < 20_000
    monkeypatch.setattr(corpus_folder, "_UNPACKED", 2**10)
    with pytest.raises(hs.SaliencyError, match="is damaged: its columns unpack to more than"):
        hs.read_corpus(path).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [("task", []), ("task", {}), ("columns", None), ("key", "decimal"), ("complete", "yes")],
)
def test_a_forged_description_is_named(name: str, value: Any, written: Path, tmp_path: Path) -> None:
    content = {**corpus_folder.description(written), name: value}
    corpus_folder.Folder(tmp_path, content).describe()
    with pytest.raises(hs.SaliencyError, match=r"corpus.json' is damaged: "):
        hs.read_corpus(tmp_path)


def test_a_small_file_reserves_little_memory(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small")
    tracemalloc.start()
    assert storage.read_file(tmp_path / "small", 2**33) == b"small"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
