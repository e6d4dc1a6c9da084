"""Display: names hide the vocabulary's internal spelling, and white space keeps its place and has a sign."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tiny
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import hf_saliency as hs
from hf_saliency.adapter.display import Spelling
from hf_saliency.adapter.encoding import encode
from hf_saliency.maps.spans import signs

CODE = "def add(a, b):\n\treturn a + b\n\n\nclass Point:\n    def __init__(self):\n        self.x = 0\n"
PROSE = "Paris is the capital of France. The formal study of grammar is an education; don't learn it."
CORPUS = [CODE, PROSE, PROSE.lower(), PROSE.replace(" ", "  ")] * 4
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wrapped(core: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def byte_level(add_prefix_space: bool = False, size: int = 420) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer like GPT-2's and RoBERTa's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    core.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=add_prefix_space
    )
    return wrapped(core)


def byte_fallback() -> PreTrainedTokenizerFast:
    """A tokenizer like Llama's: SentencePiece's spaces, and bytes for characters outside the vocabulary."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=[*SPECIAL, *(f"<0x{i:02X}>" for i in range(256))], show_progress=False
    )
    core.train_from_iterator([re.sub(r"[\n\t]", " ", text) for text in CORPUS], trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return wrapped(core)


def unigram() -> PreTrainedTokenizerFast:
    """A unigram tokenizer like T5's."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=140, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        ),
    )
    return wrapped(core)


MAKERS: dict[str, Any] = {
    "byte-level": byte_level,
    "byte-level, prefix space": lambda: byte_level(True),
    "byte fallback": byte_fallback,
    "unigram": unigram,
    "word pieces": tiny.tokenizer,
}
SPELLED = re.compile(r"[ĠĊĉ▁]|<0x|##|�")


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]()


@pytest.mark.parametrize(
    "text", [CODE, PROSE, "a\n\n\nb\t c", "  two  spaces  ", "naïve 🐱 中文\r\nĠ"], ids=range(5)
)
def test_pieces_are_no_vocabulary_names(tokenizer: Any, text: str) -> None:
    encoding = encode(tokenizer, text)
    for token in encoding.tokens:
        shown = text[token.start : token.end]
        assert not SPELLED.search(token.piece) or shown in token.piece
        assert (token.piece and token.piece.strip() == token.piece) or token.special
        assert shown == shown.strip() or shown.isspace()


def test_no_name_of_a_whole_vocabulary_is_one(tokenizer: Any) -> None:
    spelling = Spelling.of(tokenizer)
    for index in range(len(tokenizer)):
        for exact in (False, True):
            name = spelling.name(index, exact=exact)
            assert not re.search(r"[Ċĉ▁]|<0x|^##\w|�|\s$|^\s|^$", name), (
                name,
                tokenizer.convert_ids_to_tokens(index),
            )


def test_exact_names_differ(tokenizer: Any) -> None:
    spelling = Spelling.of(tokenizer)
    names = [spelling.name(index, exact=True) for index in range(len(tokenizer))]
    doubles = {name for name in names if names.count(name) > 1}
    # All kinds of white space share a sign, and a piece may be spelled like a byte of byte fallback.
    fallback = tokenizer.convert_tokens_to_ids("<0x41>") not in (None, tokenizer.unk_token_id)
    assert all(name in "↵␣" or (fallback and len(name) == 1) for name in doubles)


def test_white_space_keeps_its_place_and_has_signs() -> None:
    encoding = encode(byte_level(size=261), "a\n\tb")  # one token per byte
    assert [(token.piece, token.start, token.end) for token in encoding.tokens if not token.special] == [
        ("a", 0, 1),
        ("↵", 1, 2),
        ("⇥", 2, 3),
        ("b", 3, 4),
    ]


def test_signs() -> None:
    assert signs("\r\n \t\u00a0x") == "↵␣⇥␣x"


@pytest.mark.parametrize(
    "maker", [lambda: byte_level(size=261), byte_fallback], ids=["byte-level", "byte fallback"]
)
def test_bytes_of_a_character_are_its_parts(maker: Any) -> None:
    encoding = encode(maker(), "a🐱b")
    parts = [token for token in encoding.tokens if token.piece.startswith("🐱")]
    assert [token.piece for token in parts] == ["🐱 1/4", "🐱 2/4", "🐱 3/4", "🐱 4/4"]
    assert {(token.start, token.end) for token in parts} == {(1, 2)}


def test_bytes_that_are_predicted_are_called_bytes() -> None:
    tokenizer = byte_level(size=261)
    spelling = Spelling.of(tokenizer)
    ids = tokenizer("🐱", add_special_tokens=False)["input_ids"]
    assert [spelling.name(i) for i in ids] == ["byte F0", "byte 9F", "byte 90", "byte B1"]


def test_a_piece_that_continues_a_word_says_so() -> None:
    assert [token.piece for token in encode(tiny.tokenizer(), "learning").tokens] == [
        "[CLS]",
        "learn",
        "…ing",
        "[SEP]",
    ]


def test_answers_that_differ_by_a_space_do_not_look_alike() -> None:
    tokenizer = byte_level()
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_layer=1, n_embd=8, n_head=2, n_positions=32)
    )
    heat = hs.Explainer(model, tokenizer)("the study", target=hs.NextToken(), top_k=len(tokenizer))
    for row in heat.targets:
        names = {prediction.class_id: prediction.label for prediction in row.predictions}
        assert len(set(names.values())) == len(names)
    vocabulary = tokenizer.get_vocab()
    word = next(
        piece for piece in vocabulary if piece.isascii() and piece.isalpha() and f"Ġ{piece}" in vocabulary
    )
    assert (names[vocabulary[f"Ġ{word}"]], names[vocabulary[word]]) == (f"␣{word}", word)


FLAGS = [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}]
PLACES = [
    "{} is the capital.",
    "Paris is {}.",
    "Paris is {}, of France.",
    "Paris {}",
    "Paris {} is {} {}",
    "é {}é. {}🐱",
]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_spans_around_added_tokens(maker: Any, flags: dict[str, bool]) -> None:
    """The span of each token covers the characters of its piece, and every visible character is in a token."""
    tokenizer = tiny.tokenizer.__wrapped__() if maker is tiny.tokenizer else maker()
    tokenizer.add_tokens([AddedToken("<entity>", normalized=False, **flags)])
    spelling = Spelling.of(tokenizer)
    for place in PLACES:
        for text in {
            place.format(*["<entity>"] * 3),
            place.format(*["<mask>"] * 3),
            place.replace(" {}", "{}").format(*["<entity>"] * 3),
        }:
            encoding = encode(tokenizer, text)
            for i, token in zip(encoding.ids, encoding.tokens, strict=True):
                value = spelling.text(i)
                if token.special or i == tokenizer.unk_token_id or isinstance(value, bytes):
                    continue
                shown = text[token.start : token.end]
                expected = value.removeprefix("##") if maker is tiny.tokenizer else value
                assert shown.strip().casefold() == expected.strip().casefold(), (text, token)
            covered = {c for t in encoding.tokens for c in range(t.start, t.end)}
            assert all(c in covered or character.isspace() for c, character in enumerate(text)), text


def test_an_added_token_is_alone_beside_characters_that_a_normalizer_puts_spaces_around() -> None:
    tokenizer = tiny.tokenizer.__wrapped__()
    tokenizer.add_tokens([AddedToken("<entity>", normalized=True, lstrip=True, rstrip=True)])
    text = "cat東京<entity>  東"
    places = {token.piece: text[token.start : token.end] for token in encode(tokenizer, text).tokens}
    assert places["<entity>"] == "<entity>"


def test_added_tokens_are_spelled_as_they_were_added() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(["<entité>"])  # in other tokens, each of its characters represents a byte
    assert Spelling.of(tokenizer).name(tokenizer.convert_tokens_to_ids("<entité>")) == "<entité>"
