"""Maps of one text over common units, so that models with different tokenizers can be compared."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Sequence
from itertools import pairwise

from hf_saliency.errors import SaliencyError
from hf_saliency.saliency_map import SaliencyMap, WordReduction
from hf_saliency.spans import Span, Token, overlapping, words
from hf_saliency.word_columns import check_reduction, reduced


def aligned(maps: Sequence[SaliencyMap], reduction: WordReduction = "sum") -> list[SaliencyMap]:
    """The same maps with the same columns: words of the text, or what every tokenization has in common.

    Tokens meet through the characters that they stand for, never through a tokenizer's marks. The rule:

    - The units are the words of the text (:func:`hf_saliency.spans.words`). Where a token of any map covers
      several words, these are one unit in all maps.
    - A unit's score is the reduction of the tokens that touch it.
    - A unit that some map has no token for (cut off, say) is left out of all maps, and so are special tokens
      and tokens of white space alone, which other tokenizers have not.
    - Rows stay as they are, each at the unit that it is read in, or at none if that is left out. A word of
      two pieces in one map and three in another thus has two rows in the one and three in the other.

    Parameters
    ----------
    maps
        Of the same texts, by any models and methods.
    reduction
        ``"sum"``, ``"mean"``, ``"max"`` or ``"norm"``, as in :meth:`hf_saliency.SaliencyMap.words`; a map of
        words keeps its own where each of its words is a unit.

    Returns
    -------
    list of SaliencyMap
        In the order given, with equal ``texts`` and ``tokens``.

    Raises
    ------
    SaliencyError
        If the maps do not share their texts, or have no unit in common.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "Paris is the capital of France."
    >>> ours, other = hs.aligned([explainer(text), explainer(text, method=hs.saliency())])
    >>> ours.labels
    ('Paris', 'is', 'the', 'capital', 'of', 'France', '.')
    """
    found = _checked(maps)
    check_reduction(reduction)
    texts = found[0].texts
    units = [(number, unit) for number in range(len(texts)) for unit in _units(found, number)]
    groups = [[_columns(one, number, unit) for number, unit in units] for one in found]
    kept = [i for i in range(len(units)) if all(group[i] for group in groups)]
    if not kept:
        raise SaliencyError(
            "these maps have no word in common that each of them has tokens for: align maps of the same part "
            "of a text."
        )
    tokens = tuple(Token(texts[n][a:b], a, b, n) for n, (a, b) in (units[i] for i in kept))
    return [
        _merged(one, tokens, [group[i] for i in kept], reduction)
        for one, group in zip(found, groups, strict=True)
    ]


def _checked(maps: Sequence[SaliencyMap]) -> list[SaliencyMap]:
    found = list(maps) if isinstance(maps, (list, tuple)) else []
    if not found or not all(isinstance(one, SaliencyMap) for one in found):
        raise SaliencyError(
            f"maps to be aligned are a list of SaliencyMaps, not the {type(maps).__name__} "
            f"{reprlib.repr(maps)}: aligned([one, other])."
        )
    for one in found:
        if one.texts != found[0].texts:
            raise SaliencyError(
                f"these maps do not share their text: {reprlib.repr(found[0].texts)} and "
                f"{reprlib.repr(one.texts)}. Explain the same string with each model."
            )
    return found


def _units(maps: Sequence[SaliencyMap], number: int) -> list[Span]:
    """Words of one text, joined where a token of any map covers several."""
    found = words(maps[0].texts[number])
    joined: set[int] = set()  # words that belong to the unit of the word before them
    for place in {(t.start, t.end) for one in maps for t in one.tokens if t.text == number and not t.special}:
        joined.update(overlapping(found, *place)[1:])
    borders = [i for i in range(len(found)) if i not in joined] + [len(found)]
    return [(found[first][0], found[after - 1][1]) for first, after in pairwise(borders)]


def _columns(one: SaliencyMap, number: int, unit: Span) -> list[int]:
    places = [(0, 0) if t.special or t.text != number else (t.start, t.end) for t in one.tokens]
    return overlapping(places, *unit)


def _merged(
    one: SaliencyMap, tokens: tuple[Token, ...], groups: list[list[int]], reduction: WordReduction
) -> SaliencyMap:
    new = {old: i for i, group in enumerate(groups) for old in group}
    same = "words" in one.arguments and all(len(group) == 1 for group in groups)
    return dataclasses.replace(
        one,
        tokens=tokens,
        targets=tuple(target.moved(new) for target in one.targets),
        scores=reduced(one.scores, groups, reduction),
        arguments=one.arguments if same else {**one.arguments, "words": reduction},
        signed=one.signed and (same or reduction != "norm"),
    )
