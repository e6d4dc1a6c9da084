"""Exact ids: texts that come with the token ids for the model to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hf_saliency.adapter.encoding import Encoding, encode, folded, place_tokens, special_ids
from hf_saliency.errors import SaliencyError, has_ids, id_list
from hf_saliency.maps.spans import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTEXT = 8  # tokens decoded together, since a token's spelling may depend on those before it


class TextWithIds(str):
    """A text with its token ids, special ones included. It passes for a string, but the model reads the ids."""

    ids: tuple[int, ...]

    def __new__(cls, text: str, ids: Iterable[int]) -> TextWithIds:
        made = super().__new__(cls, text)
        made.ids = tuple(ids)
        return made


def with_ids(texts: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Replace ``(text, ids)`` and the tokenizer's own encodings in a user's input by texts with ids."""
    if isinstance(texts, tuple) and not has_ids(texts):
        return tuple(with_ids(part, tokenizer) for part in texts)
    if not has_ids(texts):
        return texts
    if isinstance(texts, tuple):
        text, ids = texts
        return TextWithIds(text, _ids(ids))
    ids = _unpadded(_ids(texts["input_ids"]), texts.get("attention_mask"))
    if any(number for number in _sequence_numbers(texts)):
        raise SaliencyError(
            "the encoding holds a pair of texts, whose ids do not say which is which: give the texts, "
            "explainer((text, pair))."
        )
    first, *_ = _readings(ids, tokenizer)
    return TextWithIds(str(tokenizer.decode(first, clean_up_tokenization_spaces=False)), ids)


def _ids(value: Any) -> tuple[int, ...]:
    ids = id_list(value)
    if ids is None:
        raise SaliencyError(
            f"token ids must be one row of whole numbers, not {value!r:.80}: give those of one text, "
            "explainer((text, ids)) or explainer(tokenizer(text)); several are a list of these."
        )
    return ids


def _unpadded(ids: tuple[int, ...], mask: Any) -> tuple[int, ...]:
    """Remove padding at either end of the ids, since the model would read it as text."""
    seen = (1,) * len(ids) if mask is None else id_list(mask)
    places = [i for i, number in enumerate(seen or ()) if number]
    first, last = (places[0], places[-1]) if places else (0, -1)
    if seen is None or len(seen) != len(ids) or last - first + 1 != len(places) or not places:
        raise SaliencyError(
            "the attention_mask of this encoding hides tokens within the text, where it may hide padding at an end "
            "only: explain the text without what it hides."
        )
    return ids[first : last + 1]


def _sequence_numbers(encoding: Any) -> Sequence[int | None]:
    numbers = getattr(encoding, "sequence_ids", None)
    try:
        return list(numbers(0)) if callable(numbers) else ()
    except ValueError:  # from a tokenizer in Python
        return ()


def _readings(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Return candidates for the ids that spell a text: without special ids, without those at the two ends, and all."""
    special = special_ids(tokenizer)
    plain = [i for i in ids if i not in special]
    inner = list(ids)
    while inner and inner[-1] in special:
        inner.pop()
    while inner and inner[0] in special:
        inner.pop(0)
    return [plain, inner, list(ids)]


def encode_with_ids(
    tokenizer: PreTrainedTokenizerBase, text: TextWithIds, *, special: bool = True
) -> Encoding:
    """Encode a text with the user's ids; SaliencyError if they spell a different text."""
    usual = encode(tokenizer, str(text), special=special)
    if usual.ids == text.ids:
        return usual
    solid = [i for i, character in enumerate(text) if not character.isspace()]
    wanted = [letter for i in solid for letter in folded(text[i])]
    for reading in _readings(text.ids, tokenizer):
        if _letters(tokenizer, reading) == wanted:
            rest = iter(reading)
            upcoming = next(rest, None)
            added = []
            for i in text.ids:
                added.append(i != upcoming)
                upcoming = upcoming if added[-1] else next(rest, None)
            spots = iter(_places(tokenizer, reading, solid, len(text)))
            places = [(0, 0) if was_added else next(spots) for was_added in added]
            tokens = place_tokens(tokenizer, (str(text),), text.ids, added, [0] * len(text.ids), places)
            return Encoding((str(text),), text.ids, tokens)
    spelled = tokenizer.decode(list(text.ids), clean_up_tokenization_spaces=False)
    raise SaliencyError(
        f"the ids spell {spelled!r:.200}, not the text {str(text)!r:.200}: give the text of the ids, "
        "explainer((tokenizer.decode(ids), ids)), or omit the ids."
    )


def _letters(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Decode ids, without white space and without the bytes of a character that is still incomplete."""
    spelled = str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).rstrip("\ufffd")
    return folded("".join(spelled.split()))


def _places(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], solid: Sequence[int], length: int
) -> list[Span]:
    """Place each token at the letters that it adds to those before it; one without letters fills the gap between."""
    places: list[Span] = []
    reach = end = 0
    for count in range(1, len(ids) + 1):
        near = ids[max(count - _CONTEXT, 0) : count]
        more = len(_letters(tokenizer, near)) - len(_letters(tokenizer, near[:-1]))
        stop = min(reach + max(more, 0), len(solid))
        start = solid[reach] if reach < len(solid) else length
        if stop == reach:
            places.append((end, start))
            continue
        places.append((start, solid[stop - 1] + 1))
        reach, end = stop, solid[stop - 1] + 1
    return places
