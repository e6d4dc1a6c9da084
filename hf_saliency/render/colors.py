"""Colours: from a score to a colour that prints, that everyone tells apart and that black ink is read on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import Normalization, SaliencyMap
from hf_saliency.palette import LIGHT


def number(value: float) -> str:
    """Three digits, or all before the point, with a true minus sign; ``NaN`` and ``∞`` by name."""
    if math.isnan(value):
        return "NaN"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"
    return text.replace("inf", "∞").replace("-", "−")


def decimals(value: float) -> str:
    """Two decimals, with a true minus sign and none before zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def ordinal(count: int) -> str:
    """``2nd``, ``3rd``, ``11th``."""
    ending = "th" if count // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


INK = "black"

# Black ink is read on both arms. Zero is paper, and an unsigned map uses the orange arm alone, so that signed and
# unsigned panels can share one scale.
_POSITIVE, _NEGATIVE = LIGHT.positive, LIGHT.negative

_STEPS = 255  # of either arm

_UNITS = {"logit": "logit", "log_prob": "log-probability (nats)", "prob": "probability", "value": "value"}
_NORMALIZED = {
    ("row_max", False): "maximum",
    ("row_max", True): "maximum of magnitude",
    ("row_sum", False): "sum",
    ("row_sum", True): "sum of magnitudes",
}


def _table(anchors: Sequence[str]) -> Float[np.ndarray, "anchors 3"]:
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in anchors])


@dataclass(frozen=True)
class Colors:
    """One colour scale, shared by all panels of a figure.

    Parameters
    ----------
    limit
        The magnitude that is drawn at full strength.
    signed
        Whether the scale runs from ``-limit`` to ``limit`` with zero neutral, instead of from 0 to ``limit``.
    normalize
        What each row is divided by before it is drawn: ``"row_max"``, ``"row_sum"`` or ``"none"``.
    label
        What the colours mean: method, unit and normalisation.
    missing
        The kinds of scores without a colour that occur: ``"NaN"``, ``"∞"``, ``"−∞"``.

    Examples
    --------
    >>> from hf_saliency.render.colors import Colors
    >>> Colors(limit=1.0, signed=False).fill(np.array([0.0, 1.0])).round(2).tolist()
    [[1.0, 1.0, 1.0, 1.0], [0.85, 0.34, 0.04, 1.0]]
    """

    limit: float
    signed: bool
    normalize: Normalization = "row_max"
    label: str = ""
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, maps: Sequence[SaliencyMap], normalize: Normalization = "row_max") -> Colors:
        """The scale of some maps, from the tokens that they hold and from nothing else.

        Parameters
        ----------
        maps
            As they are drawn: hidden tokens are no longer in them.
        normalize
            ``"row_max"``, ``"row_sum"`` or ``"none"``.

        Returns
        -------
        Colors

        Raises
        ------
        SaliencyError
            For another normalisation, or a map that is called unsigned and has scores below zero.
        """
        if normalize not in ("row_max", "row_sum", "none"):
            raise SaliencyError(f"normalize={normalize!r}: choose 'row_max', 'row_sum' or 'none'.")
        for one in maps:
            if not one.signed and np.any(one.scores < 0):
                raise SaliencyError(
                    f"the map of {one.method!r} is unsigned, but has scores below 0, which have no colour on "
                    "its scale: dataclasses.replace(saliency_map, signed=True)."
                )
        signed = any(one.signed for one in maps)
        largest = max(_largest(_normalized(one, normalize)) for one in maps)
        return cls(
            limit=largest or 1.0,
            signed=signed,
            normalize=normalize,
            label=_label(maps, normalize, signed),
            missing=_missing(maps),
        )

    def values(self, saliency_map: SaliencyMap) -> Float[np.ndarray, "targets tokens"]:
        """The map's scores as this scale draws them: normalised, and NaN where a score is not finite."""
        return _normalized(saliency_map, self.normalize)

    def fill(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 4"]:
        """Colours of normalised, finite scores.

        Parameters
        ----------
        values
            Array of any shape; what lies outside the limits gets the colour at the limit.

        Returns
        -------
        Array of shape (..., 4)
            Red, green, blue and an opacity of 1.
        """
        values = np.asarray(values, dtype=float)
        strength = np.abs(values if self.signed else np.maximum(values, 0)) / self.limit
        strength = np.rint(np.minimum(strength, 1) * _STEPS) / _STEPS
        grid = np.linspace(0, 1, len(_POSITIVE))
        below, above = (
            np.stack([np.interp(strength, grid, channel) for channel in _table(anchors).T], axis=-1)
            for anchors in (_NEGATIVE, _POSITIVE)
        )
        rgb = np.where((values < 0)[..., None], below, above)
        return np.concatenate([rgb, np.ones_like(rgb[..., :1])], axis=-1)


def _normalized(saliency_map: SaliencyMap, normalize: Normalization) -> np.ndarray:
    finite = np.isfinite(saliency_map.scores)
    known = dataclasses.replace(saliency_map, scores=np.where(finite, saliency_map.scores, 0))
    return np.where(finite, known.normalized(normalize), np.nan)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def _missing(maps: Sequence[SaliencyMap]) -> tuple[str, ...]:
    scores = np.concatenate([one.scores.ravel() for one in maps])
    kinds = {"NaN": np.isnan(scores), "∞": np.isposinf(scores), "−∞": np.isneginf(scores)}
    return tuple(name for name, found in kinds.items() if found.any())


def method_name(method: str) -> str:
    """The name of a method as it is printed."""
    return method.replace("_x_", " × ").replace("_", " ")


def _label(maps: Sequence[SaliencyMap], normalize: Normalization, signed: bool) -> str:
    methods = {one.method for one in maps}
    name = method_name(methods.pop()) if len(methods) == 1 else "attribution"
    units = sorted({_UNITS[target.unit] for one in maps for target in one.targets})
    label = f"{name} of the {' or '.join(units)}"
    if normalize == "none":
        return label
    several = any(len(one.targets) > 1 for one in maps) or len(maps) > 1
    return f"{label}, {'row ' if several else ''}{_NORMALIZED[normalize, signed]} = 1"
