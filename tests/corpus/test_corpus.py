"""Corpora on disk: they equal single calls, continue after any interruption, and are refused if they are wrong."""

from __future__ import annotations

import dataclasses
import errno
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import corpus_kills
import numpy as np
import pytest
import tiny

import hf_saliency as hs
from hf_saliency.corpus.folder import shards
from hf_saliency.maps import storage

TEXTS = [
    "the cat sat on a mat",
    "dog",
    "the formal study of grammar",
    "she ran",
    "education from a young age",
]
ROWS = [
    {"id": f"k{i}", "text": text, "word": text.split()[-1], "group": "ab"[i % 2], "year": 2000 + i}
    for i, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"), progress=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def assert_close(heat: hs.SaliencyMap, expected: hs.SaliencyMap) -> None:
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-9)
    assert (heat.texts, heat.tokens, heat.method) == (expected.texts, expected.tokens, expected.method)


# The maps


def test_each_map_equals_that_of_a_single_call(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=2)
    assert len(corpus) == len(TEXTS)
    assert corpus.keys() == [0, 1, 2, 3, 4]
    assert len(shards(folder, "maps")) == 3
    assert list(corpus) == explainer(TEXTS[:1]) + [explainer(text) for text in TEXTS[1:]]
    assert corpus[3] == explainer(TEXTS[3])
    assert hs.read_corpus(folder)[3] == corpus[3]
    for heat, expected in zip(
        hs.write_corpus(explainer, TEXTS, folder.with_name("together")), corpus, strict=True
    ):
        assert_close(heat, expected)


@pytest.mark.parametrize(
    ("head", "text", "target", "method"),
    [
        ("masked", "the cat sat", hs.MaskedToken("cat", against="dog"), hs.integrated_gradients(n_steps=2)),
        ("causal", "the cat sat", hs.NextToken(), hs.gradient_norm(order=float("inf"))),
        (
            "sequence_classification",
            ("the cat", "sat on a mat"),
            hs.Label(all_labels=True),
            hs.leave_one_out(),
        ),
        ("token_classification", "the cat sat", hs.TokenLabel(aggregation="entity"), "input_x_gradient"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")
def test_every_field_of_a_map_comes_back(
    head: str, text: Any, target: hs.Target, method: Any, folder: Path
) -> None:
    explainer = hs.Explainer(*tiny.model(head, "gpt2" if head == "causal" else "bert"), progress=False)
    corpus = hs.write_corpus(explainer, [text], folder, target=target, method=method)
    assert corpus[0] == explainer(text, target=target, method=method)


def test_scores_in_half_precision_keep_three_digits(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(explainer, TEXTS, folder, scores="float16")
    single = hs.write_corpus(explainer, TEXTS, folder.with_name("single"), scores="float32")
    for text, half, full in zip(TEXTS, corpus, single, strict=True):
        exact = explainer(text).scores
        np.testing.assert_allclose(half.scores, exact, rtol=1e-3, atol=1e-6 * exact.max())
        np.testing.assert_allclose(full.scores, exact, rtol=1e-6)
    assert str(corpus.table()["scores"].type) == "list<element: halffloat>"


def test_scores_beyond_half_precision_are_scaled() -> None:
    from hf_saliency.corpus.columns import head_of, map_batch, maps_of
    from hf_saliency.corpus.records import Record

    token = hs.Token("a", 0, 1)
    scores = np.array([[1e9, -3e8], [np.nan, np.inf]])
    heat = hs.SaliencyMap(("a",), (token, token), (hs.TargetRow("a", 0, 1.0),) * 2, scores, "x", signed=True)
    tiny_heat = dataclasses.replace(heat, scores=np.array([[1e-12, 0.0], [5e-13, -1e-12]]))
    zeros = dataclasses.replace(heat, scores=np.zeros((2, 2)))
    maps = [heat, tiny_heat, zeros]
    records = [Record(i, i, "a", None, ()) for i in range(3)]
    back = list(maps_of(map_batch(records, maps, "float16", (), "int64"), head_of(heat)))
    for one, other in zip(back, maps, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3)


# Sources


def test_rows_have_keys_targets_and_columns(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(
        explainer,
        ROWS,
        folder,
        key="id",
        target_column="word",
        columns=["group", "year"],
        shard_texts=2,
        window=2,
    )
    assert corpus.keys() == [row["id"] for row in ROWS]
    assert corpus.column("year") == [2000, 2001, 2002, 2003, 2004]
    for row, (key, heat) in zip(ROWS, corpus.items(), strict=True):
        assert key == row["id"]
        assert_close(heat, explainer(row["text"], target=hs.MaskedToken(row["word"])))
    part = corpus.select(group="b")
    assert part.keys() == ["k1", "k3"]
    assert [heat.texts[0] for heat in part] == [TEXTS[1], TEXTS[3]]
    assert part.select(["k3", "k4"]).keys() == ["k3"]
    assert corpus.select(year=[2000, 2004]).column("group") == ["a", "a"]
    assert part.table(["texts"]).to_pylist() == [{"texts": [TEXTS[1]]}, {"texts": [TEXTS[3]]}]
    assert corpus.select(year=1999).table().num_rows == 0
    assert "k1" in part
    assert "k0" not in part
    table = hs.summarize(part, groups=part.column("year"))
    assert table.facts["n"] == 2


def test_texts_with_places_of_their_own_share_batches(folder: Path) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    explainer, passes = hs.Explainer(model, tokenizer, progress=False), []
    hs.write_corpus(explainer, ROWS, folder / "warm")
    with model.register_forward_hook(lambda *_: passes.append(1)):
        corpus = hs.write_corpus(explainer, ROWS, folder / "own", target_column="word")
    assert len(passes) == 1
    assert [heat.targets[0].label for heat in corpus] == ["mat", "dog", "grammar", "ran", "age"]
    rows = [{"text": "the cat sat on a mat", "words": ["mat", "cat"]}]
    several = hs.write_corpus(explainer, rows, folder / "several", target_column="words")
    assert [target.label for target in several[0].targets] == ["mat", "cat"]


def test_tables_of_other_libraries(explainer: hs.Explainer, tmp_path: Path) -> None:
    pa, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS)
    sources = {"rows": ROWS, "frame": frame, "arrow": pa.Table.from_pylist(ROWS), "lazy": iter(ROWS)}
    corpora = [
        hs.write_corpus(explainer, source, tmp_path / name, key="id", columns=["year"])
        for name, source in sources.items()
    ]
    for corpus in corpora[1:]:
        assert corpus.table().equals(corpora[0].table())
    assert corpora[0].table().to_pandas()["year"].tolist() == [2000, 2001, 2002, 2003, 2004]


def test_pairs_files_and_keyed_texts(explainer: hs.Explainer, tmp_path: Path) -> None:
    lines = hs.write_corpus(explainer, io.StringIO("the cat\nshe ran\n"), tmp_path / "file")
    assert [heat.texts for heat in lines] == [("the cat",), ("she ran",)]
    keyed = hs.write_corpus(explainer, [("x", "the cat"), ("y", "she ran")], tmp_path / "keyed", keyed=True)
    assert keyed["y"].texts == ("she ran",)
    pairs = hs.Explainer(*tiny.model("sequence_classification", "bert"), progress=False)
    rows = [{"premise": "the cat", "hypothesis": "she ran"}]
    corpus = hs.write_corpus(pairs, rows, tmp_path / "pairs", text="premise", pair="hypothesis")
    assert corpus[0] == pairs(("the cat", "she ran"))


def test_failures_cost_themselves_only(explainer: hs.Explainer, folder: Path) -> None:
    texts = ["the cat", "", 7, "\ud800", "she ran"]
    with pytest.warns(
        UserWarning, match=r"3 texts could not be explained\. The first error: the text is empty"
    ) as caught:
        corpus = hs.write_corpus(explainer, texts, folder, window=2)
    assert caught[0].filename == __file__
    assert corpus.keys() == [0, 4]
    failures = corpus.failures.to_pylist()
    assert [(each["key"], each["text"]) for each in failures] == [(1, ""), (2, "7"), (3, "\\ud800")]
    assert "an unpaired surrogate" in failures[2]["reason"]
    rows = [{"text": "the cat", "word": word} for word in ("cat", "dog", None)]
    with pytest.warns(UserWarning, match="1 text could"):
        corpus = hs.write_corpus(explainer, rows, folder.with_name("words"), target_column="word")
    assert [len(heat) for heat in corpus] == [1, 2]
    assert "dog" in corpus.failures["reason"][0].as_py()


def test_no_text_makes_an_empty_corpus(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(explainer, [], folder)
    assert (len(corpus), list(corpus), corpus.table().num_rows, corpus.failures.num_rows) == (0, [], 0, 0)
    assert corpus
    assert corpus.complete


# Continuing


def test_kills_at_random_moments_lose_and_repeat_nothing(tmp_path: Path) -> None:
    script = str(Path(corpus_kills.__file__))
    run = subprocess.run([sys.executable, script, "3"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


def test_memory_is_flat(tmp_path: Path) -> None:
    script = str(Path(corpus_kills.__file__).with_name("corpus_memory.py"))
    run = subprocess.run([sys.executable, script, "1000"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_run_that_fails_is_continued(explainer: hs.Explainer, folder: Path) -> None:
    def broken() -> Iterator[str]:
        yield from TEXTS[:3]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        hs.write_corpus(explainer, broken(), folder, window=2)
    corpus = hs.read_corpus(folder)
    assert not corpus.complete
    assert corpus.keys() == [0, 1, 2]
    corpus = hs.write_corpus(explainer, TEXTS, folder, window=2)
    assert corpus.complete
    for text, heat in zip(TEXTS, corpus, strict=True):
        assert_close(heat, explainer(text))


def test_finished_texts_are_not_explained_again(
    explainer: hs.Explainer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hs.write_corpus(explainer, TEXTS, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    monkeypatch.setattr("hf_saliency.corpus.task.CorpusTask.run", None)
    corpus = hs.write_corpus(explainer, TEXTS, folder)
    assert corpus.keys() == [0, 1, 2, 3, 4]
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")} == before


def test_more_texts_join_a_complete_corpus(explainer: hs.Explainer, folder: Path) -> None:
    hs.write_corpus(explainer, TEXTS[:2], folder)
    assert hs.write_corpus(explainer, TEXTS, folder).keys() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "saliency"}, "its method is 'gradient_norm', not 'saliency'"),
        ({"method": hs.gradient_norm(order=1)}, "its arguments is "),
        ({"target": hs.UnmaskedToken()}, "its target is "),
        ({"top_k": 1}, "its top_k is 3, not 1"),
        ({"scores": "float16"}, "its scores is None, not 'float16'"),
        ({"texts": TEXTS[1:]}, "the corpus of other texts: its text with the key 0"),
        ({"texts": [(f"k{i}", text) for i, text in enumerate(TEXTS)], "keyed": True}, "its key is 'int64'"),
    ],
)
def test_another_run_is_refused(
    explainer: hs.Explainer, folder: Path, changes: dict[str, Any], message: str
) -> None:
    hs.write_corpus(explainer, TEXTS, folder)
    with pytest.raises(hs.SaliencyError, match=message):
        hs.write_corpus(explainer, **{"texts": TEXTS, "folder": folder, **changes})
    assert hs.read_corpus(folder).keys() == [0, 1, 2, 3, 4]


def test_another_model_is_refused(explainer: hs.Explainer, folder: Path) -> None:
    hs.write_corpus(explainer, TEXTS[:1], folder)
    other = hs.Explainer(*tiny.masked_lm("bert", seed=1), progress=False)
    with pytest.raises(hs.SaliencyError, match="another run: its weights is"):
        hs.write_corpus(other, TEXTS[:1], folder)


def test_two_processes_do_not_write_one_folder(explainer: hs.Explainer, folder: Path) -> None:
    def nested() -> Iterator[str]:
        yield TEXTS[0]
        hs.write_corpus(explainer, TEXTS, folder)

    with pytest.raises(hs.SaliencyError, match="another process writes"):
        hs.write_corpus(explainer, nested(), folder, window=1)


# Errors


def test_a_damaged_file_is_named_and_the_rest_is_readable(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=1)
    whole = list(corpus)
    path = shards(folder, "maps")[1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(hs.SaliencyError, match=f"{path.name}' is damaged: its bytes do not match"):
        list(hs.read_corpus(folder))
    with pytest.warns(UserWarning, match=f"'{path.name}' is damaged and left out") as caught:
        rest = hs.read_corpus(folder, damaged="skip")
    assert caught[0].filename == __file__
    assert rest.damaged == (path.name,)
    assert list(rest) == whole[:1] + whole[2:]
    with pytest.raises(hs.SaliencyError, match="delete the file"):
        hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=1)
    path.unlink()
    again = hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=1)
    assert sorted(again.keys()) == [0, 1, 2, 3, 4]
    assert again[1] == whole[1]


def test_no_space_left(explainer: hs.Explainer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = storage.os.fsync, []

    def full(file: int) -> None:
        written.append(file)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file)

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", full)
        with pytest.raises(hs.SaliencyError, match=r"No space left on device\. The finished files are kept"):
            hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=1)
    assert hs.read_corpus(folder).keys() == [0]
    assert not list(folder.glob("*.part"))
    assert hs.write_corpus(explainer, TEXTS, folder, window=1, shard_texts=1).keys() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": "one text"}, "takes texts one after the other, not str"),
        ({"text": "sentence"}, r"texts\[0\] has no column 'sentence'; its columns are 'id', 'text'"),
        ({"key": "name"}, "has no column 'name'"),
        ({"columns": ["colour"]}, "has no column 'colour'"),
        ({"columns": "group"}, r"give a list of names, columns=\['group'\]"),
        (
            {"columns": ["scores"]},
            "the carried column 'scores' has the name of a column of the corpus itself",
        ),
        ({"key": "group"}, r"the key 'a' occurs twice, the second time at texts\[2\]"),
        ({"texts": TEXTS, "key": "id"}, r"texts\[0\] is a str, which has no columns"),
        ({"texts": [("a", "b", "c")], "keyed": True}, r"texts\[0\] is not a pair of a key and a text"),
        ({"texts": [(1.5, "b")], "keyed": True}, "the key 1.5 is neither a string nor a whole number"),
        ({"texts": [(1, "b"), ("c", "d")], "keyed": True}, "give one type of keys"),
        ({"engine": "spark"}, "engine='spark': choose one of 'local', 'ray'"),
        ({"workers": 2}, "are for engine='ray'"),
        ({"scores": "int8"}, "scores='int8': choose one of"),
        ({"overflow": "cut"}, "overflow='cut': choose one of"),
        ({"window": 0}, "window=0: give a whole number"),
        (
            {"target": hs.PseudoLogLikelihood(), "target_column": "word"},
            "PseudoLogLikelihood has none of these",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    explainer: hs.Explainer, folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        hs.write_corpus(explainer, **{"texts": ROWS, "folder": folder, **options})
    assert not folder.exists()


def test_folders_that_are_no_corpus(explainer: hs.Explainer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(hs.SaliencyError, match="has other files: give a new folder"):
        hs.write_corpus(explainer, TEXTS, tmp_path)
    with pytest.raises(hs.SaliencyError, match=r"is not a corpus: it has no corpus\.json"):
        hs.read_corpus(tmp_path)
    with pytest.raises(hs.SaliencyError, match="cannot create the folder"):
        hs.write_corpus(explainer, TEXTS, tmp_path / "notes.txt" / "corpus")


def test_what_a_corpus_lacks_is_named(explainer: hs.Explainer, folder: Path) -> None:
    corpus = hs.write_corpus(explainer, ROWS, folder, columns=["group"])
    with pytest.raises(hs.SaliencyError, match="no map with the key 'x'; it has 5, such as 0"):
        corpus["x"]
    for call in (
        lambda: corpus.column("year"),
        lambda: corpus.select(year=1),
        lambda: corpus.table(["year"]),
    ):
        with pytest.raises(
            hs.SaliencyError, match="carries no column 'year'; its carried columns are 'group'"
        ):
            call()
    with pytest.raises(hs.SaliencyError, match=r"has type string, so \[3\] cannot be compared"):
        list(corpus.select(group=3))
    assert repr(corpus).startswith("Corpus: 5 maps in ")


def test_values_of_a_column_are_of_one_type(explainer: hs.Explainer, folder: Path) -> None:
    rows = [{"text": "dog", "x": 1}, {"text": "cat", "x": "one"}]
    with pytest.raises(
        hs.SaliencyError, match="the column 'x' cannot be carried, since its values differ in type"
    ):
        hs.write_corpus(explainer, rows, folder, columns=["x"])
    with pytest.raises(hs.SaliencyError, match="the values of the column 'x' must be of type int64"):
        hs.write_corpus(explainer, rows, folder, columns=["x"], window=1)
    assert hs.read_corpus(folder).column("x") == [1]


@pytest.mark.parametrize(("module", "extra"), [("pyarrow", "corpus"), ("ray.data", "cluster")])
def test_a_missing_package_names_its_extra(
    explainer: hs.Explainer, folder: Path, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(hs.SaliencyError, match=rf"pip install 'hf-saliency\[{extra}\]'"):
        hs.write_corpus(explainer, TEXTS, folder, engine="ray")
