"""Encoding: the exact place of every token in the text, for fast and slow tokenizers, or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

import hf_saliency as hs
from hf_saliency.adapter.encoding import encode

CORPUS = ["the formal study of grammar is an important part of education", "don't learn music, learning!"] * 3


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer like RoBERTa's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", pad_token="<pad>", mask_token="<mask>"
    )


@pytest.fixture(scope="module")
def metaspace() -> PreTrainedTokenizerFast:
    """A unigram tokenizer that marks spaces as SentencePiece does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<unk>", "<mask>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", mask_token="<mask>")


@pytest.fixture
def slow(tmp_path: Path) -> BertTokenizerLegacy:
    """A slow tokenizer, in Python, that reports no offsets."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(tiny.WORDS)]))
    return BertTokenizerLegacy(str(path))


def slices(encoding: hs.SaliencyMap) -> list[str]:
    return [encoding.texts[0][token.start : token.end] for token in encoding.tokens]


def test_tokens_are_slices_of_the_text() -> None:
    encoding = encode(tiny.tokenizer(), "The  Grammar\tlearning!")
    assert slices(encoding) == ["", "The", "Grammar", "learn", "ing", "!", ""]
    assert [token.piece for token in encoding.tokens][3:5] == ["learn", "…ing"]
    assert [token.special for token in encoding.tokens] == [True, False, False, False, False, False, True]


def test_a_mask_or_unknown_word_in_the_text_is_no_special_token_but_a_separator_is() -> None:
    encoding = encode(tiny.tokenizer(), "the [MASK] xyzzy [SEP] cat")
    assert slices(encoding)[1:-1] == ["the", "[MASK]", "xyzzy", "[SEP]", "cat"]
    assert [token.special for token in encoding.tokens][1:-1] == [False, False, False, True, False]


@pytest.mark.parametrize("name", ["byte_level", "metaspace"])
def test_marks_of_a_tokenizer_are_no_text(name: str, request: pytest.FixtureRequest) -> None:
    text = "the formal study  of grammar, don't learn"
    encoding = encode(request.getfixturevalue(name), text)
    plain = [token for token in encoding.tokens if not token.special]
    assert all(piece == piece.strip() or piece.isspace() for piece in slices(encoding))
    covered = {i for token in plain for i in range(token.start, token.end)}
    assert covered >= {i for i, character in enumerate(text) if character != " "}


def test_bytes_of_one_character_share_its_span(byte_level: PreTrainedTokenizerFast) -> None:
    encoding = encode(byte_level, "the 🐱 study")
    cat = [token for token in encoding.tokens if slices(encoding)[encoding.tokens.index(token)] == "🐱"]
    assert len(cat) > 1
    assert {(token.start, token.end) for token in cat} == {(4, 5)}


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=30).filter(str.strip))
def test_any_text_has_its_tokens_in_order_and_in_range(text: str) -> None:
    encoding = encode(tiny.tokenizer(), text)
    assert len(encoding.ids) == len(encoding.tokens)
    plain = [token for token in encoding.tokens if not token.special]
    assert all(0 <= token.start <= token.end <= len(text) for token in plain)
    assert [token.start for token in plain] == sorted(token.start for token in plain)


def test_a_slow_tokenizer_gets_the_spans_of_the_fast_one(slow: BertTokenizerLegacy) -> None:
    text = "The formal STUDY of learning\n[MASK] education learned"
    fast = encode(tiny.tokenizer(), text)
    assert not slow.is_fast
    assert encode(slow, text).tokens == fast.tokens


def test_a_slow_tokenizer_that_cannot_be_placed_exactly_is_refused(
    slow: BertTokenizerLegacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "convert_tokens_to_string", lambda pieces: "".join(pieces))
    with pytest.raises(hs.SaliencyError, match="reports no character offsets.*Load a fast"):
        encode(slow, "the learning")


def test_a_list_of_texts_is_tokenized_at_once_and_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    on = hs.Explainer(*tiny.masked_lm("bert"))
    texts = ["the cat sat", "the dog ran to it", "the cat sat", "a mat"]
    singles = [on(text) for text in texts]
    tokenizer, asked = on.text_model.tokenizer, []
    plain = type(tokenizer)._encode_plus

    def noted(self: PreTrainedTokenizerFast, text: object, *arguments: object, **options: object) -> object:
        asked.append(text)
        return plain(self, text, *arguments, **options)

    monkeypatch.setattr(type(tokenizer), "_encode_plus", noted)
    heats = on(texts)
    assert asked == [["the cat sat", "the dog ran to it", "a mat"]]
    for heat, single in zip(heats, singles, strict=True):
        assert (heat.texts, heat.tokens) == (single.texts, single.tokens)
    with pytest.raises(hs.SaliencyError, match=r"texts\[1\]: the text is empty"):
        on(["the cat", " ", "a mat"])


def test_offsets_out_of_the_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny.tokenizer()

    class Wrong(type(tokenizer)):
        def __call__(self, *args: object, **kwargs: object) -> dict[str, object]:
            batch = dict(super().__call__(*args, **kwargs))
            return {**batch, "offset_mapping": [(0, 99)] * len(batch["input_ids"])}

    wrong = Wrong(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", mask_token="[MASK]")
    with pytest.raises(hs.SaliencyError, match="its offsets are wrong"):
        encode(wrong, "the cat")


def test_a_window_has_the_special_tokens_of_both_ends() -> None:
    encoding = encode(tiny.tokenizer(), "the cat sat on a mat and dog ran")
    assert encoding.window(5, 6) == [0, 3, 4, 5, 6, 10]
    assert encoding.window(1, 6) == [0, 1, 2, 3, 4, 10]
    assert encoding.window(9, 6) == [0, 6, 7, 8, 9, 10]
    assert encoding.window(5, 40) == list(range(11))


def test_a_truncated_text_ends_with_its_last_token() -> None:
    encoding = encode(tiny.tokenizer(), "the cat sat on a mat").truncated(5)
    assert encoding.texts == ("the cat sat",)
    assert slices(encoding) == ["", "the", "cat", "sat", ""]
    assert encoding.tokens == encode(tiny.tokenizer(), "the cat sat").tokens


def test_a_mark_of_a_word_alone_has_no_letter_of_the_word() -> None:
    vocabulary = [("<unk>", 0.0), ("▁", -3.0), ("P", -5.0), ("Paris", -2.0), ("▁the", -3.0), ("t", -5.0)]
    core = Tokenizer(models.Unigram(vocabulary, 0, byte_fallback=False))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    text = "Paris the Paris"
    encoding = encode(tokenizer, text)
    assert [text[token.start : token.end] for token in encoding.tokens] == ["", "Paris", "the", " ", "Paris"]
    assert encoding.tokens[0].piece == "␣"
    heat = hs.SaliencyMap.from_attributions(
        np.arange(5.0), tokenizer(text, return_offsets_mapping=True), text=text
    )
    assert [(t.start, t.end) for t in heat.tokens] == [(t.start, t.end) for t in encoding.tokens]
    assert heat.labels == ("␣", "Paris", "the", "␣", "Paris")
