"""Colours: from scores to colours that print well, that everyone can distinguish and that text is readable on."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.colors import Colormap, to_hex, to_rgb, to_rgba

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.wording import method_name, scale_label
from hf_saliency.palette import DARK, LIGHT, Palette

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Format a number with three digits (all if four or five precede the point), a true minus sign, ``NaN``, ``∞``."""
    if math.isnan(value):
        return "NaN"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    power = f"×10{str(int(exponent)).translate(_RAISED)}" if exponent else ""
    return mantissa.replace("inf", "∞").replace("-", "−") + power


def decimals(value: float, places: int = 2) -> str:
    """Format a number with ``places`` decimals and a true minus sign, but none before zero."""
    text = f"{value:.{places}f}"
    return text.replace("-", "" if not text.strip("-0.") else "−")


def ordinal(count: int) -> str:
    """The English ordinal of a number: ``2nd``, ``3rd``, ``11th``."""
    ending = "th" if count // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


_STEPS = 255  # shades of each arm, the positive and the negative one
_FAINT = 0.25  # share of the limit

_COUNTED = {"all": "", "context": ", context only", "prompt": ", prompt only"}


def _table(anchors: Sequence[str]) -> Float[np.ndarray, "anchors 3"]:
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in anchors])


@dataclass(frozen=True)
class Colors:
    """One colour scale, shared by all panels of a figure."""

    limit: float  # the magnitude that is drawn at full strength
    signed: bool  # from -limit to limit with zero neutral; otherwise from 0 to limit
    normalize: Normalization = "row_max"  # the divisor of each row
    label: str = ""  # the meaning of the colours: method, unit and normalisation
    missing: tuple[str, ...] = ()  # the non-finite scores that occur and have no colour: "NaN", "∞", "−∞"
    palette: Palette = LIGHT
    negative: bool = False  # some map has a score below zero, so bars leave room for it in every panel
    clipped: bool = False  # a score lies beyond the limit
    underline: bool = False  # negative scores are underlined, so that signs survive grey print
    columns: Columns = "all"  # the tokens that count in each row; all others are drawn as zero

    @classmethod
    def of(
        cls,
        maps: Sequence[SaliencyMap],
        normalize: Normalization = "row_max",
        *,
        limit: float | None = None,
        palette: Palette = LIGHT,
        underline: bool = False,
        columns: Columns = "all",
    ) -> Colors:
        """The scale of maps as they are drawn, computed only from the tokens that they hold.

        ``limit`` is the magnitude at full strength, by default the largest that occurs. Refuses an unknown
        normalisation, and a map that is marked as unsigned but has scores below zero.
        """
        if normalize not in ("row_max", "row_sum", "none"):
            raise SaliencyError(f"normalize={normalize!r}: choose 'row_max', 'row_sum' or 'none'.")
        for heat in maps:
            if not heat.signed and np.any(heat.scores < 0):
                raise SaliencyError(
                    f"the map of {heat.method!r} is marked as unsigned, but has scores below 0; mark it as signed: "
                    "dataclasses.replace(saliency_map, signed=True)."
                )
        signed = any(heat.signed for heat in maps)
        values = [_normalized(heat, normalize, columns) for heat in maps]
        largest = max(map(_largest, values))
        return cls(
            limit=limit or largest or 1.0,
            signed=signed,
            normalize=normalize,
            label=_label(maps, normalize, columns, signed, largest),
            missing=_missing(maps),
            palette=palette,
            negative=any(bool((heat < 0).any()) for heat in values),
            clipped=limit is not None and largest > limit * (1 + 1e-9),
            underline=underline,
            columns=columns,
        )

    def values(self, saliency_map: SaliencyMap) -> Float[np.ndarray, "targets tokens"]:
        """The map's scores as this scale draws them: normalised, and NaN where a score is not finite."""
        return _normalized(saliency_map, self.normalize, self.columns)

    def fill(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 4"]:
        """Opaque RGBA colours (..., 4) of normalised scores; scores beyond the limit have the limit's colour."""
        values = np.asarray(values, dtype=float)
        strength = np.abs(values if self.signed else np.maximum(values, 0)) / self.limit
        strength = np.rint(np.minimum(strength, 1) * _STEPS) / _STEPS
        grid = np.linspace(0, 1, len(self.palette.positive))
        below, above = (
            np.stack([np.interp(strength, grid, channel) for channel in _table(anchors).T], axis=-1)
            for anchors in (self.palette.negative, self.palette.positive)
        )
        rgb = np.where((values < 0)[..., None], below, above)
        return np.concatenate([rgb, np.ones_like(rgb[..., :1])], axis=-1)

    @property
    def ink(self) -> str:
        """The colour of frames, and of text on a cell whose score is zero."""
        return self.palette.ink

    def ink_on(self, values: Float[np.ndarray, " tokens"]) -> str:
        """Black or white, whichever is more readable on the colours of all these scores; NaN counts as zero."""
        if self.palette in (LIGHT, DARK):  # designed so that one ink is readable on all of their colours
            return self.ink
        light = luminance(self.fill(np.nan_to_num(values))[..., :3])
        black, white = (light.min(initial=1) + 0.05) / 0.05, 1.05 / (light.max(initial=0) + 0.05)
        return "#000000" if black >= white else "#ffffff"

    def faint(self, values: Float[np.ndarray, " tokens"]) -> bool:
        """Whether all these scores are so weak that grey text is readable on their colours."""
        return bool((np.abs(np.nan_to_num(values)) < _FAINT * self.limit).all())

    @property
    def power(self) -> int:
        """The power of ten that printed numbers leave out; 0 if they are readable without one."""
        exponent = math.floor(math.log10(self.limit))
        return 0 if -3 < exponent < 4 else exponent

    @property
    def power_note(self) -> str:
        """The note that states which power of ten printed numbers leave out, if any."""
        return f"numbers × 10{str(self.power).translate(_RAISED)}" if self.power else ""

    def printed(self, saliency_map: SaliencyMap) -> np.ndarray:
        """The scores as text, with enough decimals to distinguish them at this limit, or without a power of ten."""
        power = self.power
        exponent = 0 if power else math.floor(math.log10(self.limit))
        places = max(0, 2 - exponent) if exponent >= 0 else 1 - exponent
        values = np.where(np.isfinite(saliency_map.scores), self.values(saliency_map), saliency_map.scores)
        texts = [
            decimals(value / 10.0**power, places) if np.isfinite(value) else number(value)
            for value in values.flat
        ]
        return np.array(texts, dtype=object).reshape(values.shape)


def luminance(rgb: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
    """Relative luminance, as WCAG defines it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def _normalized(saliency_map: SaliencyMap, normalize: Normalization, columns: Columns) -> np.ndarray:
    finite = np.isfinite(saliency_map.scores)
    if "difference" in saliency_map.arguments:  # the difference of rows that were already scaled
        normalize = "none"
    known = dataclasses.replace(saliency_map, scores=np.where(finite, saliency_map.scores, 0))
    return np.where(finite, known.normalized(normalize, columns=columns), np.nan)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def _missing(maps: Sequence[SaliencyMap]) -> tuple[str, ...]:
    scores = np.concatenate([each.scores.ravel() for each in maps])
    kinds = {"NaN": np.isnan(scores), "∞": np.isposinf(scores), "−∞": np.isneginf(scores)}
    return tuple(name for name, occurs in kinds.items() if occurs.any())


def _label(
    maps: Sequence[SaliencyMap], normalize: Normalization, columns: Columns, signed: bool, largest: float
) -> str:
    if largest == 0:
        return f"{scale_label(maps, 'none', signed)}, all scores are 0"
    differences = {each.arguments.get("difference") for each in maps} - {None}
    if differences:  # between rows that were already scaled
        name = method_name(maps[0].method)
        return f"{name}, rows scaled" if differences != {"none"} else scale_label(maps, "none", signed)
    return scale_label(maps, normalize, signed) + _COUNTED[columns]


_SAMPLES = 33  # colours taken from a colormap for each arm
_DARK = 0.18  # luminance of a background below which white text is more readable than black


def palette_for(ground: Any, cmap: str | Colormap | None = None, *, signed: bool = False) -> Palette:
    """The palette of a figure: the package's own, adapted to the background, or one made from a colormap.

    The colormap must be sequential for unsigned scores and diverging for signed ones. From zero to the limit, its
    lightness must only rise or only fall.
    """
    *ground_rgb, opacity = to_rgba(ground)
    dark = opacity > 0.5 and bool(luminance(np.array(ground_rgb)) < _DARK)
    if cmap is None:
        return _on_ground(DARK if dark else LIGHT, np.array(ground_rgb) if opacity > 0.5 else np.ones(3))
    colormap = _colormap(cmap)
    positive = _arm(colormap, 0.5 if signed else 0.0, 1.0, signed)
    negative = _arm(colormap, 0.5, 0.0, signed) if signed else positive
    zero = float(luminance(np.array(to_rgb(positive[0]))))
    return Palette(positive, negative, "#000000" if zero > _DARK else "#ffffff")


def _on_ground(palette: Palette, ground: np.ndarray) -> Palette:
    """Shift a palette so that zero has the colour of the background; the strongest colours stay unchanged."""
    shift = ground - np.array(to_rgb(palette.positive[0]))
    if np.abs(shift).max() < 1 / 255:
        return palette

    def arm(anchors: tuple[str, ...]) -> tuple[str, ...]:
        rest = np.linspace(1, 0, len(anchors))[:, None]
        moved = np.array([to_rgb(anchor) for anchor in anchors]) + rest * shift
        return tuple(to_hex(color) for color in np.clip(moved, 0, 1))

    return Palette(arm(palette.positive), arm(palette.negative), palette.ink)


def _colormap(cmap: Any) -> Colormap:
    if isinstance(cmap, Colormap):
        return cmap
    if cmap not in list(mpl.colormaps):
        near = difflib.get_close_matches(str(cmap), list(mpl.colormaps), n=1)
        hint = f"did you mean {near[0]!r}" if near else "such as 'Oranges' or 'RdBu_r'"
        raise SaliencyError(
            f"cmap={cmap!r}: give the name of a colormap of Matplotlib or a Colormap ({hint})."
        )
    return mpl.colormaps[cmap]


def _arm(colormap: Colormap, start: float, end: float, signed: bool) -> tuple[str, ...]:
    """Colours from zero to the limit; their lightness must only rise or only fall, or strong scores look weak."""
    colors = colormap(np.linspace(start, end, _SAMPLES))[:, :3]
    light = 116 * np.cbrt(luminance(colors)) - 16
    way = np.sign(light[-1] - light[0])
    if way == 0 or (np.diff(light) * way).min() < -1.0:
        kind = "diverging colormap such as 'RdBu_r'" if signed else "sequential colormap such as 'Oranges'"
        raise SaliencyError(
            f"cmap={colormap.name!r}: its lightness goes up and down between zero and the limit, so that a strong "
            f"score can look weak. Choose a {kind}."
        )
    return tuple(to_hex(color) for color in colors)


_READABLE = 4.5  # contrast that text must have (WCAG AA)
_VISIBLE = 3.05  # contrast of lines and dots: 3, plus the loss from rounding to 8 bits


def ground() -> Any:
    """Colour of the figure's background."""
    return mpl.rcParams["figure.facecolor"]


def text_color() -> Any:
    """Colour of text on the figure's background."""
    return mpl.rcParams["text.color"]


def muted() -> Any:
    """Colour of secondary text: a grey if it is readable on the figure, otherwise the colour of other text."""
    grey = tuple(0.375 + 0.25 * channel for channel in to_rgb(text_color()))
    return grey if _contrast(grey) >= _READABLE else text_color()


def distinct(color: Any) -> str:
    """A colour for lines and dots: unchanged if visible on the figure, otherwise mixed towards the colour of text."""
    start, end = np.array(to_rgb(color)), np.array(to_rgb(text_color()))
    shares = np.linspace(0, 1, 21)[:, None]
    mixed = [tuple(each) for each in start + shares * (end - start)]
    return to_hex(next((each for each in mixed if _contrast(each) >= _VISIBLE), mixed[-1]))


def _contrast(color: tuple[float, ...]) -> float:
    """The contrast of a colour with the figure's background, as WCAG defines it."""
    *behind, opacity = to_rgba(ground())
    low, high = sorted(
        float(luminance(np.array(rgb))) for rgb in (color, behind if opacity > 0.5 else (1.0, 1.0, 1.0))
    )
    return (high + 0.05) / (low + 0.05)
