"""Colormaps: the palette of a figure, from its ground or from a colormap of Matplotlib."""

from __future__ import annotations

import difflib
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, to_hex, to_rgb, to_rgba

from hf_saliency.errors import SaliencyError
from hf_saliency.palette import DARK, LIGHT, Palette
from hf_saliency.render.colors import luminance

_SAMPLES = 33  # of a colormap, for either arm
_DARK = 0.18  # luminance of a ground on which white is read better than black


def palette_for(ground: Any, cmap: str | Colormap | None = None, *, signed: bool = False) -> Palette:
    """The colours of a figure.

    Parameters
    ----------
    ground
        The colour of the figure, which decides whether zero is light or dark.
    cmap
        A colormap of Matplotlib that takes the place of the package's own colours: a sequential one for unsigned
        scores, a diverging one for signed scores.
    signed
        Whether scores have signs.

    Returns
    -------
    Palette

    Raises
    ------
    SaliencyError
        If there is no such colormap, or its lightness goes up and down.
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
    """A palette whose zero is the ground itself, and whose strongest colours stay as they are."""
    shift = ground - np.array(to_rgb(palette.ground))
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
    """Colours from zero to the limit; their lightness must run one way, or strong scores look weak."""
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
