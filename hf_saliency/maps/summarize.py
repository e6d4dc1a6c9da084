"""summarize: averages of many maps, with intervals over texts and a test of the difference between two groups."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Sized
from typing import Any, Literal, get_args

import numpy as np

from hf_saliency.errors import SaliencyError, called, checks_call, one_of, whole
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.saliency_maps import each_map
from hf_saliency.maps.spans import Token, words
from hf_saliency.maps.table import Table, word_numbers

By = Literal["word", "token", "position", "target"]


@checks_call
def summarize(
    maps: SaliencyMap | Iterable[SaliencyMap],
    by: By | Sequence[Hashable] | Callable[[Token, SaliencyMap], Hashable] = "word",
    *,
    normalize: Normalization = "row_max",
    columns: Columns = "all",
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Table:
    """Average the scores of many maps by word, token, position, target, or any function of a token.

    Each text contributes one mean to each row of the table. ``value`` is the average of these means over the texts
    that have one, so that a long text counts no more than a short one. Scores are averaged by magnitude, without
    special tokens. The interval is a percentile bootstrap over texts, since tokens of one text are not independent.

    With two ``groups``, the rows of each table key are also compared: ``difference`` (first group minus second),
    ``p_value`` (two-sided permutation test of the group labels of the texts) and ``effect_size`` (Cohen's d with
    pooled standard deviation). Both rows of the key have these values.

    Parameters
    ----------
    maps
        Maps of one method, with the same unit and arguments.
    by
        ``"word"`` (lower case; the pieces of a word are summed after scaling, so a word may be above 1), ``"token"``
        (the tokenizer's piece), ``"position"`` (distance from the target in tokens, negative before it), ``"target"``
        (the target's label); a list with one value per map, such as a column of a corpus; or ``function(token, heat)``,
        which returns the key, or None to leave the token out.
    normalize
        ``"row_max"``, ``"row_sum"`` (shares of the row) or ``"none"``, as in :meth:`SaliencyMap.normalized`.
    columns
        Which tokens count, as in :meth:`SaliencyMap.normalized`.
    groups
        One value per map; the table then has separate rows for each group.
    confidence
        Confidence level of the interval, between 0 and 1.
    resamples
        The number of bootstrap samples, and of permutations.
    seed
        Seed for both.

    Returns
    -------
    Table
        The columns ``label`` (or ``position``), ``group`` if there are groups, ``value``, ``low``, ``high`` and
        ``n`` (number of texts); sorted by value, or by position.

    Raises
    ------
    SaliencyError
        If the maps differ in method, arguments or unit, or there are no maps.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 15.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> maps = explainer(["She drank hot tea.", "He drank cold coffee."])
    >>> table = hs.summarize(maps, by="word", columns="context")
    >>> sorted(table.columns)
    ['high', 'label', 'low', 'n', 'value']
    >>> int(table["n"][table["label"] == "drank"][0])
    2
    """
    keys = _keys(by)
    names = None if groups is None else [str(name) for name in _listed(groups, "groups")]
    if not 0 < confidence < 1:
        raise SaliencyError(f"confidence={confidence!r}: give a number between 0 and 1, such as 0.95.")
    count, start = whole(resamples, "resamples"), whole(seed, "seed", 0)
    values, first, n = _text_means(maps, by, keys, names, normalize, columns)
    rng = np.random.default_rng(start)
    rows = [
        {"key": key, "group": name, **_mean(np.array(means), confidence, count, rng)}
        for key, of_group in values.items()
        for name, means in of_group.items()
    ]
    order = sorted(range(len(rows)), key=lambda i: rows[i]["key"] if by == "position" else -rows[i]["value"])
    rows = [rows[i] for i in order]
    label = "position" if by == "position" else "label"
    cells: dict[str, Any] = {label: [row["key"] if by == "position" else str(row["key"]) for row in rows]}
    if names is not None:
        cells["group"] = [row["group"] for row in rows]
    cells |= {name: [row[name] for row in rows] for name in ("value", "low", "high", "n")}
    distinct = list(dict.fromkeys(names or ()))
    if len(distinct) == 2:
        cells |= _differences([row["key"] for row in rows], values, distinct, count, rng)
    if not rows:
        cells = {
            label: np.array([], int if by == "position" else str),
            **{k: [] for k in ("value", "low", "high", "n")},
        }
    facts = {
        "by": by if isinstance(by, str) else "function" if callable(by) else "column",
        "method": first.method,
        "arguments": dict(first.arguments),
        "unit": _unit(first),
        "normalization": normalize,
        "columns": columns,
        "n": n,
        "interval": ["percentile bootstrap over texts", float(confidence), count],
        "seed": start,
    }
    return Table(cells, _measure(normalize), facts)


def _measure(normalize: Normalization) -> str:
    return {
        "row_max": "mean |score|, scaled to the largest token of the row",
        "row_sum": "mean share of the row",
        "none": "mean |score|",
    }[normalize]


def _unit(heat: SaliencyMap) -> str:
    return ", ".join(sorted({target.unit for target in heat.targets}))


def _check_comparable(first: SaliencyMap, heat: SaliencyMap) -> None:
    """Refuse a map whose scores are not comparable with those of the first."""
    for noun, expected, value in (
        ("methods", first.method, heat.method),
        ("arguments of the method", dict(first.arguments), dict(heat.arguments)),
        ("units", _unit(first), _unit(heat)),
    ):
        if expected != value:
            raise SaliencyError(
                f"these maps have different {noun}, {expected!r} and {value!r}: their scores have no common mean. "
                "Summarize each kind alone."
            )


def _keys(by: Any) -> list[Hashable] | None:
    """The key of each map if ``by`` is a list, otherwise None."""
    if isinstance(by, str):
        one_of(by, get_args(By), "by")
        return None
    return None if callable(by) else _listed(by, "by")


def _listed(values: Any, name: str) -> list[Hashable]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SaliencyError(f"{name}={values!r}: give a list with one value for each map.")
    return list(values)


_Values = dict[Hashable, dict[str, "array[float]"]]


def _text_means(
    maps: SaliencyMap | Iterable[SaliencyMap],
    by: Any,
    keys: Sequence[Hashable] | None,
    names: Sequence[str] | None,
    normalize: Normalization,
    columns: Columns,
) -> tuple[_Values, SaliencyMap, int]:
    """The means of each text by key and group, the first map, and the number of maps.

    Only numbers are kept of each map, since the maps of a corpus may not fit into memory.
    """
    lists = {name: each for name, each in (("by", keys), ("groups", names)) if each is not None}
    if isinstance(maps, Sized):  # the number is known before the maps are read
        _check_lengths(lists, 1 if isinstance(maps, SaliencyMap) else len(maps))
    values: _Values = {}
    first, n = None, 0
    for n, heat in enumerate(each_map(maps, "summarize"), start=1):
        first = heat if first is None else first
        _check_comparable(first, heat)
        if any(len(each) < n for each in lists.values()):
            continue
        key, name = keys[n - 1] if keys is not None else None, names[n - 1] if names is not None else ""
        for label, (total, size) in _sums(heat, by, key, normalize, columns).items():
            values.setdefault(label, {}).setdefault(name, array("d")).append(total / size)
    if first is None:
        raise SaliencyError("summarize(maps) needs at least one map.")
    _check_lengths(lists, n)
    return values, first, n


def _check_lengths(lists: Mapping[str, Sequence[Any]], count: int) -> None:
    for name, each in lists.items():
        if len(each) != count:
            raise SaliencyError(f"{name} has {len(each)} values for {count} maps: give one for each.")


def _sums(
    heat: SaliencyMap,
    by: Any,
    of_map: Hashable,
    normalize: Normalization,
    columns: Columns,
) -> dict[Hashable, tuple[float, int]]:
    """The sum of magnitudes and the number of terms for each key in one text; ``of_map`` is the map's key in a list."""
    scores = np.abs(heat.normalized(normalize, columns=columns).astype(float))
    plain = [i for i, token in enumerate(heat.tokens) if not token.special]
    labels = _token_keys(heat, by, plain)
    sums: dict[Hashable, tuple[float, int]] = {}
    for row, target in enumerate(heat.targets):
        counted = [i for i in plain if columns == "all" or i not in target.positions]
        terms: dict[tuple[Hashable, Hashable], float] = {}
        for i in counted:
            if not math.isfinite(scores[row, i]):
                continue
            key: Hashable
            place: Hashable
            if by == "position":
                if target.position is None:
                    continue
                key, place = i - target.position, i
            elif by == "target":
                key, place = target.label, i
            elif i in labels:
                key, place = labels[i]
            else:
                key, place = of_map, i
            if key is not None:
                term = (key, place)
                terms[term] = terms.get(term, 0.0) + scores[row, i]
        for (key, _), value in terms.items():
            total, size = sums.get(key, (0.0, 0))
            sums[key] = (total + value, size + 1)
    return sums


def _token_keys(heat: SaliencyMap, by: Any, plain: Sequence[int]) -> dict[int, tuple[Hashable, Hashable]]:
    """The key and place of each token; the pieces of one word share a place, so that they are summed."""
    if by == "token":
        return {i: (heat.tokens[i].piece, i) for i in plain}
    if by == "word":
        numbers, spans = word_numbers(heat), [words(text) for text in heat.texts]
        keys: dict[int, tuple[Hashable, Hashable]] = {}
        for i in plain:
            text, number = heat.tokens[i].text_index, numbers[i]
            if number < 0:
                keys[i] = (None, i)
                continue
            start, end = spans[text][number]
            keys[i] = (heat.texts[text][start:end].lower(), (text, number))
        return keys
    if callable(by):
        advice = "It takes a token and its map and returns a key, or None to leave the token out."
        return {i: (called(by, "by", advice, heat.tokens[i], heat), i) for i in plain}
    return {}


def _mean(means: np.ndarray, confidence: float, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Mean over texts with its percentile interval; the interval of a single text is NaN."""
    n = len(means)
    low = high = math.nan
    if n > 1:
        # Drawn in blocks, since all resamples of a large corpus might not fit into memory.
        size = max(1, 2**22 // n)
        drawn = [
            means[rng.integers(n, size=(min(size, resamples - done), n))].mean(axis=1)
            for done in range(0, resamples, size)
        ]
        tail = (1 - confidence) / 2
        low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail]).tolist()
    return {"value": float(means.mean()), "low": low, "high": high, "n": n}


def _differences(
    keys: Sequence[Hashable],
    values: _Values,
    groups: Sequence[str],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    """Difference, p-value and effect size of the two groups for each key."""
    tests: dict[Hashable, tuple[float, float, float]] = {}
    for key in dict.fromkeys(keys):
        first, second = (np.array(values[key].get(name, [])) for name in groups)
        tests[key] = compared(first, second, resamples, rng)
    names = ("difference", "p_value", "effect_size")
    return {name: [tests[key][i] for key in keys] for i, name in enumerate(names)}


def compared(
    first: np.ndarray, second: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Difference of means, p-value of a two-sided permutation test and Cohen's d; NaN if a group is too small."""
    if not len(first) or not len(second):
        return math.nan, math.nan, math.nan
    difference = float(first.mean() - second.mean())
    pooled = np.concatenate([first, second])
    if len(pooled) < 3:
        return difference, math.nan, math.nan
    extreme = 0
    for _ in range(resamples):
        shuffled = rng.permutation(pooled)
        change = shuffled[: len(first)].mean() - shuffled[len(first) :].mean()
        extreme += abs(change) >= abs(difference) * (1 - 1e-12)
    variance = sum(((part - part.mean()) ** 2).sum() for part in (first, second)) / (len(pooled) - 2)
    effect = difference / math.sqrt(variance) if variance > 0 else math.nan
    return difference, (extreme + 1) / (resamples + 1), effect
