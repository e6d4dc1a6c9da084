"""Encoding: a text as one model's tokens, each with its place in the text. The only tokenizer calls."""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hf_saliency import spans
from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Span, Token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoding:
    """A text as a model reads it.

    Parameters
    ----------
    texts
        The text, or several.
    ids
        One id a token, special tokens included; no padding.
    tokens
        What each id stands for.
    inputs
        The tokenizer's further inputs with one value a token, such as ``token_type_ids``.
    """

    texts: tuple[str, ...]
    ids: tuple[int, ...]
    tokens: tuple[Token, ...]
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def content(self) -> range:
        """The tokens between the special ones that the tokenizer put at the two ends."""
        first, last = 0, len(self)
        while first < last and self._added(first):
            first += 1
        while last > first and self._added(last - 1):
            last -= 1
        return range(first, last)

    def _added(self, i: int) -> bool:
        return self.tokens[i].special and self.tokens[i].start == self.tokens[i].end

    def columns(self, columns: Sequence[int]) -> Encoding:
        """The encoding of some tokens only, in the given order."""
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in columns),
            tokens=tuple(self.tokens[i] for i in columns),
            inputs={name: tuple(values[i] for i in columns) for name, values in self.inputs.items()},
        )

    def window(self, center: int, length: int) -> list[int]:
        """The columns of at most ``length`` tokens around one, with the special tokens of both ends."""
        content = self.content
        room = length - (len(self) - len(content))
        start = max(content.start, min(center - room // 2, content.stop - room))
        inner = range(start, min(start + room, content.stop))
        return [*range(content.start), *inner, *range(content.stop, len(self))]

    def truncated(self, length: int) -> Encoding:
        """The first tokens, and the text as far as they reach."""
        content = self.content
        kept = self.columns(self.window(content.start, length))
        end = max((kept.tokens[i].end for i in kept.content), default=0)
        tokens = tuple(
            dataclasses.replace(token, start=end, end=end) if token.start > end else token
            for token in kept.tokens
        )
        return dataclasses.replace(kept, texts=(self.texts[0][:end], *self.texts[1:]), tokens=tokens)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoding:
    """Tokenize one text, special tokens added, nothing cut.

    Parameters
    ----------
    tokenizer
        With character offsets, as every fast tokenizer has them; another one works if its tokens, decoded,
        spell the words of the text.
    text
        Not empty.

    Returns
    -------
    Encoding

    Raises
    ------
    SaliencyError
        If the text is no string or is empty, or if the tokens cannot be placed in it exactly.
    """
    if not isinstance(text, str):
        raise SaliencyError(f"a text must be a string, not {type(text).__name__}: explainer('Some text.').")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SaliencyError(f"the text {text!r} is no valid Unicode: {error.reason}.") from error
    if not text.strip():
        raise SaliencyError(f"the text is empty ({text!r}): there is nothing to explain.")
    fast = getattr(tokenizer, "is_fast", False)
    batch = tokenizer(
        text,
        add_special_tokens=True,
        truncation=False,
        padding=False,
        verbose=False,  # the length is checked against the model, with an error and not with a warning
        return_special_tokens_mask=True,
        return_offsets_mapping=fast,
    )
    ids = tuple(int(i) for i in batch["input_ids"])
    added = [bool(flag) for flag in batch["special_tokens_mask"]]
    places = batch["offset_mapping"] if fast else _align(tokenizer, text, ids, added)
    return Encoding((text,), ids, _tokens(tokenizer, text, ids, added, places), _further(batch, len(ids)))


def _tokens(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: Sequence[int],
    added: Sequence[bool],
    places: Sequence[Span],
) -> tuple[Token, ...]:
    # A mask or unknown token in the text stands for a word; the other special tokens never do.
    special = set(tokenizer.all_special_ids) - {tokenizer.mask_token_id, tokenizer.unk_token_id}
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    tokens = []
    end = 0
    for i, piece, place, was_added in zip(ids, pieces, places, added, strict=True):
        if was_added:
            tokens.append(Token(str(piece), end, end, special=True))
            continue
        if not 0 <= place[0] <= place[1] <= len(text):
            raise SaliencyError(
                f"{type(tokenizer).__name__} places the token {piece!r} at characters {tuple(place)} of a text of "
                f"{len(text)}: its offsets are wrong. Use another tokenizer for this model."
            )
        start, end = spans.trim(text, *place)
        tokens.append(Token(str(piece), start, end, special=i in special))
    return tuple(tokens)


def _further(batch: Mapping[str, Any], length: int) -> dict[str, tuple[int, ...]]:
    """What else the tokenizer made with one number for each token."""
    known = {"input_ids", "attention_mask", "special_tokens_mask", "offset_mapping"}
    return {
        name: tuple(values)
        for name, values in batch.items()
        if name not in known
        and isinstance(values, (list, tuple))
        and len(values) == length
        and all(isinstance(value, int) for value in values)
    }


def _align(
    tokenizer: PreTrainedTokenizerBase, text: str, ids: Sequence[int], added: Sequence[bool]
) -> list[Span]:
    """Offsets for a tokenizer that has none: exact, or an error.

    The words between white space are tokenized one by one, which must give the tokens of the whole text. In a
    word of several tokens the decoded beginnings (one token, two, ...) must spell the beginnings of the word.
    """
    name = type(tokenizer).__name__
    refusal = SaliencyError(
        f"{name} reports no character offsets, and its tokens cannot be placed in this text exactly. Load a fast "
        "tokenizer (AutoTokenizer.from_pretrained(...) gives one where it exists; for an own vocabulary "
        "transformers.PreTrainedTokenizerFast(tokenizer_object=...))."
    )
    plain = [token for token, was_added in zip(ids, added, strict=True) if not was_added]
    places: list[Span] = []
    for start, end in _between_spaces(text):
        word = tokenizer(text[start:end], add_special_tokens=False, verbose=False)["input_ids"]
        if list(word) != plain[len(places) : len(places) + len(word)]:
            raise refusal
        ends = [start, *_ends(tokenizer, text[start:end], word, start, refusal)]
        places += list(itertools.pairwise(ends))
    if len(places) != len(plain):
        raise refusal
    rest = iter(places)
    return [(0, 0) if was_added else next(rest) for was_added in added]


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
