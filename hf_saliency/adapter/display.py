"""Display: names of tokens for readers, never in the vocabulary's own spelling."""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from hf_saliency.maps.spans import signs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTINUES = "…"
"""Sign before a piece that continues a word (WordPiece), and after a piece whose word goes on."""

# A cache, since listing thousands of added tokens takes milliseconds. An entry is valid for one size of the
# vocabulary, which grows with each added token.
_SPELLINGS: WeakKeyDictionary[object, tuple[int, Spelling]] = WeakKeyDictionary()
_MARK = "▁"  # the space in SentencePiece vocabularies


@functools.cache
def _bytes() -> dict[str, int]:
    """Map each character of byte-level vocabularies (GPT-2's) to its byte."""
    from tokenizers.pre_tokenizers import ByteLevel

    plain = {chr(code): code for code in range(256) if chr(code) in set(ByteLevel.alphabet())}
    rest = [code for code in range(256) if chr(code) not in plain]
    return {**plain, **{chr(256 + i): code for i, code in enumerate(rest)}}


@dataclass(frozen=True)
class Spelling:
    """How a tokenizer's vocabulary spells text."""

    tokenizer: PreTrainedTokenizerBase
    byte_level: bool  # each character of a piece represents a byte
    marked: bool  # spaces are spelled as SentencePiece does
    prefix: str  # marks a piece that continues a word; empty if the vocabulary has none
    suffix: str  # marks a piece that ends a word; empty if the vocabulary has none
    added: frozenset[int]  # ids of added and special tokens, which are found before a text is split
    # Caches: a corpus needs the same few thousand tokens again and again, and decoding is slow.
    _texts: dict[int, str | bytes] = field(default_factory=dict, repr=False, compare=False)
    _names: dict[tuple[int, bool], str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Spelling:
        """Read the spelling from a fast tokenizer's parts, or from the attributes of a tokenizer in Python."""
        size = len(tokenizer)
        known = _SPELLINGS.get(tokenizer)
        if known is not None and known[0] == size:
            return known[1]
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        parts = [
            part
            for part in (getattr(backend, "decoder", None), getattr(backend, "pre_tokenizer", None))
            if part
        ]
        state = "".join(part.__getstate__().decode() for part in parts)
        model: Any = getattr(backend, "model", None)
        word_piece = type(model).__name__ == "WordPiece"
        in_python = "##" if hasattr(tokenizer, "wordpiece_tokenizer") else ""
        spelling = cls(
            cast(
                "PreTrainedTokenizerBase", weakref.proxy(tokenizer)
            ),  # a cached value must not keep its key alive
            byte_level='"ByteLevel"' in state or hasattr(tokenizer, "byte_decoder"),
            marked=_MARK in state or '"Metaspace"' in state or hasattr(tokenizer, "sp_model"),
            prefix=str(model.continuing_subword_prefix) if word_piece else in_python,
            suffix=str(getattr(model, "end_of_word_suffix", None) or ""),
            added=frozenset(tokenizer.added_tokens_decoder),
        )
        _SPELLINGS[tokenizer] = (size, spelling)
        return spelling

    def text(self, index: int) -> str | bytes:
        """Return the text that a token represents, spaces included; bytes if it is a part of a character."""
        if index not in self._texts:
            self._texts[index] = self._text(index)
        return self._texts[index]

    def _text(self, index: int) -> str | bytes:
        piece = self._piece(index)
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):  # byte fallback
            raw = bytes([int(piece[3:5], 16)])
        elif self.byte_level and index in self.added and not piece.isascii():
            return piece  # an added token keeps the user's spelling
        elif self.byte_level and all(character in _bytes() for character in piece):
            raw = bytes(_bytes()[character] for character in piece)
        elif self.marked:
            return piece.replace(_MARK, " ")
        elif self.suffix:
            return piece.removesuffix(self.suffix)
        else:
            return str(self.tokenizer.decode([index], clean_up_tokenization_spaces=False))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw

    def is_whole(self, index: int) -> bool:
        """Whether the tokenizer finds the token before it splits the text, as it does for added and special tokens."""
        return index in self.added

    def name(self, index: int, *, exact: bool = False) -> str:
        """Return a token's display name; ``exact`` keeps the spaces around it, so that two tokens never look alike."""
        if (index, exact) not in self._names:
            self._names[index, exact] = self._name(index, exact)
        return self._names[index, exact]

    def _name(self, index: int, exact: bool) -> str:
        piece = self._piece(index)
        if not piece:  # an unused row of a padded vocabulary
            return f"id {index}"
        if self.prefix and piece != self.prefix and piece.startswith(self.prefix):
            return CONTINUES + piece.removeprefix(self.prefix)
        text = self.text(index)
        if isinstance(text, bytes):
            return f"byte{'s' * (len(text) > 1)} {text.hex(' ').upper()}"
        inner = text.strip(" ")
        if not text.strip():
            return signs(text) or piece
        before, after = text[: len(text) - len(text.lstrip(" "))], text[len(text.rstrip(" ")) :]
        name = "".join(signs(character) if character in "\n\r\t" else character for character in inner)
        if exact and self.suffix and not piece.endswith(self.suffix):
            name += CONTINUES
        return signs(before) + name + signs(after) if exact else name

    def _piece(self, index: int) -> str:
        piece: Any = self.tokenizer.convert_ids_to_tokens(index)
        if isinstance(piece, bytes):  # tokenizers in Python that spell bytes as bytes
            return piece.decode(errors="replace")
        return "" if piece is None else str(piece)
