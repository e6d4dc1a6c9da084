"""Streams: equal to single calls, in order, in bounded memory; a text that fails does not affect the others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import hf_saliency as hs

TEXTS = [
    "the cat sat on a mat",
    "dog",
    "the formal study of grammar is an important part",
    "she ran",
    "education from a young age",
]


@pytest.fixture
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"), progress=False)


def assert_equal(heat: hs.SaliencyMap, expected: hs.SaliencyMap) -> None:
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-10)
    assert heat.tokens == expected.tokens
    assert [t.label for t in heat.targets] == [t.label for t in expected.targets]
    np.testing.assert_allclose(
        [t.score for t in heat.targets], [t.score for t in expected.targets], rtol=1e-10
    )


@pytest.mark.parametrize("window", [1, 2, 4, 256])
def test_maps_equal_those_of_single_calls_in_order(explainer: hs.Explainer, window: int) -> None:
    maps = list(explainer.stream(iter(TEXTS), window=window))
    assert len(maps) == len(TEXTS)
    for text, heat in zip(TEXTS, maps, strict=True):
        assert heat.texts == (text,)
        assert_equal(heat, explainer(text))


@pytest.mark.parametrize(
    "method", [hs.leave_one_out(), hs.integrated_gradients(n_steps=4), hs.smooth_grad(n_samples=3)]
)
def test_methods_and_targets_are_those_of_a_call(explainer: hs.Explainer, method: hs.Method) -> None:
    texts = ["the cat sat", "a cat and a dog"]
    options: dict[str, Any] = {"target": hs.MaskedToken("cat"), "method": method, "top_k": 2}
    for text, heat in zip(texts, explainer.stream(texts, **options), strict=True):
        assert_equal(heat, explainer(text, **options))
        assert len(heat.targets[0].predictions) == 2


def test_only_a_window_is_read_ahead(explainer: hs.Explainer) -> None:
    read: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            read.append(len(read))
            yield TEXTS[len(read) % len(TEXTS)]

    maps = explainer.stream(endless(), window=3)
    assert read == []
    for _ in range(3):
        next(maps)
    assert len(read) == 3
    next(maps)
    assert len(read) == 6
    maps.close()  # type: ignore[attr-defined]
    assert list(maps) == []


def test_long_texts_end_a_window_early() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    explainer = hs.Explainer(model, tokenizer, progress=False, batch_tokens=1)
    maps, passes = explainer.stream("she ran" for _ in range(100)), []
    with model.register_forward_hook(lambda *_: passes.append(1)):
        next(maps)
    assert len(passes) == 8  # 4 texts of 2 rows and 8 tokens fill the budget of 32
    assert sum(1 for _ in maps) == 99


def test_keys_come_back_with_the_maps(explainer: hs.Explainer) -> None:
    pairs = [(10 + i, text) for i, text in enumerate(TEXTS)]
    results = list(explainer.stream(pairs, keyed=True, window=2))
    assert [key for key, _ in results] == [10, 11, 12, 13, 14]
    assert [heat.texts[0] for _, heat in results] == TEXTS


def test_a_line_of_a_file_is_a_text(explainer: hs.Explainer, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"the cat sat\r\nshe ran\n")
    with path.open(encoding="utf-8", newline="") as file:
        assert [heat.texts for heat in explainer.stream(file)] == [("the cat sat",), ("she ran",)]
    assert [heat.texts for heat in explainer.stream(io.StringIO("dog\n"))] == [("dog",)]


def test_columns_of_tables_are_texts(explainer: hs.Explainer) -> None:
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"text": TEXTS[:2]})
    for column in (frame["text"], np.array(TEXTS[:2]), pa.Table.from_pandas(frame)["text"]):
        assert [heat.texts[0] for heat in explainer.stream(column)] == TEXTS[:2]
    with pytest.raises(hs.SaliencyError, match="not DataFrame: give a list"):
        explainer.stream(frame)


MIXED = ["the cat sat", "", "dog", 7, " ".join(["cat"] * 60), "she ran"]


def test_a_text_that_fails_raises_when_its_turn_comes(explainer: hs.Explainer) -> None:
    maps = explainer.stream(MIXED)
    assert next(maps).texts == ("the cat sat",)
    with pytest.raises(hs.SaliencyError, match=r"texts\[1\]: ") as info:
        next(maps)
    assert isinstance(info.value.__cause__, hs.SaliencyError)
    pairs = explainer.stream([("a", "dog"), ("b", "")], keyed=True)
    next(pairs)
    with pytest.raises(hs.SaliencyError, match="the text with the key 'b': "):
        next(pairs)


def test_failures_are_skipped_or_collected(explainer: hs.Explainer) -> None:
    maps = list(explainer.stream(MIXED, on_error="skip", window=2))
    assert [heat.texts[0] for heat in maps] == ["the cat sat", "dog", "she ran"]
    results = list(explainer.stream(MIXED, on_error="collect", window=4))
    failures = [result for result in results if isinstance(result, hs.Failure)]
    assert [failure.number for failure in failures] == [1, 3, 4]
    assert [failure.text for failure in failures] == [MIXED[1], 7, MIXED[4]]
    assert "62 tokens" in str(failures[2].error)
    for text, result in zip(MIXED, results, strict=True):
        if not isinstance(result, hs.Failure):
            assert_equal(result, explainer(text))


def test_a_text_that_fails_in_its_batch_costs_itself_only(explainer: hs.Explainer) -> None:
    def refuse_dogs(output: Any, rows: Any) -> Any:
        if bool((rows["input_ids"] == tiny.tokenizer().convert_tokens_to_ids("dog")).any()):
            raise ValueError("no dogs")
        return output.logits[:, 0, 0]

    texts = ["the cat sat", "a dog", "she ran", "the mat", "dog and cat"]
    target = hs.Output(refuse_dogs)
    results = list(explainer.stream(texts, target=target, on_error="collect"))
    assert [isinstance(result, hs.Failure) for result in results] == [False, True, False, False, True]
    assert "no dogs" in str(results[1].error)
    assert_equal(results[3], explainer("the mat", target=target))


def test_the_texts_before_a_broken_source_are_explained(explainer: hs.Explainer) -> None:
    def broken() -> Iterator[str]:
        yield "dog"
        raise OSError("no disk")

    maps = explainer.stream(broken(), on_error="skip")
    assert next(maps).texts == ("dog",)
    with pytest.raises(OSError, match="no disk"):
        next(maps)


def test_a_contrast_with_itself_fails_as_in_a_single_call(explainer: hs.Explainer) -> None:
    target = hs.MaskedToken("cat", against="dog", token="dog")
    with pytest.raises(hs.SaliencyError, match="against= names the very class"):
        list(explainer.stream(["the cat"], target=target))


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("one text", {}, "stream\\(\\) takes texts one after the other, not str"),
        ({"text": ["a"]}, {}, "not dict: give a list"),
        (None, {}, "not NoneType"),
        (TEXTS, {"on_error": "skp"}, "on_error='skp': choose one of .*skip"),
        (TEXTS, {"window": 0}, "window=0: give a whole number of at least 1"),
        (TEXTS, {"method": "gradient"}, "gradient"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    explainer: hs.Explainer, texts: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer.stream(texts, **options)


def test_an_element_without_a_key_is_named(explainer: hs.Explainer) -> None:
    with pytest.raises(hs.SaliencyError, match=r"texts\[0\] is not a pair of a key and a text"):
        list(explainer.stream(["dog"], keyed=True))


def test_no_text_gives_no_map(explainer: hs.Explainer) -> None:
    assert list(explainer.stream([])) == []
