"""Features: which tokens a method removes together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.errors import FEATURES, Feature, SaliencyError, called, character_spans, one_of
from hf_saliency.maps.spans import word_groups
from hf_saliency.score.batch import Batch

Spans = Sequence[tuple[int, int, int]]


def feature_mask(
    batch: Batch, kept: Sequence[Bool[Tensor, "batch _"]], feature: Feature
) -> tuple[Int[Tensor, "batch _"], ...]:
    """Number the features of each row from 0; tokens that are kept or in no span get -1.

    Return one tensor (batch, tokens) per stream; the streams of a row share the numbering. Refuse spans that do not fit
    the text.
    """
    numbers = [torch.full(ids.shape, -1) for ids in batch.ids]
    stays = [tokens.cpu() for tokens in kept]
    spans = {id(row.encoding): _spans(row.encoding, feature) for row in batch.rows}
    for i, (row, columns) in enumerate(zip(batch.rows, batch.columns, strict=True)):
        slots = [(part, slot) for part, seen in enumerate(columns) for slot in range(len(seen))]
        shown = row.encoding.columns([column for seen in columns for column in seen])
        number = 0
        for group in _groups(shown, feature, spans[id(row.encoding)]):
            free = [slots[j] for j in group if not bool(stays[slots[j][0]][i, slots[j][1]])]
            for part, slot in free:
                numbers[part][i, slot] = number
            number += bool(free)
    return tuple(tokens.to(ids.device) for tokens, ids in zip(numbers, batch.ids, strict=True))


def _groups(shown: Encoding, feature: Feature, spans: Spans) -> list[list[int]]:
    """The columns of each feature, special tokens included."""
    if feature == "token":
        return [[j] for j in range(len(shown.tokens))]
    if feature == "word":
        return word_groups(shown.texts, shown.tokens)
    groups: list[list[int]] = [[] for _ in spans]
    for j, token in enumerate(shown.tokens):
        # A token on the border of two spans belongs to the one that holds more of it.
        overlaps = [
            min(end, token.end) - max(start, token.start) if text == token.text_index else 0
            for text, start, end in spans
        ]
        if max(overlaps, default=0) > 0:
            groups[overlaps.index(max(overlaps))].append(j)
    return groups


def _spans(encoding: Encoding, feature: Feature) -> Spans:
    """Return the spans of the whole text's features; none for tokens and words."""
    if isinstance(feature, str):
        if one_of(feature, FEATURES, "feature") != "sentence":
            return ()
        return [
            (number, start, end)
            for number, text in enumerate(encoding.texts)
            for start, end in sentences(text)
        ]
    name = "feature"
    if callable(feature):
        name = getattr(feature, "__name__", type(feature).__name__)
        advice = (
            "It is called with the Encoding of a text and returns spans of characters, (start, end) each."
        )
        feature = called(feature, f"feature={name}", advice, encoding)
        name = f"feature={name}: its result"
    spans = sorted(character_spans(feature, name))
    for text, start, end in spans:
        if text >= len(encoding.texts) or end > len(encoding.texts[text]):
            sizes = ", ".join(str(len(text)) for text in encoding.texts)
            raise SaliencyError(
                f"{name}: the span ({text}, {start}, {end}) is (text_index, start, end), and the texts have {sizes} "
                "characters: give spans within the text, which is the same for all texts of a list, or a function from "
                "the Encoding to spans."
            )
        if not encoding.texts[text][start:end].strip():
            raise SaliencyError(
                f"{name}: the span ({text}, {start}, {end}) is {encoding.texts[text][start:end]!r}, which contains no "
                "token: remove it."
            )
    for before, after in itertools.pairwise(spans):
        if before[0] == after[0] and after[1] < before[2]:
            raise SaliencyError(
                f"{name}: the spans {before} and {after} overlap, and a token is removed with one feature only."
            )
    return spans


_SENTENCE_END = re.compile(
    r"(?:[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]*|\n)\s*"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each sentence, without white space at its ends.

    A sentence ends after ``.``, ``!``, ``?`` or an ellipsis (and quotes and brackets that close there) before white
    space, after their full-width forms, and at a line break.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    spans = []
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        part = text[start:end]
        if part.strip():
            first = start + len(part) - len(part.lstrip())
            spans.append((first, first + len(part.strip())))
    return spans
