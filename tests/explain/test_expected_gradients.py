"""Several baselines: the result is the mean over all of them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

import hf_saliency as hs
from hf_saliency.attribution.expected_gradients import StratifiedGradientShap

TEXT = "the cat learned it !"

# With tiny random models, differences of scores are near zero, so that any delta is relatively large.
pytestmark = pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"))


@pytest.mark.parametrize("options", [{"n_steps": 20}, {"tolerance": 1e-6}])
def test_integrated_gradients_of_several_baselines_are_their_mean(
    options: dict, explainer: hs.Explainer
) -> None:
    parts = [hs.mask_embedding, hs.mean_embedding, 0.5]
    each = [explainer(TEXT, method=hs.integrated_gradients(baseline=part, **options)) for part in parts]
    heat = explainer(TEXT, method=hs.integrated_gradients(baseline=parts, **options))
    np.testing.assert_allclose(
        heat.scores, np.mean([one.scores for one in each], axis=0), rtol=1e-9, atol=1e-12
    )
    deltas = np.mean([one.convergence_delta for one in each], axis=0)
    np.testing.assert_allclose(heat.convergence_delta, deltas, rtol=1e-6, atol=1e-9)
    assert heat.arguments["baseline"] == {"mean over": ["mask_embedding", "mean_embedding", 0.5]}


def test_one_baseline_in_a_list_is_that_baseline(explainer: hs.Explainer) -> None:
    for make in (hs.integrated_gradients, hs.gradient_shap):
        single, several = (
            explainer(TEXT, target=hs.MaskedToken("cat"), method=make(30, baseline=baseline))
            for baseline in (hs.mean_embedding, [hs.mean_embedding])
        )
        np.testing.assert_array_equal(single.scores, several.scores)


def test_gradient_shap_draws_from_all_baselines(explainer: hs.Explainer) -> None:
    """GradientSHAP has the same expectation as expected gradients."""
    target, parts = hs.MaskedToken("cat"), [hs.mask_embedding, hs.mean_embedding]
    expected = explainer(TEXT, target=target, method=hs.integrated_gradients(baseline=parts)).scores
    drawn = explainer(TEXT, target=target, method=hs.gradient_shap(800, baseline=parts)).scores
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=0.15 * np.abs(expected).max())


def cubes(embeds: Tensor, seen: list[Tensor] | None = None) -> Tensor:
    if seen is not None and embeds.requires_grad:
        seen.append(embeds.detach()[:, 0, 0])
    return (embeds**3).sum(dim=(1, 2))


@pytest.mark.parametrize("size", [None, 3])
def test_each_stretch_has_one_point(size: int | None) -> None:
    inputs, start = torch.ones(1, 1, 2, dtype=torch.float64), torch.zeros(1, 1, 2, dtype=torch.float64)
    seen: list[Tensor] = []
    values, delta = StratifiedGradientShap(cubes).attribute(
        inputs,
        start,
        10,
        additional_forward_args=seen,
        internal_batch_size=size,
        return_convergence_delta=True,
    )
    points = torch.cat(seen)
    assert (points * 10).floor().tolist() == list(range(10))
    torch.testing.assert_close(values[0, 0], (3 * points**2).mean().expand(2))  # 1 in expectation, by hand
    torch.testing.assert_close(delta, values.sum()[None] - 2)
    assert abs(float(values[0, 0, 0]) - 1) < 0.1


def test_all_baselines_are_drawn_as_often_and_noise_is_in_the_sum() -> None:
    inputs, starts = torch.full((2, 3, 2), 2.0).double(), torch.tensor([0.0, 1.0]).double()
    distribution = starts[:, None, None].expand(2, 3, 2)
    linear = StratifiedGradientShap(lambda embeds: embeds.sum(dim=(1, 2)))
    values, delta = linear.attribute(inputs, distribution, 6, return_convergence_delta=True)
    torch.testing.assert_close(values, torch.full_like(values, 1.5))
    torch.testing.assert_close(delta, torch.zeros(2).double(), atol=1e-12, rtol=0)
    values, delta = linear.attribute(inputs, distribution, 6, stdevs=0.5, return_convergence_delta=True)
    assert (values != 1.5).all()
    torch.testing.assert_close(delta, torch.zeros(2).double(), atol=1e-12, rtol=0)
    with pytest.raises(hs.SaliencyError, match="baselines must hold one row or more"):
        linear.attribute(inputs, torch.zeros(2, 3, 4))


def test_a_tuple_is_one_baseline_of_several_texts() -> None:
    explainer = hs.Explainer(*tiny.model("seq2seq", "t5"))
    pair = ("the cat sat", "the mat")
    pairs = [("it sat on", "it sat"), ("the mat sat", "cat it")]
    each = [explainer(pair, method=hs.integrated_gradients(20, baseline=part)).scores for part in pairs]
    both = explainer(pair, method=hs.integrated_gradients(20, baseline=pairs)).scores
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=0, atol=1e-6 * np.abs(both).max())


def test_lists_elsewhere(explainer: hs.Explainer) -> None:
    with pytest.raises(hs.SaliencyError, match=r"baseline=\[\]"):
        hs.gradient_shap(baseline=[])
    with pytest.raises(hs.SaliencyError, match="several baselines, which only hs.integrated_gradients"):
        explainer(TEXT, method=hs.leave_one_out(baseline=[hs.mask_embedding]))
