"""Colours: ink is readable on all of them, lightness changes in equal steps, and figures use the same colours."""

from __future__ import annotations

import numpy as np
import pytest

from hf_saliency.palette import DARK, LIGHT, Palette
from hf_saliency.render.colors import Colors

BOTH = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
STRENGTHS = np.linspace(-1, 1, 257)


def luminance(code: str) -> float:
    channels = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def lightness(code: str) -> float:
    y = luminance(code)
    return float(116 * np.cbrt(y) - 16 if y > 216 / 24389 else 24389 / 27 * y)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@BOTH
def test_ink_has_a_contrast_of_4_5_on_every_color(palette: Palette) -> None:
    assert min(contrast(palette.color(v), palette.ink) for v in STRENGTHS) >= 4.5


@BOTH
def test_lightness_runs_from_the_ground_in_equal_steps(palette: Palette) -> None:
    for arm in (palette.positive, palette.negative):
        steps = np.diff([lightness(code) for code in arm])
        assert np.abs(steps).min() > 7
        assert np.ptp(steps) < 0.15 * np.abs(steps).mean()
        assert arm[0] == palette.ground


@BOTH
def test_the_ends_are_the_anchors_and_stay(palette: Palette) -> None:
    assert palette.color(0) == palette.ground
    assert palette.color(1) == palette.color(7) == palette.positive[-1]
    assert palette.color(-1) == palette.color(-7) == palette.negative[-1]
    assert palette.color(0.4) == palette.positive[2]


def test_figures_have_the_same_colors() -> None:
    fills = Colors(limit=1.0, signed=True).fill(np.rint(STRENGTHS * 255) / 255)
    for strength, rgba in zip(np.rint(STRENGTHS * 255) / 255, fills, strict=True):
        code = LIGHT.color(float(strength))
        assert [int(code[i : i + 2], 16) for i in (1, 3, 5)] == pytest.approx(
            (255 * rgba[:3]).tolist(), abs=0.51
        )
