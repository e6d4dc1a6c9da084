"""Interop: maps from attributions that another tool computed, and map data for TextualHeatmap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import Reduction, SaliencyError, check_reduction
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import REDUCE
from hf_saliency.maps.spans import Token, signs, trim, with_parts

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


@dataclass(frozen=True)
class EncodedText:
    """A text, or a pair of texts, with its tokens."""

    texts: tuple[str, ...]
    tokens: tuple[Token, ...]  # without padding
    columns: Sequence[int]  # places of the tokens in the encoding
    count: int  # number of the encoding's tokens, padding included


def encoded(encoding: Any, text: str | tuple[str, str] | None) -> EncodedText:
    """Place the tokens of an encoding in its text; refuse anything but an encoding, and a missing or wrong text.

    An encoding is the result of ``explainer.encode``, which knows its text; a ``BatchEncoding`` of one text from a
    fast tokenizer of transformers; or one element ``batch[i]`` of a larger ``BatchEncoding``.
    """
    if hasattr(encoding, "texts") and hasattr(encoding, "tokens"):
        texts, tokens = tuple(encoding.texts), tuple(encoding.tokens)
        if text is not None and (text,) != texts and text != texts:
            raise SaliencyError(f"text={text!r} is not the encoded text, {texts}: omit text=.")
        return EncodedText(texts, tokens, range(len(tokens)), len(tokens))
    single = _single(encoding)
    if text is None:
        raise SaliencyError("this encoding does not hold its text: give text=, the string that was encoded.")
    texts = (text,) if isinstance(text, str) else tuple(text)
    known = all(isinstance(part, str) for part in texts)
    if not known or len(texts) != single.n_sequences:
        raise SaliencyError(
            f"text={text!r}: give {'one string' if single.n_sequences == 1 else 'the two strings of the pair'}, as "
            "they were encoded."
        )
    columns = [i for i, seen in enumerate(single.attention_mask) if seen]
    return EncodedText(texts, _tokens(single, columns, texts), columns, len(single.tokens))


def _single(encoding: Any) -> Any:
    """The encoding of one text, as an ``Encoding`` of the tokenizers package."""
    if not hasattr(encoding, "encodings"):
        if hasattr(encoding, "offsets") and hasattr(encoding, "special_tokens_mask"):
            return encoding
        raise SaliencyError(
            f"encoding is {type(encoding).__name__}: give explainer.encode(text), or tokenizer(text) with text=text."
        )
    encodings = encoding.encodings
    if not encodings:
        raise SaliencyError(
            "this encoding has no character offsets, which slow tokenizers do not return: give explainer.encode(text), "
            "or the encoding of a fast tokenizer."
        )
    if len(encodings) != 1:
        raise SaliencyError(
            f"this encoding holds {len(encodings)} texts, but a map holds one: give batch[i], text=texts[i] and the "
            "attributions of that text."
        )
    return encodings[0]


def _tokens(encoding: Any, columns: Sequence[int], texts: Sequence[str]) -> tuple[Token, ...]:
    """Each token at its place; a token that the tokenizer added has an empty span where the token before it ends."""
    tokens: list[Token] = []
    number = end = 0
    for i in columns:
        added = bool(encoding.special_tokens_mask[i])
        sequence = encoding.sequence_ids[i]
        if added or sequence is None:
            tokens.append(Token(encoding.tokens[i], end, end, number, special=True))
            continue
        start, stop = encoding.offsets[i]
        if not 0 <= start <= stop <= len(texts[sequence]):
            raise SaliencyError(
                f"the token {encoding.tokens[i]!r} is at characters {(start, stop)} of a text of "
                f"{len(texts[sequence])}: text= must be the string that was encoded."
            )
        reached = end if number == sequence else 0
        number = sequence
        start, end = trim(texts[number], start, stop)
        # Some tokenizers place a piece that only marks the beginning of a word at the word's first letter.
        if not encoding.tokens[i].strip("Ġ▁") and texts[number][start:end].strip():
            end = start
        # Tokenizers that put a space before each stretch of text omit its first letter from the span.
        lost = texts[number][reached:start]
        if len(lost) == 1 and not lost.isspace() and _begins_with(encoding.tokens[i], lost):
            start = reached
        name = _display(encoding.tokens[i], texts[number][start:end])
        tokens.append(Token(name, start, end, number))
    _check_order(encoding, [i for i in columns if encoding.word_ids[i] is not None])
    places = Counter((t.text_index, t.start, t.end) for t in tokens if t.start < t.end)
    shared = [i for i, t in enumerate(tokens) if places[t.text_index, t.start, t.end] > 1]
    return with_parts(texts, tokens, shared)


def _begins_with(piece: str, letter: str) -> bool:
    """Whether a piece may begin with a letter; pieces of byte-level vocabularies begin with its bytes."""
    word = piece.lstrip("Ġ▁")
    if not letter.isascii() and piece.startswith("Ġ"):
        return True
    return word[:1].casefold() == letter.casefold()


def _display(piece: str, text: str) -> str:
    """The display name of a vocabulary's piece, without the marks of WordPiece, byte-level BPE and SentencePiece."""
    if piece.startswith("##") and piece != "##":
        return "…" + piece.removeprefix("##")
    if not piece.strip("Ġ▁"):
        return signs(text or " ")
    if text and (not text.strip() or piece[0] in "Ġ▁Ċ" or not piece.isascii()):
        return signs(text)
    return piece


def _check_order(encoding: Any, columns: Sequence[int]) -> None:
    """Refuse offsets that are counted within words, as they are when a list of words was encoded."""
    for i, j in itertools.pairwise(columns):
        (start, end), (next_start, next_end) = encoding.offsets[i], encoding.offsets[j]
        if (
            encoding.sequence_ids[i] != encoding.sequence_ids[j]
            or encoding.word_ids[i] == encoding.word_ids[j]
        ):
            continue
        # Words may share a character that the tokenizer writes as several words, such as ….
        if next_start < start or min(end, next_end) - max(start, next_start) > 1:
            raise SaliencyError(
                f"the tokens {encoding.tokens[i]!r} and {encoding.tokens[j]!r} overlap, as if the text had been "
                "encoded as a list of words (is_split_into_words=True): encode it as one string."
            )


def facet(saliency_map: SaliencyMap, *, top_k: int = 3) -> list[dict[str, Any]]:
    """The data of one facet: every token's row of heat and predictions, and the text between tokens.

    Tokens and gaps together spell the texts. The only addition is a space next to a token without text (``[CLS]``)
    where the text has none. Tokens that share characters, such as the byte pieces of an emoji, each show them.
    """
    if top_k < 0:
        raise SaliencyError(f"top_k={top_k}: give the number of predictions to list, 0 or more.")
    _check_scores(saliency_map)
    rows = _rows_by_token(saliency_map)
    heat = saliency_map.normalized("row_max")
    data: list[dict[str, Any]] = []
    *gaps, rest = _gaps(saliency_map)
    for i, (label, gap) in enumerate(zip(saliency_map.labels, gaps, strict=True)):
        if gap:
            data.append({"token": gap, "format": True})
        if i in rows:
            predictions = saliency_map.targets[rows[i]].predictions[:top_k]
            meta = [prediction.label for prediction in predictions]
            row = [float(value) for value in heat[rows[i]]]
        else:  # a special token was not a target: it depends on itself
            meta, row = [], [float(j == i) for j in range(len(saliency_map.tokens))]
        data.append({"token": label, "meta": meta + [""] * (top_k - len(meta)), "heat": row})
    return [*data, {"token": rest, "format": True}] if rest else data


def _check_scores(saliency_map: SaliencyMap) -> None:
    if saliency_map.signed:
        raise SaliencyError(
            "TextualHeatmap shows heat from 0 to 1, but this map is signed: draw it with hs.figure(...), or "
            "explain with an unsigned method such as hs.gradient_norm()."
        )
    if not np.isfinite(saliency_map.scores).all():
        raise SaliencyError("TextualHeatmap has no colour for NaN or infinity, which these scores contain.")
    if np.any(saliency_map.scores < 0):
        raise SaliencyError(
            "TextualHeatmap has no colour for scores below 0, which this unsigned map contains."
        )


def _rows_by_token(saliency_map: SaliencyMap) -> dict[int, int]:
    """The row of each token that has one; every token except special ones must have exactly one."""
    rows: dict[int, int] = {}
    labels = saliency_map.labels
    for row, target in enumerate(saliency_map.targets):
        if target.position is None:
            raise SaliencyError(
                f"TextualHeatmap needs a token for every target, but {target.label!r} has none."
            )
        if target.position in rows:
            raise SaliencyError(
                f"TextualHeatmap needs one target per token: {labels[target.position]!r} has two."
            )
        rows[target.position] = row
    missing = [
        labels[i] for i, token in enumerate(saliency_map.tokens) if not token.special and i not in rows
    ]
    if missing:
        named = ", ".join(repr(label) for label in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise SaliencyError(
            f"TextualHeatmap needs a complete sweep, but {len(missing)} tokens are not targets: {named}. "
            "Explain the text with the default target: explainer(text).",
            page="coming_from/textualheatmap#what-differs-in-the-numbers",
        )
    return rows


def _gaps(saliency_map: SaliencyMap) -> list[str]:
    """The text that no token covers: before each token, and after the last one."""
    texts, tokens = saliency_map.texts, saliency_map.tokens
    last = {token.text_index: i for i, token in enumerate(tokens) if token.start < token.end}
    reached = [0] * len(texts)

    def up_to(text: int, end: int) -> str:
        gap = texts[text][reached[text] : end]
        reached[text] = max(reached[text], end)
        return gap

    gaps = []
    for i, token in enumerate(tokens):
        before = tokens[max(i - 1, 0)]
        ended = _added(token) and i > last.get(token.text_index, -1)
        gap = (
            up_to(before.text_index, len(texts[before.text_index]))
            if before.text_index != token.text_index
            else ""
        )
        gap += up_to(token.text_index, len(texts[token.text_index]) if ended else token.start)
        reached[token.text_index] = max(reached[token.text_index], token.end)
        apart = i > 0 and (_added(before) or _added(token) or before.text_index != token.text_index)
        gaps.append(gap or " " * apart)
    return [*gaps, up_to(tokens[-1].text_index, len(texts[tokens[-1].text_index])) if tokens else ""]


def _added(token: Token) -> bool:
    """Whether the tokenizer added the token, so that it has no text."""
    return token.special and token.start == token.end


def fields(
    attributions: Any,
    encoding: Any,
    *,
    text: str | tuple[str, str] | None,
    targets: Any,
    signed: bool | None,
    reduction: str,
    convergence_delta: Any,
) -> dict[str, Any]:
    """The fields of a ``SaliencyMap``, except method, arguments and provenance, for ``from_attributions``."""
    reduction = check_reduction(reduction)
    read = encoded(encoding, text)
    rows = None if targets is None else _rows(targets)
    count = None if rows is None else len(rows)
    several = isinstance(attributions, (tuple, list)) and len(attributions) > 1
    if several and all(hasattr(part, "shape") for part in attributions):
        scores = _of_sequences(attributions, encoding, read, count, reduction)
    else:
        scores = _scores(_values(attributions), read.count, count, reduction)[:, read.columns]
    delta = None if convergence_delta is None else _array(convergence_delta, "convergence_delta")
    return {
        "texts": read.texts,
        "tokens": read.tokens,
        "targets": _named(len(scores)) if rows is None else tuple(_moved(row, read) for row in rows),
        "scores": scores,
        "signed": bool((scores < 0).any()) if signed is None else signed,
        "convergence_delta": None if delta is None else np.atleast_1d(delta).astype(np.float64),
    }


def _of_sequences(
    attributions: Sequence[Any], encoding: Any, read: EncodedText, targets: int | None, reduction: Reduction
) -> Float[np.ndarray, "targets tokens"]:
    """Scores from one tensor for each sequence that enters the model, as Captum returns them, side by side."""
    parts = getattr(encoding, "parts", (range(read.count),))
    if len(parts) != len(attributions):
        raise SaliencyError(
            f"attributions are {len(attributions)} tensors, but the encoding has {len(parts)} sequences: give one "
            "tensor each, and the encoding of the same target, explainer.encode(text, target=target)."
        )
    blocks = []
    for part, tensor in zip(parts, attributions, strict=True):
        values = _values(tensor)
        # Captum's rows are padded to the longest choice.
        axis = 0 if values.ndim == 1 or (values.ndim == 2 and targets is None) else 1
        length = max(len(part), values.shape[axis])
        blocks.append(_scores(values, length, targets, reduction)[:, : len(part)])
    return np.concatenate(blocks, axis=1)


def _values(attributions: Any) -> np.ndarray:
    values = _array(attributions, "attributions")
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise SaliencyError(f"attributions are {values.dtype}: give floating-point numbers.")
    return values


def _array(values: Any, name: str) -> np.ndarray:
    """A NumPy array, in float32 if its own precision is lower than that."""
    if isinstance(values, (tuple, list)) and len(values) == 1:  # Captum returns a list for a list of layers
        (values,) = values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) != "torch.float64" and values.is_floating_point():
            values = values.float()  # NumPy has no bfloat16
        return np.asarray(values.numpy())
    if not isinstance(values, (float, np.number)) and not hasattr(values, "__array__"):
        raise SaliencyError(f"{name} must be one tensor or NumPy array, not {type(values).__name__}.")
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _scores(
    values: np.ndarray, tokens: int, targets: int | None, reduction: Reduction
) -> Float[np.ndarray, "targets all_tokens"]:
    """An array of one row per target and one column per token, padding included."""
    count = "targets" if targets is None else targets
    shape = values.shape
    by_token = shape[:1] == (tokens,) and targets in (None, 1)  # the first axis is the tokens
    by_target = shape[1:2] == (tokens,) and targets in (None, shape[0])
    if values.ndim == 1 and by_token:
        return values[None]
    if values.ndim == 2 and by_token and by_target and tokens > 1:
        raise SaliencyError(
            f"attributions of shape {shape} for {tokens} tokens are of one target (tokens, width) or of several "
            "(targets, tokens): name the targets, such as targets='grammar', or give attributions[None]."
        )
    if values.ndim == 3 and by_target:
        return np.asarray(REDUCE[reduction](values))
    if values.ndim == 2 and by_target:
        return values
    if values.ndim == 2 and by_token:
        return np.asarray(REDUCE[reduction](values)[None])
    flat = f"({tokens},), ({tokens}, width), " if targets in (None, 1) else ""
    raise SaliencyError(
        f"attributions have shape {shape}, but the encoding has {tokens} tokens"
        f"{'' if targets is None else f' and targets= names {targets}'}: give {flat}({count}, {tokens}) or "
        f"({count}, {tokens}, width)."
    )


def _rows(targets: Any) -> tuple[TargetRow, ...]:
    rows: Sequence[Any] = [targets] if isinstance(targets, (str, TargetRow)) else targets
    if not isinstance(rows, (tuple, list)) or any(not isinstance(row, (str, TargetRow)) for row in rows):
        raise SaliencyError(
            f"targets={targets!r}: give a label, a list of labels, or hs.TargetRow values, one for each row."
        )
    return tuple(TargetRow(row, None, float("nan")) if isinstance(row, str) else row for row in rows)


def _named(count: int) -> tuple[TargetRow, ...]:
    """Default targets, for attributions that come without any."""
    labels = ["score"] if count == 1 else [f"score {i + 1}" for i in range(count)]
    return _rows(labels)


def _moved(row: TargetRow, read: EncodedText) -> TargetRow:
    """The target with its columns counted without padding."""
    if any(each not in read.columns for each in row.positions):
        raise SaliencyError(f"{row} is at a padding token or outside the {read.count} tokens.")
    return row.moved({old: new for new, old in enumerate(read.columns)})
