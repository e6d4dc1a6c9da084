from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import saliency_map, with_scores
from hypothesis import given, strategies as st
from matplotlib.colors import to_rgb

from hf_saliency.errors import SaliencyError
from hf_saliency.palette import LIGHT
from hf_saliency.render.colors import Colors

SIGNED = Colors(limit=1.0, signed=True)
UNSIGNED = Colors(limit=1.0, signed=False)
SCALE = np.linspace(-1, 1, 1001)

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(rgb: np.ndarray) -> np.ndarray:
    return linear(rgb[..., :3]) @ [0.2126, 0.7152, 0.0722]


def lightness(rgb: np.ndarray) -> np.ndarray:
    return 116 * np.cbrt(luminance(rgb)) - 16  # CIELAB; no colour here is dark enough for its linear part


def contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.sort(np.stack(np.broadcast_arrays(luminance(a), luminance(b))), axis=0)
    return (high + 0.05) / (low + 0.05)


def test_ink_is_readable_on_every_colour() -> None:
    for colors in (SIGNED, UNSIGNED):
        assert contrast(colors.fill(SCALE), np.array(to_rgb(LIGHT.ink))).min() >= 4.5


def test_contrast_knows_a_colour_that_is_too_dark() -> None:
    assert contrast(np.array(to_rgb("navy")), np.array(to_rgb("black"))) < 4.5


def test_zero_is_paper_on_both_scales() -> None:
    np.testing.assert_array_equal(SIGNED.fill(np.zeros(1)), np.ones((1, 4)))
    np.testing.assert_array_equal(UNSIGNED.fill(np.zeros(1)), np.ones((1, 4)))


@pytest.mark.parametrize("sign", [-1, 1])
def test_grey_gets_darker_in_even_steps(sign: int) -> None:
    steps = np.diff(lightness(SIGNED.fill(sign * np.linspace(0, 1, 6))))
    assert np.all(np.diff(lightness(SIGNED.fill(sign * np.linspace(0, 1, 256)))) < 0)
    assert steps.min() > 1.05 * steps.max()  # both are negative; eight-bit anchors are exact to 1 in 10


def test_both_arms_are_equally_strong() -> None:
    strengths = np.linspace(0, 1, 50)
    difference = lightness(SIGNED.fill(strengths)) - lightness(SIGNED.fill(-strengths))
    assert np.abs(difference).max() < 2


@pytest.mark.parametrize("kind", BLINDNESS)
def test_signs_stay_apart_without_a_kind_of_cone(kind: str) -> None:
    seen = linear(SIGNED.fill(np.array([-1.0, 1.0]))[:, :3]) @ np.array(BLINDNESS[kind]).T
    assert np.abs(seen[0] - seen[1]).max() > 0.25


def test_unsigned_panels_share_the_positive_arm() -> None:
    positive = np.linspace(0, 1, 100)
    np.testing.assert_array_equal(UNSIGNED.fill(positive), SIGNED.fill(positive))


def test_colours_keep_the_shape_and_stop_at_the_limits() -> None:
    fill = SIGNED.fill(np.array([[-5.0, -1.0, 1.0, 5.0]]))
    assert fill.shape == (1, 4, 4)
    np.testing.assert_array_equal(fill[0, 0], fill[0, 1])
    np.testing.assert_array_equal(fill[0, 2], fill[0, 3])


def test_limits_come_from_what_is_given() -> None:
    one = with_scores(saliency_map("a b c", targets=[0, 1]), [[1.0, 2.0, 5.0], [3.0, 0.0, 3.0]])
    assert Colors.of([one], "none").limit == 5
    assert Colors.of([one], "row_max").limit == 1
    assert Colors.of([one], "row_sum").limit == pytest.approx(5 / 8)
    assert Colors.of([one, replace(one, scores=one.scores * 3)], "none").limit == 15


def test_rows_are_normalised_one_by_one() -> None:
    one = with_scores(saliency_map("a b", targets=[0, 1]), [[1.0, 4.0], [10.0, 5.0]])
    np.testing.assert_array_equal(Colors.of([one]).values(one), [[0.25, 1], [1, 0.5]])
    np.testing.assert_array_equal(Colors.of([one], "none").values(one), one.scores)


def test_one_signed_map_makes_the_scale_signed() -> None:
    assert not Colors.of([saliency_map()]).signed
    assert Colors.of([saliency_map(), saliency_map(signed=True)]).signed


def test_zeros_have_a_scale() -> None:
    one = saliency_map("a b", targets=[0])
    assert Colors.of([replace(one, scores=np.zeros((1, 2)))]).limit == 1


def test_what_is_not_finite_counts_for_nothing_and_is_named() -> None:
    one = with_scores(saliency_map("a b c d", targets=[0]), [[np.nan, np.inf, 2.0, 1.0]])
    colors = Colors.of([one])
    assert colors.limit == 1
    assert colors.missing == ("NaN", "∞")
    np.testing.assert_array_equal(colors.values(one), [[np.nan, np.nan, 1.0, 0.5]])


def test_negative_scores_of_an_unsigned_map_are_refused() -> None:
    one = with_scores(saliency_map("a b", targets=[0]), [[-1.0, 2.0]])
    with pytest.raises(SaliencyError, match=r"'gradient_norm' is marked as unsigned.*signed=True"):
        Colors.of([one])


@pytest.mark.usefixtures("unchecked_types")
def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(SaliencyError, match="'max': choose 'row_max', 'row_sum' or 'none'"):
        Colors.of([saliency_map()], "max")  # type: ignore[arg-type]


def test_label_says_method_unit_and_normalisation() -> None:
    one, several = saliency_map(targets=[0]), saliency_map(targets=[0, 1])
    nats = replace(one, signed=True, targets=(replace(one.targets[0], unit="log_prob"),), method="saliency")
    assert Colors.of([one]).label == "gradient norm of the logit, scaled to max score"
    assert Colors.of([several]).label == "gradient norm of the logit, scaled to max score of each row"
    assert (
        Colors.of([several], "row_sum").label
        == "gradient norm of the logit, scaled to total score of each row"
    )
    assert Colors.of([nats]).label == "saliency of the log-probability (nats), scaled to max |score|"
    assert Colors.of([nats], "none").label == "saliency of the log-probability (nats)"
    assert Colors.of([one, nats], "none").label == "attribution of the logit or log-probability (nats)"
    share = replace(nats, targets=(replace(nats.targets[0], unit="prob"),))
    assert (
        Colors.of([share, nats, one], "none").label
        == "attribution of the probability, log-probability (nats) or logit"
    )


# --- properties of the whole scale


limits = st.floats(1e-6, 1e6)
shares = st.floats(-1, 1)


@given(limits, shares, st.booleans())
def test_ink_is_readable_at_any_score(limit: float, share: float, signed: bool) -> None:
    fill = Colors(limit=limit, signed=signed).fill(np.array([share * limit]))
    assert contrast(fill, np.array(to_rgb(LIGHT.ink))).min() >= 4.5


@given(limits, shares, shares, st.booleans())
def test_stronger_is_never_lighter_in_grey(limit: float, one: float, other: float, signed: bool) -> None:
    low, high = sorted((one, other), key=abs)
    if not signed:
        low, high = sorted((one, other))
    if low * high >= 0 or not signed:
        grey = lightness(Colors(limit=limit, signed=signed).fill(np.array([low, high]) * limit))
        assert grey[1] <= grey[0] + 1e-9


@given(limits, st.floats(0.02, 1), st.sampled_from(sorted(BLINDNESS)))
def test_scale_is_monotone_without_a_kind_of_cone(limit: float, share: float, kind: str) -> None:
    values = np.array([0.0, share / 2, share, -share / 2, -share]) * limit
    seen = linear(Colors(limit=limit, signed=True).fill(values)[:, :3]) @ np.array(BLINDNESS[kind]).T
    grey = 116 * np.cbrt(np.clip(seen, 0, 1) @ [0.2126, 0.7152, 0.0722]) - 16
    assert grey[0] > grey[1] > grey[2]
    assert grey[0] > grey[3] > grey[4]


def test_signs_are_told_apart_by_everyone_wherever_they_are_seen() -> None:
    """For each missing kind of cone, opposite scores differ clearly in CIELAB from a quarter of the limit on."""
    for kind in BLINDNESS:
        for share in (0.25, 0.5, 1.0):
            rgb = SIGNED.fill(np.array([share, -share]))[:, :3]
            lab = cielab(np.clip(linear(rgb) @ np.array(BLINDNESS[kind]).T, 0, 1))
            assert np.linalg.norm(lab[0] - lab[1]) > 10  # 2.3 is just noticeable


def cielab(rgb: np.ndarray) -> np.ndarray:
    """Convert linear RGB under D65 to CIELAB."""
    xyz = rgb @ np.array(
        [
            [0.4124564, 0.2126729, 0.0193339],
            [0.3575761, 0.7151522, 0.1191920],
            [0.1804375, 0.0721750, 0.9503041],
        ]
    )
    ratio = xyz / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@given(limits)
def test_zero_is_neutral(limit: float) -> None:
    for signed in (False, True):
        np.testing.assert_array_equal(Colors(limit=limit, signed=signed).fill(np.zeros(1)), np.ones((1, 4)))
