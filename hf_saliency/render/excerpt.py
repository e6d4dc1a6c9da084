"""Excerpt: the part of a map that lies around its targets, as a map of a shorter text."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence

from hf_saliency import spans
from hf_saliency.errors import SaliencyError
from hf_saliency.render.passage import cluster
from hf_saliency.saliency_map import SaliencyMap
from hf_saliency.spans import Span, Token

CUT = "…"


def excerpt(saliency_map: SaliencyMap, around: int) -> SaliencyMap:
    """The tokens up to a distance from any target, in a text with an ellipsis for each cut.

    Parameters
    ----------
    saliency_map
        As it is shown.
    around
        How many tokens before and after each target to keep; words are kept whole.

    Returns
    -------
    SaliencyMap

    Raises
    ------
    SaliencyError
        If that is no number, or a target stands at no token.
    """
    distance = _distance(around)
    places = [place for target in saliency_map.targets for place in target.positions]
    unread = [t.label for t in saliency_map.targets if t.position is None]
    if unread:
        raise SaliencyError(
            f"around={around} needs targets that stand at a token that is drawn; {unread[0]!r} stands at none. "
            "Leave around= out, or show special tokens."
        )
    near = {p + step for p in places for step in range(-distance, distance + 1)}
    groups = spans.word_groups(saliency_map.texts, saliency_map.tokens)
    columns = sorted(i for group in groups if not near.isdisjoint(group) for i in group)
    part = saliency_map.part(range(len(saliency_map.targets)), columns)
    cut = [_cut(part, number) for number in range(len(part.texts))]
    return dataclasses.replace(
        part,
        texts=tuple(text for text, _ in cut),
        tokens=tuple(_moved(token, cut[token.text][1]) for token in part.tokens),
    )


def _distance(around: int) -> int:
    try:
        distance = operator.index(around)
    except TypeError:
        distance = -1
    if isinstance(around, bool) or distance < 0:
        raise SaliencyError(f"around={around!r}: give a number of tokens, such as figure(..., around=20).")
    return distance


def _cut(part: SaliencyMap, number: int) -> tuple[str, list[tuple[Span, int]]]:
    """The shorter text, and where in it each kept stretch of the whole text begins."""
    text = part.texts[number]
    pieces: list[str] = []
    kept: list[tuple[Span, int]] = []
    length = end_before = 0
    for start, end in _stretches(text, [t for t in part.tokens if t.text == number]):
        between = text[end_before:start]
        left_out = bool(between.strip())
        if left_out:
            between = f"{CUT} " if not pieces else f" {CUT} "
        pieces += [between, text[start:end]]
        length += len(between)
        kept.append(((start, end), length))
        length, end_before = length + end - start, end
    if text[end_before:].strip():
        pieces.append(f" {CUT}" if pieces else CUT)
    return "".join(pieces), kept


def _stretches(text: str, tokens: Sequence[Token]) -> list[Span]:
    """Characters of the tokens, made one stretch where only white space lies between two."""
    found: list[Span] = []
    places = [cluster(text, t.start, t.end) if t.start < t.end else (t.start, t.end) for t in tokens]
    for start, end in sorted(places):
        if found and not text[found[-1][1] : start].strip():
            start, end = found[-1][0], max(found[-1][1], end)
            found.pop()
        found.append((start, end))
    return found


def _moved(token: Token, kept: Sequence[tuple[Span, int]]) -> Token:
    (first, _), place = next(each for each in kept if each[0][0] <= token.start <= token.end <= each[0][1])
    return dataclasses.replace(token, start=token.start - first + place, end=token.end - first + place)
