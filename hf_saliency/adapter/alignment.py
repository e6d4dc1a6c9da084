"""Character offsets for tokenizers that report none."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def align(tokenizer: PreTrainedTokenizerBase, text: str, ids: Sequence[int]) -> list[Span]:
    """Where each token of a text stands in it: exact, or an error.

    The words between white space are tokenized one by one, which must give the tokens of the whole text. In a
    word of several tokens the decoded beginnings (one token, two, ...) must spell the beginnings of the word.

    Parameters
    ----------
    tokenizer
        Without offsets.
    text
        The text.
    ids
        Its tokens, without special ones added.

    Returns
    -------
    list of (start, end)

    Raises
    ------
    SaliencyError
        If the tokens cannot be placed exactly.
    """
    name = type(tokenizer).__name__
    refusal = SaliencyError(
        f"{name} reports no character offsets, and its tokens cannot be placed in this text exactly. Load a fast "
        "tokenizer (AutoTokenizer.from_pretrained(...) gives one where it exists; for an own vocabulary "
        "transformers.PreTrainedTokenizerFast(tokenizer_object=...))."
    )
    places: list[Span] = []
    for start, end in _between_spaces(text):
        word = tokenizer(text[start:end], add_special_tokens=False, verbose=False)["input_ids"]
        if list(word) != list(ids[len(places) : len(places) + len(word)]):
            raise refusal
        ends = [start, *_ends(tokenizer, text[start:end], word, start, refusal)]
        places += list(itertools.pairwise(ends))
    if len(places) != len(ids):
        raise refusal
    return places


def _ends(
    tokenizer: PreTrainedTokenizerBase, word: str, ids: Sequence[int], start: int, refusal: SaliencyError
) -> list[int]:
    """Where each token of a word ends in the text."""
    if len(ids) == 1:
        return [start + len(word)]
    pieces = list(tokenizer.convert_ids_to_tokens(list(ids)))
    ends = []
    for count in range(1, len(pieces) + 1):
        spelled = tokenizer.convert_tokens_to_string(pieces[:count]).replace(" ", "")
        if not spelled or _folded(spelled) != _folded(word[: len(spelled)]):
            raise refusal
        ends.append(start + len(spelled))
    if ends[-1] != start + len(word) or sorted(set(ends)) != ends:
        raise refusal
    return ends


def _between_spaces(text: str) -> list[Span]:
    found, start = [], 0
    for part in text.split():
        start = text.index(part, start)
        found.append((start, start + len(part)))
        start += len(part)
    return found


def _folded(text: str) -> list[str]:
    """Each character without case and accents, which tokenizers drop."""
    return [unicodedata.normalize("NFD", character)[0].casefold() for character in text]
