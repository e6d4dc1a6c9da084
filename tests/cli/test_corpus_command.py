"""``hf-saliency corpus``: it writes files of each kind into a folder, and prints errors in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli.test_cli import failure, invoke

import hf_saliency as hs

ROWS = [
    {"id": "a", "sentence": "She drank hot tea.", "word": "tea", "pos": "noun"},
    {"id": "b", "sentence": "He wrote a letter.", "word": "wrote", "pos": "verb"},
    {"id": "c", "sentence": "He ran, then slept.", "word": "tea", "pos": "noun"},
]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


OPTIONS = (
    "--text-column sentence --key-column id --target-column word --group-column pos --top-k 2 --no-progress --output"
).split()


def write(folder: Path, kind: str) -> str:
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    else:
        pytest.importorskip("pyarrow.parquet")
        import pyarrow

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    return str(path)


@pytest.mark.filterwarnings("default:.*could not be explained:UserWarning")
def test_tables_of_each_kind_give_the_same_corpus(tmp_path: Path) -> None:
    corpora = []
    for kind in ("jsonl", "csv", "parquet"):
        result = invoke("corpus", write(tmp_path, kind), *OPTIONS, str(tmp_path / kind))
        assert (result.exit_code, result.stdout) == (0, "2 maps, 1 failure\n")
        assert "warning: 1 text could not be explained" in result.stderr
        corpora.append(hs.read_corpus(tmp_path / kind))
    explainer = hs.Explainer(*hs.load_demo())
    heat, alone = corpora[0]["b"], explainer(ROWS[1]["sentence"], target=hs.MaskedToken("wrote"), top_k=2)
    assert (heat.tokens, heat.targets[0].label, len(heat.targets[0].predictions)) == (
        alone.tokens,
        "wrote",
        2,
    )
    np.testing.assert_allclose(heat.scores, alone.scores, rtol=1e-4)  # a batch rounds differently
    assert corpora[0].column("pos") == ["noun", "verb"]
    assert all(corpus.table().equals(corpora[0].table()) for corpus in corpora)


def test_a_text_a_line_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("She drank hot tea.\n\nHe wrote.\n")
    command = [
        "corpus",
        str(path),
        "--output",
        str(tmp_path / "out"),
        "--method",
        "saliency",
        "--target",
        "unmasked",
    ]
    for _ in range(2):
        assert invoke(*command).stdout == "2 maps, 0 failures\n"
    assert [heat.texts[0] for heat in hs.read_corpus(tmp_path / "out")] == ["She drank hot tea.", "He wrote."]
    assert "the corpus of another run: its top_k is 3, not 1" in failure(*command, "--top-k", "1")


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.docx", "", [], "give a file whose name ends in .txt, .jsonl, .csv, .parquet"),
        ("a.jsonl", '{"sentence": "a"}', [], "has no column 'text'; its columns are 'sentence'"),
        ("a.jsonl", "a", [], "line 1 of 'a.jsonl' is not JSON"),
        ("a.jsonl", '["a"]', [], "line 1 of 'a.jsonl' is not a JSON object"),
        ("a.csv", "text\na,b\n", [], "has a row with more cells than columns; it begins with 'a'"),
        ("a.txt", "dog\n", ["--key-column", "id"], "is a str, which has no columns"),
        ("a.parquet", "dog", [], "cannot read 'a.parquet' as Parquet"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name: str, content: str, options: list[str], message: str) -> None:
    Path(name).write_text(content, "utf-8")
    assert message in failure("corpus", name, "--output", "out", *options)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert (
        failure("corpus", "none.txt", "--output", "out")
        == "cannot read 'none.txt': No such file or directory."
    )
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    assert failure("corpus", "latin.txt", "--output", "out") == "'latin.txt' is not UTF-8 text."


def test_a_damaged_corpus_is_mended_by_the_same_command(tmp_path: Path) -> None:
    Path("a.txt").write_text("She drank hot tea.\n")
    command = ("corpus", "a.txt", "--output", "out", "--target", "masked", "--positions", "tea")
    invoke(*command)
    (file,) = (tmp_path / "out").rglob("maps-*.parquet")
    file.write_bytes(b"damaged")
    line = failure(*command)
    assert "is damaged" in line
    assert line.endswith("delete the file and run the same command again.")
