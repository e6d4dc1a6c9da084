"""Encoding: texts as one model's tokens, each with its place in the text. Only this file calls the tokenizer."""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hf_saliency.adapter.display import Spelling
from hf_saliency.adapter.guards import locked
from hf_saliency.errors import SaliencyError, no_text
from hf_saliency.maps import spans
from hf_saliency.maps.spans import Span, Token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def align(tokenizer: PreTrainedTokenizerBase, text: str, ids: Sequence[int]) -> list[Span]:
    """Return each token's place in a text, exactly or with an error, for a tokenizer without offsets.

    The words between white space are tokenized one by one, which must yield the tokens of the whole text. In a word of
    several tokens, the decoded prefixes (one token, two, ...) must spell prefixes of the word.
    """
    name = type(tokenizer).__name__
    refusal = SaliencyError(
        f"{name} reports no character offsets, and its tokens cannot be placed in this text exactly. Load a fast "
        "tokenizer (AutoTokenizer.from_pretrained(...) gives one where it exists; for a vocabulary of your "
        "own, transformers.PreTrainedTokenizerFast(tokenizer_object=...))."
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
    """Return the character at which each token of a word ends in the text."""
    if len(ids) == 1:
        return [start + len(word)]
    pieces = list(tokenizer.convert_ids_to_tokens(list(ids)))
    ends = []
    for count in range(1, len(pieces) + 1):
        spelled = tokenizer.convert_tokens_to_string(pieces[:count]).replace(" ", "")
        if not spelled or folded(spelled) != folded(word[: len(spelled)]):
            raise refusal
        ends.append(start + len(spelled))
    if ends[-1] != start + len(word) or sorted(set(ends)) != ends:
        raise refusal
    return ends


def _between_spaces(text: str) -> list[Span]:
    places, start = [], 0
    for part in text.split():
        start = text.index(part, start)
        places.append((start, start + len(part)))
        start += len(part)
    return places


def folded(text: str) -> list[str]:
    """Return each character without case and accents, which some tokenizers drop."""
    return [unicodedata.normalize("NFD", character)[0].casefold() for character in text]


@dataclass(frozen=True)
class Encoding:
    """Texts as a model reads them: the columns of a map, special tokens included and without padding."""

    texts: tuple[str, ...]
    ids: tuple[int, ...]
    tokens: tuple[Token, ...]
    # The tokenizer's further inputs with one value per token, such as token_type_ids.
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    # The first column of each sequence that the model reads: one sequence for most models, source and target for an
    # encoder-decoder, one for each text or choice if the model reads them separately.
    starts: tuple[int, ...] = (0,)
    # Names of the texts, if known before a target names them: the roles of a conversation.
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def parts(self) -> tuple[range, ...]:
        """The columns of each sequence."""
        return tuple(itertools.starmap(range, itertools.pairwise([*self.starts, len(self)])))

    @property
    def content(self) -> range:
        """The columns between the special tokens that the tokenizer added at the two ends."""
        first, last = 0, len(self)
        while first < last and self._added(first):
            first += 1
        while last > first and self._added(last - 1):
            last -= 1
        return range(first, last)

    def _added(self, i: int) -> bool:
        return self.tokens[i].special and self.tokens[i].start == self.tokens[i].end

    def columns(self, columns: Sequence[int]) -> Encoding:
        """Return an encoding of only some tokens, in the given order, as one sequence."""
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in columns),
            tokens=tuple(self.tokens[i] for i in columns),
            inputs={name: tuple(values[i] for i in columns) for name, values in self.inputs.items()},
            starts=(0,),
        )

    def window(self, center: int, length: int) -> list[int]:
        """Return the columns of at most ``length`` tokens around one, special tokens at both ends included."""
        content = self.content
        room = length - (len(self) - len(content))
        start = max(content.start, min(center - room // 2, content.stop - room))
        inner = range(start, min(start + room, content.stop))
        return [*range(content.start), *inner, *range(content.stop, len(self))]

    def window_before(self, end: int, length: int) -> list[int]:
        """Return the columns of at most ``length`` tokens before one, special tokens at the beginning included."""
        begin = self.content.start
        return [*range(begin), *range(max(begin, end - (length - begin)), end)]

    def truncated(self, length: int) -> Encoding:
        """Return the first ``length`` tokens, with the text cut where they end."""
        content = self.content
        kept = self.columns(self.window(content.start, length))
        end = max((kept.tokens[i].end for i in kept.content), default=0)
        tokens = tuple(
            dataclasses.replace(token, start=end, end=end) if token.start > end else token
            for token in kept.tokens
        )
        return dataclasses.replace(kept, texts=(self.texts[0][:end], *self.texts[1:]), tokens=tokens)


def joined(encodings: Sequence[Encoding]) -> Encoding:
    """Join sequences that a model reads separately into one encoding; inputs that a sequence lacks are zero in it."""
    names = dict.fromkeys(name for encoding in encodings for name in encoding.inputs)
    texts: list[str] = []
    tokens: list[Token] = []
    starts: list[int] = []
    for encoding in encodings:
        starts.append(len(tokens))
        tokens += [
            dataclasses.replace(token, text_index=token.text_index + len(texts)) for token in encoding.tokens
        ]
        texts += encoding.texts
    inputs = {
        name: tuple(
            value for encoding in encodings for value in encoding.inputs.get(name, (0,) * len(encoding))
        )
        for name in names
    }
    ids = tuple(i for encoding in encodings for i in encoding.ids)
    return Encoding(tuple(texts), ids, tuple(tokens), inputs, tuple(starts))


def encode(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    pair: str | None = None,
    *,
    special: bool = True,
    as_target: bool = False,
    length: int | None = None,
) -> Encoding:
    """Tokenize a text, or two as one sequence; refuse empty texts, and tokens that cannot be placed exactly.

    ``as_target`` is for the text that an encoder-decoder writes, which some tokenizers read differently. A pair is
    cut to ``length`` tokens, the longer text first; nothing else is cut.
    """
    texts = (text,) if pair is None else (text, pair)
    for content in texts:
        _check_text(content)
    fast = getattr(tokenizer, "is_fast", False)
    plain_call = pair is None and special and not as_target and length is None
    ahead = _ahead.get()
    batch: Any = ahead.batches.get(text) if plain_call and ahead.tokenizer is tokenizer else None
    if batch is None:
        batch = tokenizer(
            **{"text_target" if as_target else "text": text},
            **({} if pair is None else {"text_pair": pair}),
            **({"truncation": False} if length is None else {"truncation": True, "max_length": length}),
            add_special_tokens=special,
            return_offsets_mapping=fast,
            **_OPTIONS,
        )
    ids = tuple(int(i) for i in batch["input_ids"])
    added = [bool(flag) for flag in batch["special_tokens_mask"]]
    plain = [i for i, was_added in zip(ids, added, strict=True) if not was_added]
    if fast:
        sequences = [0] * len(ids) if pair is None else batch.sequence_ids(0)
        numbers = [number or 0 for number in sequences]
        places = [tuple(place) for place in batch["offset_mapping"]]
    else:
        numbers, places = _placed(tokenizer, texts, plain, added)
    tokens = place_tokens(tokenizer, texts, ids, added, numbers, places)
    return Encoding(texts, ids, tokens, _further(batch, len(ids)))


# The length is checked later against the model, which raises an error; the tokenizer would only warn.
_OPTIONS: dict[str, Any] = {"padding": False, "verbose": False, "return_special_tokens_mask": True}


@dataclass(frozen=True)
class _Ahead:
    """A tokenizer's output for several texts, and its special tokens, which are slow to list."""

    tokenizer: object = None
    batches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    special: frozenset[int] = frozenset()


_ahead: ContextVar[_Ahead] = ContextVar("texts read ahead", default=_Ahead())  # noqa: B039


@contextmanager
def read_ahead(tokenizer: PreTrainedTokenizerBase, texts: Iterable[object]) -> Iterator[None]:
    """Tokenize all plain strings in one call, which is several times as fast; :func:`encode` uses the results."""
    from transformers import PreTrainedTokenizerBase

    plain = list(
        dict.fromkeys(text for text in texts if type(text) is str and text.strip() and _is_unicode(text))
    )
    usual = type(tokenizer).__call__ is PreTrainedTokenizerBase.__call__
    if not plain or not (usual and tokenizer.is_fast):
        yield
        return
    with locked(tokenizer):
        batch = tokenizer(plain, truncation=False, return_offsets_mapping=True, **_OPTIONS)
    names = [name for name, rows in batch.items() if len(rows) == len(plain)]
    rows = zip(plain, zip(*(batch[name] for name in names), strict=True), strict=True)
    batches = {text: dict(zip(names, row, strict=True)) for text, row in rows}
    state = _ahead.set(_Ahead(tokenizer, batches, special_ids(tokenizer)))
    try:
        yield
    finally:
        _ahead.reset(state)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids of special tokens, except mask and unknown, which represent a word of the text."""
    return frozenset(tokenizer.all_special_ids) - {tokenizer.mask_token_id, tokenizer.unk_token_id}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise no_text(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SaliencyError(f"the text {text!r} is not valid Unicode: {error.reason}.") from error
    if not text.strip():
        raise SaliencyError(f"the text is empty ({text!r}): there is nothing to explain.")


def _placed(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], plain: Sequence[int], added: Sequence[bool]
) -> tuple[list[int], list[Span]]:
    """Return each token's text number and place, for a tokenizer without offsets; the texts follow each other."""
    first = len(plain)
    if len(texts) > 1:
        first = len(tokenizer(texts[0], add_special_tokens=False, verbose=False)["input_ids"])
    parts = [plain[:first], plain[first:]][: len(texts)]
    tokens = [
        (number, place)
        for number, (text, ids) in enumerate(zip(texts, parts, strict=True))
        for place in align(tokenizer, text, ids)
    ]
    rest = iter(tokens)
    pairs = [(0, (0, 0)) if was_added else next(rest) for was_added in added]
    return [number for number, _ in pairs], [place for _, place in pairs]


def place_tokens(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    ids: Sequence[int],
    added: Sequence[bool],
    numbers: Sequence[int],
    places: Sequence[Span],
) -> tuple[Token, ...]:
    """Return the tokens of texts, from their places and the flags of those that the tokenizer added."""
    ahead = _ahead.get()
    special = ahead.special if ahead.tokenizer is tokenizer else special_ids(tokenizer)
    spelling = Spelling.of(tokenizer)
    tokens: list[Token] = []
    end = number = 0
    first = True  # of a stretch of text, which begins after each token that is found whole
    for i, place, was_added, text_number in zip(ids, places, added, numbers, strict=True):
        name = spelling.name(i)
        if was_added:
            tokens.append(Token(name, end, end, number, special=True))
            first = True
            continue
        number = text_number
        text = texts[number]
        if not 0 <= place[0] <= place[1] <= len(text):
            raise SaliencyError(
                f"{type(tokenizer).__name__} places the token {name!r} at characters {tuple(place)} of a "
                f"text of {len(text)}: its offsets are wrong. Use another tokenizer for this model."
            )
        whole = spelling.is_whole(i)
        start, end = _place(text, place, spelling, i, first=first, whole=whole)
        tokens.append(Token(name, start, end, number, special=i in special))
        first = whole
    return _with_parts(texts, ids, tokens, spelling)


def _place(text: str, place: Span, spelling: Spelling, index: int, *, first: bool, whole: bool) -> Span:
    """Return a token's characters, without the white space around it unless it is nothing but white space."""
    start, end = spans.trim(text, *place)
    if whole:
        # Normalizers that put spaces around some characters shift the token's place over the white space beside it.
        spelled = str(spelling.text(index)).strip()
        if spelled and spelled in text[start:end]:
            start = text.index(spelled, start)
            return start, start + len(spelled)
    marks = spelling.marked or spelling.byte_level
    if marks and end - start == 1 and not text[start].isspace() and spelling.text(index) in (" ", b" "):
        # The token is only the mark of a word's beginning, which some tokenizers place at the word's first letter.
        return start, start
    if first and start and start == place[0]:
        # Byte-level tokenizers add a space before each stretch of text, and their offsets skip one character for it.
        value = spelling.text(index)
        wider = text[start - 1 : end]
        if isinstance(value, bytes):
            moved = start == end and not wider.isspace()
        else:
            word = folded(value.strip())
            moved = folded(wider) == word != folded(text[start:end])
        return (start - moved, end)
    return start, end


def _with_parts(
    texts: Sequence[str], ids: Sequence[int], tokens: Sequence[Token], spelling: Spelling
) -> tuple[Token, ...]:
    """Return the tokens; those that are bytes of one character are named as parts of it."""
    bytes_ = [
        i
        for i, token in enumerate(tokens)
        if token.end > token.start and isinstance(spelling.text(ids[i]), bytes)
    ]
    return spans.with_parts(texts, tokens, bytes_)


def _further(batch: Mapping[str, Any], length: int) -> dict[str, tuple[int, ...]]:
    """Return the tokenizer's other outputs that have one integer per token."""
    known = {"input_ids", "attention_mask", "special_tokens_mask", "offset_mapping"}
    return {
        name: tuple(values)
        for name, values in batch.items()
        if name not in known
        and isinstance(values, (list, tuple))
        and len(values) == length
        and all(isinstance(value, int) for value in values)
    }
