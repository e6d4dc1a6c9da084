"""Places: the tokens of a text that a user's ``where`` selects, and the token that a string makes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, integer
from hf_saliency.maps import spans

Where = int | str | slice


def checked(where: object) -> tuple[Where, ...] | None:
    """Return the places of a target's ``where`` as a tuple, None for its default; refuse anything else."""
    if where is None:
        return None
    entries = tuple(where) if isinstance(where, (list, tuple)) else (where,)
    places = tuple(place for entry in entries if (place := _place(entry)) is not None)
    if not entries or len(places) < len(entries):
        raise SaliencyError(
            f"where={where!r}{' is empty' * (not entries)}: give a token's index, a word of the text, a slice "
            "of characters, or a list of these."
        )
    return places


def _place(place: object) -> Where | None:
    if isinstance(place, slice):
        return place if is_range(place) else None
    return place if isinstance(place, str) else integer(place)


def is_range(characters: slice) -> bool:
    """Whether a slice can select characters: its ends are integers or None, and it has no step."""
    ends = (characters.start, characters.stop)
    return characters.step is None and all(end is None or integer(end) is not None for end in ends)


def settle_where(target: Any) -> None:
    """Check a frozen target's ``where``, and turn a list into a tuple, so that it can be compared and hashed."""
    checked(target.where)
    if isinstance(target.where, list):
        object.__setattr__(target, "where", tuple(target.where))


def find(place: Where, encoding: Encoding, text: int = 0) -> list[list[int]]:
    """Find the tokens at an index, at each occurrence of a word, or in a slice of characters: a list per occurrence.

    Words and characters are looked up in the text with the number ``text``. Refuse a place that is not there.
    """
    whole = encoding.texts[text]
    if isinstance(place, str):
        ranges = spans.occurrences(whole, place)
        if not ranges:
            raise SaliencyError(_word_missing(place, whole))
    elif isinstance(place, slice):
        start, stop, _ = place.indices(len(whole))
        ranges = [(start, stop)]
    else:
        if not -len(encoding) <= place < len(encoding):
            raise SaliencyError(f"there is no token {place}: the text has {len(encoding)}, counted from 0.")
        return [[place % len(encoding)]]
    columns = [i for i, token in enumerate(encoding.tokens) if token.text_index == text]
    spots = spans.Places([(encoding.tokens[i].start, encoding.tokens[i].end) for i in columns])
    groups = [[columns[i] for i in spots.overlapping(start, stop)] for start, stop in ranges]
    if not any(groups):
        raise SaliencyError(f"there is no token at {place!r} in {whole!r}.")
    return [tokens for tokens in groups if tokens]


def positions(where: Sequence[Where], encoding: Encoding, text: int = 0) -> list[int]:
    """Find the tokens at several places, each once, in the order of the places."""
    columns = [i for place in where for tokens in find(place, encoding, text) for i in tokens]
    return list(dict.fromkeys(columns))


def latest(where: Sequence[Where], encoding: Encoding) -> list[int]:
    """Find the tokens at several places of the last text; a word that it lacks is looked up in all texts before it."""
    last = len(encoding.texts) - 1
    columns: list[int] = []
    for place in where:
        texts = [last]
        if isinstance(place, str):
            texts = [i for i, text in enumerate(encoding.texts) if spans.occurrences(text, place)]
            if not texts:
                raise SaliencyError(_word_missing(place, "\n".join(encoding.texts)))
            texts = [last] if last in texts else texts
        columns += [i for text in texts for i in positions([place], encoding, text)]
    return list(dict.fromkeys(columns))


def _word_missing(word: str, text: str) -> str:
    words = list(dict.fromkeys(text[start:end] for start, end in spans.words(text)))
    same = [w for w in words if w.casefold() == word.casefold()]
    near = same or difflib.get_close_matches(word, words, n=3) or words[:10]
    return (
        f"the word {word!r} is not in the text (case counts, and parts of words do not); there is "
        f"{', '.join(map(repr, near))}. Part of a word is addressed by its characters: where=slice(start, end)."
    )


def one_token(
    value: str | int, name: str, encoding: Encoding, position: int, model: TextModel, before: str = ""
) -> int:
    """Return the id of a token given by its id, by a string that is this token here, or by its vocabulary entry.

    ``name`` is the argument's name in errors, and ``before`` is the text that the tokenizer reads before this token's
    text. Refuse a value that is not one token.
    """
    if not isinstance(value, str):
        index = integer(value)
        if index is None or not 0 <= index < model.classes:
            raise SaliencyError(f"{name}={value!r}: the model has the token ids 0 to {model.classes - 1}.")
        return index
    replaced, start = _replaced(value, encoding, [position], model, before)
    end = start + len(value.lstrip())
    columns = spans.overlapping([(token.start, token.end) for token in replaced.tokens], start, end)
    if len(columns) == 1:
        token = replaced.tokens[columns[0]]
        known = replaced.ids[columns[0]] != model.tokenizer.unk_token_id
        if (token.start, token.end) == (start, end) and known:
            return replaced.ids[columns[0]]
    named = model.tokenizer.convert_tokens_to_ids(value)
    if isinstance(named, int) and model.tokenizer.convert_ids_to_tokens(named) == value:
        return named
    pieces = ", ".join(repr(replaced.tokens[i].piece) for i in columns) or "nothing"
    raise SaliencyError(
        f"{name}={value!r} must be one token of this tokenizer, but in place of {encoding.tokens[position].piece!r} "
        f"it is read as {pieces}: give one of these, another word, or a token id."
    )


_CONTEXT = 64  # characters on each side of a token that decide how it is split


def _replaced(
    value: str, encoding: Encoding, span: Sequence[int], model: TextModel, before: str = ""
) -> tuple[Encoding, int]:
    """Encode the text with a string instead of neighbouring tokens; return it and the start of the stripped string.

    A long text is cut to the words around the tokens, if these are split there as in the whole text. All targets of a
    text then take the time of a few encodings of it, and not of one encoding for each target.
    """
    first, last = encoding.tokens[span[0]], encoding.tokens[span[-1]]
    whole = before + encoding.texts[first.text_index]
    start, end = len(before) + first.start, len(before) + last.end
    if whole[:start][-1:].isspace():
        value = value.lstrip()
    low = whole.rfind(" ", 0, max(start - _CONTEXT, 0)) + 1
    high = whole.find(" ", end + _CONTEXT)
    high = len(whole) if high < 0 else high
    if low > 0 or high < len(whole):
        near = model.encode(whole[low:high], overflow="windows")
        inside = [
            i
            for t, i in zip(near.tokens, near.ids, strict=True)
            if not t.special and start <= low + t.start <= low + t.end <= end
        ]
        if inside != [encoding.ids[i] for i in span]:
            low, high = 0, len(whole)
    changed = model.encode(whole[low:start] + value + whole[end:high], overflow="windows")
    return changed, start - low + len(value) - len(value.lstrip())


def same_length(
    value: str, name: str, encoding: Encoding, span: Sequence[int], model: TextModel
) -> list[int]:
    """Return the ids of a string that replaces the tokens ``span``; refuse a different number of tokens."""
    replaced, start = _replaced(value, encoding, span, model)
    places = [(token.start, token.end) for token in replaced.tokens]
    read = spans.overlapping(places, start, start + len(value.strip()))
    if len(read) == len(span):
        return [replaced.ids[i] for i in read]
    first, last = encoding.tokens[span[0]], encoding.tokens[span[-1]]
    pieces = ", ".join(repr(replaced.tokens[i].piece) for i in read) or "nothing"
    raise SaliencyError(
        f"{name}={value!r} is read as {pieces} in place of "
        f"{encoding.texts[first.text_index][first.start : last.end]!r}, which has {len(span)} tokens: give a string "
        "with as many."
    )


def own_text(encoding: Encoding, position: int, class_id: int, model: TextModel) -> str:
    """Return a token's own text if it is the scored class and known to the tokenizer; otherwise ""."""
    token = encoding.tokens[position]
    if class_id != encoding.ids[position] or class_id == model.tokenizer.unk_token_id:
        return ""
    return spans.label(encoding.texts[token.text_index], token)


def plain_tokens(encoding: Encoding, instead: str) -> list[int]:
    """Return the tokens that are not special; refuse a text without any."""
    plain = [i for i, token in enumerate(encoding.tokens) if not token.special]
    if not plain:
        raise SaliencyError(
            f"the text {encoding.texts[0]!r} has special tokens only: there is nothing to explain. Give "
            f"{instead} to explain one of them all the same."
        )
    return plain
