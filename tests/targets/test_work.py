"""Work: the cost of laying out targets is linear in the text's length for any number of targets, by counting."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from hypothesis import given, strategies as st
from transformers import PreTrainedTokenizerFast

import hf_saliency as hs
from hf_saliency.maps import spans
from hf_saliency.targets.generation import spelling


class Counting(PreTrainedTokenizerFast):
    """A tokenizer that counts the characters that it encodes and the tokens that it decodes."""

    work = 0

    def __call__(self, text: Any = None, *rest: Any, **options: Any) -> Any:
        self.work += len(text)
        return super().__call__(text, *rest, **options)

    def decode(self, token_ids: Any, *rest: Any, **options: Any) -> Any:
        self.work += len(token_ids)
        return super().decode(token_ids, *rest, **options)


@pytest.fixture(scope="module")
def tokenizer() -> Counting:
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    return Counting(tokenizer_object=tiny.tokenizer().backend_tokenizer, **names)


def text(count: int) -> str:
    return " ".join(["the cat sat on a mat and dog ran to"] * count)


def work(explainer: hs.Explainer, tokenizer: Counting, target: hs.Target, texts: Any) -> int:
    before = tokenizer.work
    encoding = target.encode(texts, explainer.text_model, "error")
    assert target.rows(encoding, explainer.text_model)
    return tokenizer.work - before


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("BertForMaskedLM", hs.MaskedToken("the", against="a")),
        ("BertForMaskedLM", hs.MaskedToken(token="a")),
        ("BertForMaskedLM", hs.MaskedSpan("cat sat", against="dog ran")),
        ("LlamaForCausalLM", hs.NextToken(against="a")),
        ("LlamaForCausalLM", hs.Continuation(against="a")),
    ],
    ids=["word", "sweep", "span", "next", "continuation"],
)
def test_four_times_the_text_is_four_times_the_work(
    tokenizer: Counting, name: str, target: hs.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = hs.Explainer(tiny.of_class(name, max_position_embeddings=2000), tokenizer)
    monkeypatch.setattr(type(explainer.text_model), "trims", lambda *_: True)
    pair = isinstance(target, hs.Continuation)
    short, long = (
        work(explainer, tokenizer, target, ("the cat.", f" {text(n)}") if pair else text(n)) for n in (8, 32)
    )
    assert long < 5 * short


def test_generated_tokens_are_spelled_in_as_many_steps(tokenizer: Counting) -> None:
    model = hs.Explainer(tiny.of_class("LlamaForCausalLM"), tokenizer).text_model
    counts = []
    for count in (20, 80):
        ids = tokenizer(text(count), add_special_tokens=False)["input_ids"]
        before = tokenizer.work
        spelled, tokens = spelling(ids[:3], ids, model)
        counts.append(tokenizer.work - before)
        assert spelled.split() == text(count).split()
        assert [spelled[t.start : t.end] for t in tokens] == text(count).split()
    assert counts[1] < 5 * counts[0]


pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), max_size=8)


@given(pairs, st.integers(0, 12), st.integers(0, 5))
def test_places_find_what_a_look_at_each_span_finds(
    lengths: list[tuple[int, int]], start: int, length: int
) -> None:
    places = [(first, first + count) for first, count in lengths]
    found = spans.Places(places).overlapping(start, start + length)
    assert found == spans.overlapping(places, start, start + length)
