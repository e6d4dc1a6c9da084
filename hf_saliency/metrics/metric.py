"""Metric: a measure of faithfulness, and the variants of a text that it evaluates."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec

import numpy as np
from jaxtyping import Bool, Float, Int

from hf_saliency.errors import SaliencyError, check_call
from hf_saliency.explain.masking import Variants
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import word_groups
from hf_saliency.recipe import Recipe, same

RankedUnit = Literal["token", "word"]
RANKED_UNITS: tuple[RankedUnit, ...] = ("token", "word")

Ranking = Literal["value", "magnitude"]
RANKINGS: tuple[Ranking, ...] = ("value", "magnitude")

Keep = Bool[np.ndarray, "variants units"]


class MaskedText:
    """One text and its target, with variants in which removable units are masked; each variant is evaluated once.

    A unit is a token that can be removed, or the removable tokens of a word.
    """

    def __init__(self, variants: Variants, unit: RankedUnit) -> None:
        encoding = variants.encoding
        self._variants = variants
        self.score_unit = variants.unit
        self.texts, self.tokens = tuple(encoding.texts), encoding.tokens
        self._places = [(row.position, bool(row.masked)) for row in variants.rows]
        groups = (
            word_groups(encoding.texts, encoding.tokens)
            if unit == "word"
            else [[i] for i in range(len(encoding))]
        )
        self.units: list[list[list[int]]] = []
        for removable in variants.removable:
            members = [[i for i in group if removable[i]] for group in groups]
            self.units.append([group for group in members if group])
        self._known: list[dict[bytes, tuple[float, tuple[int, ...]]]] = [{} for _ in self.units]

    def __len__(self) -> int:
        return len(self.units)

    def values(self, heat: SaliencyMap) -> list[Float[np.ndarray, " units"]]:
        """The score of each unit for each target: the sum over its tokens."""
        if heat.texts != self.texts:
            raise SaliencyError(
                f"the map is of {heat.texts!r}, not of {self.texts!r}: give the maps in the order of the texts."
            )
        places = [(token.text_index, token.start, token.end) for token in self.tokens]
        if [(token.text_index, token.start, token.end) for token in heat.tokens] != places:
            raise SaliencyError(
                f"the map has {len(heat.tokens)} tokens and the text has {len(places)}, or they are at other "
                "positions: give the map that this explainer makes of this text, before words() or drop_special()."
            )
        if len(heat) != len(self):
            raise SaliencyError(
                f"the map has {len(heat)} targets and the target has {len(self)} rows in this text: give the target "
                "that the map explains, target=..."
            )
        for number, (target, place) in enumerate(zip(heat.targets, self._places, strict=True)):
            if (target.position, target.masked) != place:
                raise SaliencyError(
                    f"target {number} of the map, {target.label!r}, is {_described(target.position, target.masked)}, "
                    f"but that of target= is {_described(*place)}: give the target that the map explains, target=..."
                )
        scores = heat.scores.astype(float)
        if not np.isfinite(scores).all():
            number = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
            raise SaliencyError(
                f"the map has scores that are not finite for target {number}, {heat.targets[number].label!r}: tokens "
                "cannot be ranked by them. Leave this text out, or explain it in float32 or by another method."
            )
        return [
            np.array([scores[row, unit].sum() for unit in units], float)
            for row, units in enumerate(self.units)
        ]

    def prepare(self, variants: Sequence[tuple[int, Keep]]) -> None:
        """Evaluate the variants of several targets together, unless they are known already."""
        missing: dict[tuple[int, bytes], np.ndarray] = {}
        for number, keep in variants:
            for row in keep:
                key = row.tobytes()
                if key not in self._known[number]:
                    missing[number, key] = row
        if not missing:
            return
        tokens = np.ones((len(missing), len(self.tokens)), bool)
        for variant, ((number, _), row) in enumerate(missing.items()):
            for unit in np.flatnonzero(~row):
                tokens[variant, self.units[number][unit]] = False
        scores, answers = self._variants.evaluate([number for number, _ in missing], tokens)
        for (number, key), score, answer in zip(missing, scores.tolist(), answers.tolist(), strict=True):
            self._known[number][key] = (score, tuple(answer))

    def scores(self, number: int, keep: Keep) -> Float[np.ndarray, " variants"]:
        """The target's score for each variant of the units."""
        self.prepare([(number, keep)])
        return np.array([self._known[number][row.tobytes()][0] for row in keep], float)

    def answers(self, number: int, keep: Keep) -> Int[np.ndarray, "variants refs"]:
        """The classes that the model predicts for each variant."""
        self.prepare([(number, keep)])
        return np.array([self._known[number][row.tobytes()][1] for row in keep], int)


@dataclass(frozen=True)
class RankedUnits:
    """The units of one target with a method's values for them: the input of a metric."""

    text: MaskedText
    number: int  # of the target
    # Larger values rank first; equal values are ranked by position.
    values: Float[np.ndarray, " units"]
    magnitude: bool = False  # whether the values lack the sign of the evidence

    @functools.cached_property
    def order(self) -> Int[np.ndarray, " units"]:
        """The units, most important first."""
        return np.argsort(-self.values, kind="stable")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> float:
        """The score of the unchanged text."""
        return float(self.scores(np.ones((1, len(self)), bool))[0])

    @property
    def empty(self) -> float:
        """The score of the text with all units masked."""
        return float(self.scores(np.zeros((1, len(self)), bool))[0])

    def scores(self, keep: Keep) -> Float[np.ndarray, " variants"]:
        """The target's score for each variant of the units."""
        return self.text.scores(self.number, keep)

    def answers(self, keep: Keep) -> Int[np.ndarray, "variants refs"]:
        """The classes that the model predicts for each variant."""
        return self.text.answers(self.number, keep)

    def without_top(self, counts: Sequence[int]) -> Keep:
        """The variants without the most important units, one for each count."""
        return masked_first(self.order, counts)

    def top_alone(self, counts: Sequence[int]) -> Keep:
        """The variants with only the most important units, one for each count."""
        return ~masked_first(self.order, counts)


def masked_first(order: Int[np.ndarray, " units"], counts: Sequence[int]) -> Keep:
    """Return variants in which the first units of an order are masked, one for each count."""
    ranks = np.empty(len(order), int)
    ranks[order] = np.arange(len(order))
    return ranks[None] >= np.asarray(counts, int)[:, None]


def unit_count(share: float, units: int) -> int:
    """The number of units in a share, rounded up, so that it is at least one."""
    return max(1, math.ceil(share * units - 1e-9))


def _asks_when_measured(ranked: RankedUnits) -> Keep:
    """The whole text alone, for metrics whose variants depend on the scores of other variants."""
    return np.ones((1, len(ranked)), bool)


@dataclass(frozen=True, eq=False)
class Metric:
    """A measure of how faithful a ranking of tokens is to the model, for use in ``metrics=``.

    Parameters
    ----------
    name
        The name in the literature, in lower case.
    better
        ``"higher"`` or ``"lower"``: the direction of a more faithful ranking.
    measure
        A function from the ranked units of a target to a numerator and a denominator. Both are averaged over targets,
        then over texts, before they are divided; a plain mean has the denominator 1.
    variants
        A function from the ranked units to the variants that ``measure`` needs, (variants, units), True where a unit
        stays. The variants of many methods and metrics then share batches. Other variants are evaluated on demand.
    arguments
        The arguments of the metric, as JSON values.
    citation
        The publication of the metric.

    Notes
    -----
    Two metrics are equal if the same call makes both, however its arguments are written:
    ``hs.log_odds(0.1) == hs.log_odds(share=0.1)``. Metrics built by hand are equal if all their parameters are,
    functions included. A copy by ``pickle`` or ``copy`` equals its original.

    Examples
    --------
    The score of the three strongest units alone:

    >>> import hf_saliency as hs
    >>> kept = hs.Metric("top_3_alone", "higher", lambda ranked: (ranked.scores(ranked.top_alone([3]))[0], 1.0))
    >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
    >>> target = hs.MaskedToken("tea", unit="log_prob")
    >>> heat = explainer(text, target=target, method="leave_one_out")
    >>> kept(explainer, text, heat, target=target).shape
    (1,)
    """

    name: str
    better: Literal["higher", "lower"]
    measure: Callable[[RankedUnits], tuple[float, float]]
    variants: Callable[[RankedUnits], Keep] = _asks_when_measured
    arguments: dict[str, Any] | None = None
    citation: str = ""
    # The call that made the metric: pickle stores it, since the functions above are often local ones.
    recipe: Recipe | None = dataclasses.field(default=None, init=False, repr=False)

    def __eq__(self, other: object) -> bool:
        return same(self, other) if isinstance(other, Metric) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.better))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.recipe is not None:
            return self.recipe, ()
        parts = (each.name for each in dataclasses.fields(self) if each.init)
        return type(self), tuple(getattr(self, name) for name in parts)

    def __call__(
        self,
        explainer: Any,
        text: Any,
        heat: SaliencyMap,
        *,
        target: Any = None,
        unit: RankedUnit = "token",
        ranking: Ranking = "value",
    ) -> Float[np.ndarray, " targets"]:
        """Compute the metric for each target of one map.

        Parameters
        ----------
        explainer
            The explainer whose model is evaluated; another explainer may have made the map.
        text
            The text, as the explainer takes it.
        heat
            The map of the text.
        target
            The target that the map explains.
        unit
            The unit that is masked, ``"token"`` or ``"word"``.
        ranking
            Rank by the signed ``"value"`` (evidence for the target first) or by ``"magnitude"``.

        Returns
        -------
        Array of shape (targets,)
            NaN for a target without a token that can be removed.

        Raises
        ------
        SaliencyError
            If the map belongs to another text or target.
        """
        masked = MaskedText(explainer.variants(text, target), unit)
        rows = ranked_units(masked, heat, ranking)
        masked.prepare([(row.number, self.variants(row)) for row in rows if len(row)])
        pairs = [self.measure(row) if len(row) else (math.nan, 1.0) for row in rows]
        return np.array([top / bottom if bottom else math.nan for top, bottom in pairs])


Parameters = ParamSpec("Parameters")


def named_metric(function: Callable[Parameters, Metric]) -> Callable[Parameters, Metric]:
    """Wrap a function that makes a metric, so that the metric pickles as this call; its functions cannot pickle."""

    @functools.wraps(function)
    def make(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Metric:
        check_call(function, args, kwargs, function.__name__)
        metric = function(*args, **kwargs)
        object.__setattr__(metric, "recipe", Recipe(make, args, kwargs))
        return metric

    return make


def _described(position: int | None, masked: bool) -> str:
    place = "at no token" if position is None else f"at token {position}"
    return f"{place}, masked" if masked else place


def ranked_units(masked: MaskedText, heat: SaliencyMap, ranking: Ranking) -> list[RankedUnits]:
    """The units of each target with a map's values; the values of an unsigned map are magnitudes."""
    magnitude = ranking == "magnitude" or not heat.signed
    return [
        RankedUnits(masked, number, np.abs(values) if magnitude else values, magnitude)
        for number, values in enumerate(masked.values(heat))
    ]


RANDOM = "random"
RANDOM_SEEDS = 5
INTERVAL = "95 % percentile bootstrap over texts"
BAND = f"lowest and highest of {RANDOM_SEEDS} seeds"
_RESAMPLES = 1000


def bands(labels: Any) -> dict[str, list[str]]:
    """Group labels by row: one label for a method, one for each seed of the random order."""
    names: dict[str, list[str]] = {}
    for label in labels:
        names.setdefault(RANDOM if label.startswith(f"{RANDOM} ") else label, []).append(label)
    return names


def summary(of_texts: Sequence[Float[np.ndarray, "texts 2"]], seed: int) -> dict[str, float]:
    """The value and its interval: over texts for one method, over seeds for the random order."""
    known = [pairs[np.isfinite(pairs).all(axis=1)] for pairs in of_texts]
    n = min(len(pairs) for pairs in known)
    if n == 0:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    values = [_ratio(pairs.sum(axis=0)) for pairs in known]
    low = high = np.nan
    if len(known) > 1:
        low, high = min(values), max(values)
    elif n > 1:
        drawn = _ratio(known[0][_resamples(n, seed)].sum(axis=1))
        low, high = np.nanquantile(drawn, [0.025, 0.975]).tolist()
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high), "n": n}


@functools.lru_cache(maxsize=4)
def _resamples(n: int, seed: int) -> np.ndarray:
    """Draw texts, in the same way for every method, so that their intervals are comparable."""
    return np.random.default_rng((seed, n)).integers(n, size=(_RESAMPLES, n))


def _ratio(sums: np.ndarray) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] != 0, sums[..., 0] / sums[..., 1], np.nan)[()]
