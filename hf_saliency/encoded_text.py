"""EncodedText: what a map needs of an encoding, whichever tokenizer made it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Token, trim


@dataclass(frozen=True)
class EncodedText:
    """A text and its tokens.

    Parameters
    ----------
    texts
        The text, or the two of a pair.
    tokens
        Without padding.
    columns
        Which of the encoding's tokens these are.
    count
        How many tokens the encoding has, padding included.
    """

    texts: tuple[str, ...]
    tokens: tuple[Token, ...]
    columns: Sequence[int]
    count: int


def encoded(encoding: Any, text: str | tuple[str, str] | None) -> EncodedText:
    """The tokens of an encoding, placed in its text.

    Parameters
    ----------
    encoding
        What ``explainer.encode`` returns; a ``BatchEncoding`` of one text by a fast tokenizer of transformers; or
        one element of a larger one, ``batch[i]``.
    text
        The text that was encoded, which only the first of them knows itself.

    Returns
    -------
    EncodedText

    Raises
    ------
    SaliencyError
        If it is none of these, the text is missing, or the tokens do not lie in it.
    """
    if hasattr(encoding, "texts") and hasattr(encoding, "tokens"):
        texts, tokens = tuple(encoding.texts), tuple(encoding.tokens)
        if text is not None and (text,) != texts and text != texts:
            raise SaliencyError(f"text={text!r} is not what was encoded, {texts}: leave it out.")
        return EncodedText(texts, tokens, range(len(tokens)), len(tokens))
    one = _one(encoding)
    if text is None:
        raise SaliencyError("this encoding does not hold its text: give text=, the string that was encoded.")
    texts = (text,) if isinstance(text, str) else tuple(text)
    known = all(isinstance(part, str) for part in texts)
    if not known or len(texts) != one.n_sequences:
        raise SaliencyError(
            f"text={text!r}: give {'one string' if one.n_sequences == 1 else 'the two strings of the pair'}, as "
            "they were encoded."
        )
    columns = [i for i, seen in enumerate(one.attention_mask) if seen]
    return EncodedText(texts, _tokens(one, columns, texts), columns, len(one.tokens))


def _one(encoding: Any) -> Any:
    """The encoding of one text, as the tokenizers package holds it."""
    if not hasattr(encoding, "encodings"):
        if hasattr(encoding, "offsets") and hasattr(encoding, "special_tokens_mask"):
            return encoding
        raise SaliencyError(
            f"encoding is {type(encoding).__name__}: give explainer.encode(text), or tokenizer(text) with text=text."
        )
    found = encoding.encodings
    if not found:
        raise SaliencyError(
            "this encoding has no character offsets, as those of slow tokenizers: give explainer.encode(text), or "
            "that of a fast tokenizer."
        )
    if len(found) != 1:
        raise SaliencyError(
            f"this encoding holds {len(found)} texts, and a map one: give batch[i], with text=texts[i] and that "
            "text's attributions."
        )
    return found[0]


def _tokens(one: Any, columns: Sequence[int], texts: Sequence[str]) -> tuple[Token, ...]:
    """Each token at its place; those that the tokenizer added stand where the one before them ends."""
    tokens: list[Token] = []
    number = end = 0
    for i in columns:
        added = bool(one.special_tokens_mask[i])
        sequence = one.sequence_ids[i]
        if added or sequence is None:
            tokens.append(Token(one.tokens[i], end, end, number, special=True))
            continue
        start, stop = one.offsets[i]
        if not 0 <= start <= stop <= len(texts[sequence]):
            raise SaliencyError(
                f"the token {one.tokens[i]!r} is at characters {(start, stop)} of a text of {len(texts[sequence])}: "
                "text= must be the string that was encoded."
            )
        number = sequence
        start, end = trim(texts[number], start, stop)
        tokens.append(Token(one.tokens[i], start, end, number))
    _check_order(one, [i for i in columns if one.word_ids[i] is not None])
    return tuple(tokens)


def _check_order(one: Any, columns: Sequence[int]) -> None:
    """Refuse places that were counted within words, as those of a list of words are."""
    for i, j in itertools.pairwise(columns):
        (start, end), (next_start, next_end) = one.offsets[i], one.offsets[j]
        if one.sequence_ids[i] != one.sequence_ids[j] or one.word_ids[i] == one.word_ids[j]:
            continue
        # A character that a tokenizer writes as several words, as … is, may be shared.
        if next_start < start or min(end, next_end) - max(start, next_start) > 1:
            raise SaliencyError(
                f"the tokens {one.tokens[i]!r} and {one.tokens[j]!r} overlap, as if the text had been encoded as a "
                "list of words (is_split_into_words=True): encode it as one string."
            )
