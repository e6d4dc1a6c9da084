"""Comparison: maps of one text over common units, so that models with different tokenizers can be compared."""

from __future__ import annotations

import dataclasses
import itertools
import math
import reprlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import (
    UNSIGNED_REDUCTIONS,
    Reduction,
    SaliencyError,
    check_reduction,
    checks_call,
    whole,
)
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import reduced
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Places, Span, Token, words
from hf_saliency.maps.table import Table


@checks_call
def aligned(maps: Sequence[SaliencyMap], reduction: Reduction = "sum") -> list[SaliencyMap]:
    """Bring maps of one text to the same columns: its words, or the units that all tokenizations share.

    Tokens are matched by the characters that they cover, never by a tokenizer's marks. The rules:

    - The units are the words of the text (:func:`hf_saliency.maps.spans.words`). Where a token of any map covers
      several words, these are one unit in all maps.
    - A unit's score is the reduction of the tokens that touch it.
    - A unit for which some map has no token (because the text was cut off, for example) is left out of all maps.
      So are special tokens and tokens of white space alone, which other tokenizers lack.
    - Rows do not change. Each is at the unit that contains its target, or at none if that unit is left out. A word
      of two pieces in one map and three in another thus has two rows in the one and three in the other.

    Parameters
    ----------
    maps
        Maps of the same texts, of any models and methods.
    reduction
        ``"sum"``, ``"mean"``, ``"max"`` or ``"norm"``, as in :meth:`hf_saliency.SaliencyMap.words`; a map of
        words keeps its reduction if each of its words is a unit.

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
    maps = _checked(maps)
    check_reduction(reduction)
    texts = maps[0].texts
    units = [(number, unit) for number in range(len(texts)) for unit in _units(maps, number)]
    groups = [_columns(heat, units) for heat in maps]
    kept = [i for i in range(len(units)) if all(group[i] for group in groups)]
    if not kept:
        raise SaliencyError(
            "these maps have no word in common that each of them has tokens for: align maps of the same part "
            "of a text."
        )
    tokens = tuple(Token(texts[n][a:b], a, b, n) for n, (a, b) in (units[i] for i in kept))
    return [
        _merged(heat, tokens, [group[i] for i in kept], reduction)
        for heat, group in zip(maps, groups, strict=True)
    ]


def _checked(maps: Sequence[SaliencyMap]) -> list[SaliencyMap]:
    heats = list(maps) if isinstance(maps, (list, tuple)) else []
    if not heats or not all(isinstance(heat, SaliencyMap) for heat in heats):
        raise SaliencyError(
            f"maps to be aligned are a list of SaliencyMaps, not the {type(maps).__name__} "
            f"{reprlib.repr(maps)}: aligned([one, other])."
        )
    for heat in heats:
        if heat.texts != heats[0].texts:
            raise SaliencyError(
                f"these maps do not share their text: {reprlib.repr(heats[0].texts)} and "
                f"{reprlib.repr(heat.texts)}. Explain the same string with each model."
            )
    return heats


def _units(maps: Sequence[SaliencyMap], number: int) -> list[Span]:
    """The words of one text; those that one token of any map covers are joined."""
    spans = words(maps[0].texts[number])
    places = Places(spans)
    joined: set[int] = set()  # words that belong to the unit of the word before them
    for place in {
        (t.start, t.end) for heat in maps for t in heat.tokens if t.text_index == number and not t.special
    }:
        joined.update(places.overlapping(*place)[1:])
    borders = [i for i in range(len(spans)) if i not in joined] + [len(spans)]
    return [(spans[first][0], spans[after - 1][1]) for first, after in pairwise(borders)]


def _columns(heat: SaliencyMap, units: Sequence[tuple[int, Span]]) -> list[list[int]]:
    """The columns that touch each unit; a unit is the number of a text and a span of it."""
    places = [
        Places([(0, 0) if t.special or t.text_index != number else (t.start, t.end) for t in heat.tokens])
        for number in range(len(heat.texts))
    ]
    return [places[number].overlapping(*unit) for number, unit in units]


def _merged(
    heat: SaliencyMap, tokens: tuple[Token, ...], groups: list[list[int]], reduction: Reduction
) -> SaliencyMap:
    new = {old: i for i, group in enumerate(groups) for old in group}
    same = "words" in heat.arguments and all(len(group) == 1 for group in groups)
    return dataclasses.replace(
        heat,
        tokens=tokens,
        targets=tuple(target.moved(new) for target in heat.targets),
        scores=reduced(heat.scores, groups, reduction),
        arguments=heat.arguments if same else {**heat.arguments, "words": reduction},
        signed=heat.signed and (same or reduction not in UNSIGNED_REDUCTIONS),
    )


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two maps, target by target.

    Parameters
    ----------
    spearman
        Array of shape (targets,): rank correlation of the scores, with tied scores at their mean rank; NaN where all
        scores of one map are equal.
    overlap
        Array of shape (targets,): the share of one map's ``top`` strongest units that are among the other's.
    top
        The number of units that ``overlap`` compares; fewer if the text has fewer.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
    >>> maps = [explainer(text, target=hs.MaskedToken("tea"), method=name) for name in ("saliency", "gradient_norm")]
    >>> print(hs.agreement(*maps, top=3))
    Spearman’s ρ = 0.96, top-3 overlap 1.00
    """

    spearman: Float[np.ndarray, " targets"]
    overlap: Float[np.ndarray, " targets"]
    top: int

    def __str__(self) -> str:
        if not np.isfinite(self.spearman).any():
            return f"Spearman’s ρ not defined, top-{self.top} overlap {self.overlap.mean():.2f}"
        mean = "mean " if len(self.spearman) > 1 else ""
        rank = f"{np.nanmean(self.spearman):.2f}".replace("-0.00", "0.00").replace("-", "−")
        return f"{mean}Spearman’s ρ = {rank}, top-{self.top} overlap {self.overlap.mean():.2f}"


@checks_call
def agreement(
    heat: SaliencyMap, other: SaliencyMap, *, top: int = 5, reduction: Reduction = "sum"
) -> Agreement:
    """Compare two maps of one text over their common words; their tokenizers may differ.

    Rows are paired by position; if no positions match, they are paired by order, provided both maps have the same
    number of rows. If a word has several pieces, each piece's row is divided by its maximum, and the rows are then
    averaged. Scores are ranked by value if both maps are signed, and otherwise by magnitude, as they are for the
    overlap. A unit whose score is not finite in either map is left out of that row.

    Parameters
    ----------
    heat
        A map.
    other
        A map of the same texts.
    top
        The number of strongest units to compare.
    reduction
        How the pieces of a word are merged, as in :func:`hf_saliency.aligned`; maps with equal tokens are
        compared token by token, without special tokens.

    Returns
    -------
    Agreement

    Raises
    ------
    SaliencyError
        If the maps do not share a text, a unit or a target, or ``top`` is less than 1.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "Paris is the capital of France."
    >>> agreement = hs.agreement(explainer(text), explainer(text, method=hs.saliency()), top=3)
    >>> agreement.spearman.shape
    (7,)
    """
    count = whole(top, "top")
    first, second = _common([heat, other], reduction)
    rows = _rows(first, second)
    by_value = first.signed and second.signed
    spearman, overlap = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for i, (a, b) in enumerate(rows):
        known = np.isfinite(a) & np.isfinite(b)
        a, b = a[known], b[known]
        spearman[i] = rank_correlation(a, b) if by_value else rank_correlation(np.abs(a), np.abs(b))
        overlap[i] = _overlap(np.abs(a), np.abs(b), count)
    return Agreement(spearman, overlap, count)


def _common(maps: Sequence[SaliencyMap], reduction: Reduction) -> list[SaliencyMap]:
    first, second = maps
    plain = [[t for t in heat.tokens if not t.special] for heat in maps]
    places = [[(t.text_index, t.start, t.end) for t in tokens] for tokens in plain]
    if first.texts != second.texts or places[0] != places[1]:
        return aligned(maps, reduction)
    return [
        heat.part(range(len(heat.targets)), [i for i, token in enumerate(heat.tokens) if not token.special])
        for heat in maps
    ]


def _rows(first: SaliencyMap, second: SaliencyMap) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs of rows that explain the same target."""
    both = [heat.normalized("row_max") for heat in (first, second)]
    read = [[t.position for t in heat.targets] for heat in (first, second)]
    units = [u for u in dict.fromkeys(read[0]) if u is not None and u in read[1]]
    if units:
        return [(_mean(both[0], read[0], u), _mean(both[1], read[1], u)) for u in units]
    rows = partners(first, second)
    if rows:
        return list(zip(both[0], both[1][rows], strict=True))
    raise SaliencyError(
        f"these maps have no target in common: {len(first.targets)} and {len(second.targets)} targets, none read "
        "at the same word. Select those that belong together: agreement(heat.select(0), other.select(0))."
    )


def partners(first: SaliencyMap, second: SaliencyMap) -> list[int]:
    """Return, for each target of one map, the row of another map that explains it; empty if they cannot be paired.

    Targets are paired by label and place; if that fails, by label alone, then by place alone. If that fails too, they
    are paired by order, provided both maps have the same number of targets.
    """
    keys: tuple[Callable[[TargetRow], object], ...] = (
        lambda target: (target.position, target.label, target.against),
        lambda target: (target.label, target.against),
        lambda target: target.position,
    )
    for key in keys:
        rows = {key(target): row for row, target in enumerate(second.targets)}
        wanted = [key(target) for target in first.targets]
        if (
            len(rows) == len(second.targets)
            and len(set(wanted)) == len(wanted)
            and rows.keys() >= set(wanted)
        ):
            return [rows[each] for each in wanted]
    count = len(first.targets)
    return list(range(count)) if count == len(second.targets) else []


def _mean(values: np.ndarray, read: Sequence[int | None], unit: int) -> np.ndarray:
    rows = values[[i for i, position in enumerate(read) if position == unit]]
    with np.errstate(invalid="ignore"):  # the mean of two infinities can be NaN
        return np.asarray(rows.mean(axis=0))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; NaN where all values of one side are equal."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (a, b)]
    spread = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / spread) if spread > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 upwards; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[inverse])


def _overlap(a: np.ndarray, b: np.ndarray, top: int) -> float:
    """The overlap of the strongest units; among equal ones, the first in the text counts."""
    count = min(top, len(a))
    strongest = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (a, b)]
    return len(strongest[0] & strongest[1]) / count if count else float("nan")


@checks_call
def agreement_matrix(
    maps: Mapping[str, SaliencyMap | Iterable[SaliencyMap]], *, top: int = 5, reduction: Reduction = "sum"
) -> Table:
    """Compare several methods or models with each other, over one text or many.

    Parameters
    ----------
    maps
        A map for each name, or the maps of the same texts in the same order, as a list or a corpus.
    top
        The number of strongest units that ``overlap`` compares.
    reduction
        As in :func:`agreement`.

    Returns
    -------
    Table
        One row for each ordered pair of names, with the columns ``first``, ``second``, ``value`` (rank correlation,
        averaged over the targets of each text and then over the texts), ``overlap`` (the overlap, averaged in the same
        way) and ``n`` (the number of texts in which the correlation is defined).

    Raises
    ------
    SaliencyError
        If there are fewer than two names, or the lists differ in length or texts.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
    >>> table = hs.agreement_matrix({name: explainer(text, method=name) for name in ("saliency", "gradient_norm")})
    >>> table["first"].tolist()
    ['saliency', 'saliency', 'gradient_norm', 'gradient_norm']
    >>> table["value"][0]
    np.float64(1.0)
    """
    if not isinstance(maps, Mapping) or len(maps) < 2:
        raise SaliencyError(
            "agreement_matrix takes a dictionary of two names or more: {'saliency': a, 'lime': b}."
        )
    sources = {
        str(name): [value] if isinstance(value, SaliencyMap) else value for name, value in maps.items()
    }
    for name, source in sources.items():
        if not isinstance(source, Iterable) or isinstance(source, str):
            raise _no_maps(name, source)
    lengths = {name: len(source) for name, source in sources.items() if isinstance(source, Sized)}
    if len(lengths) == len(sources):  # lengths are known before the maps are read
        _check_lengths(lengths)
    pairs = list(itertools.combinations_with_replacement(sources, 2))
    ranks, overlaps = ({pair: array("d") for pair in pairs} for _ in range(2))
    methods: dict[str, str] = {}
    n = 0
    for heats in _together(sources):  # one text at a time, since the maps of a corpus may not fit into memory
        methods = methods or {name: heat.method for name, heat in heats.items()}
        n += 1
        for first, second in pairs:
            result = agreement(heats[first], heats[second], top=top, reduction=reduction)
            ranks[first, second].append(_known_mean(result.spearman))
            overlaps[first, second].append(_known_mean(result.overlap))
    order = [(first, second) for first in sources for second in sources]
    ordered = [pair if pair in ranks else pair[::-1] for pair in order]
    cells = {
        "first": [first for first, _ in order],
        "second": [second for _, second in order],
        "value": [_known_mean(ranks[pair]) for pair in ordered],
        "overlap": [_known_mean(overlaps[pair]) for pair in ordered],
        "n": [int(np.isfinite(ranks[pair]).sum()) for pair in ordered],
    }
    facts = {"n": n, "top": top, "reduction": reduction, "methods": methods}
    return Table(cells, "mean Spearman’s ρ", facts)


def _together(sources: Mapping[str, Iterable[SaliencyMap]]) -> Iterator[dict[str, SaliencyMap]]:
    """Yield the maps of each text, by name."""
    counts = dict.fromkeys(sources, 0)
    for group in itertools.zip_longest(*sources.values()):
        for name, heat in zip(sources, group, strict=True):
            if heat is not None and not isinstance(heat, SaliencyMap):
                raise _no_maps(name, sources[name])
            counts[name] += heat is not None
        if all(heat is not None for heat in group):
            yield dict(zip(sources, group, strict=True))
    _check_lengths(counts)
    if not all(counts.values()):
        raise _no_maps(*next(iter(sources.items())))


def _check_lengths(lengths: Mapping[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        raise SaliencyError(
            f"these lists of maps differ in length, {dict(lengths)}: give the maps of the same texts."
        )


def _no_maps(name: object, value: object) -> SaliencyError:
    return SaliencyError(
        f"{name!r} must be a SaliencyMap or a non-empty list of them, not {reprlib.repr(value)}."
    )


def _known_mean(values: Sequence[float] | np.ndarray) -> float:
    """The mean of the finite values; NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
