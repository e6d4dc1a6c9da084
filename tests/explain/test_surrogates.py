"""Linear models of the score: LIME for scores of any scale, and warnings if there are too few samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

import hf_saliency as hs
from hf_saliency.attribution.named.surrogates import StandardizedLasso

TEXT = "She drank hot tea."
TARGET = hs.MaskedToken("tea")


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*hs.load_demo())


def test_small_scores_have_weights(explainer: hs.Explainer) -> None:
    """If a Lasso's penalty were in units of the score, it would far exceed the probability of a token."""
    target = hs.MaskedToken("grammar", unit="prob")
    heat = explainer("the formal study of grammar is hard", target=target, method=hs.lime(n_samples=60))
    assert np.count_nonzero(heat.scores) >= 4


def test_weights_scale_with_the_score() -> None:
    torch.manual_seed(0)
    presence = (torch.rand(50, 4) > 0.5).float()
    scores, weights = presence @ torch.tensor([3.0, -2.0, 0.5, 0.0]) + 7, torch.rand(50) + 0.1
    fits = []
    for scale in (1.0, 1e-6, 1e6):
        model = StandardizedLasso(alpha=0.01)
        model.fit(
            torch.utils.data.DataLoader(torch.utils.data.TensorDataset(presence, scale * scores, weights))
        )
        fits.append(model.linear.weight.detach().numpy()[0] / scale)
        predicted = (model.linear(presence)[:, 0] / scale).detach()
        torch.testing.assert_close(predicted, scores, rtol=0, atol=0.2)
    np.testing.assert_allclose(fits[1:], [fits[0]] * 2, rtol=1e-4, atol=1e-6)
    share = weights.double().numpy() / weights.double().sum().item()
    values = scores.double().numpy()
    mean = share @ values
    deviation = np.sqrt(share @ (values - mean) ** 2)
    lasso = Lasso(alpha=0.01).fit(
        presence.numpy(), (values - mean) / deviation, sample_weight=weights.numpy()
    )
    np.testing.assert_allclose(fits[0], lasso.coef_ * deviation, rtol=1e-4, atol=1e-5)


def test_a_constant_score_warns() -> None:
    model = StandardizedLasso(alpha=0.01)
    rows = torch.utils.data.TensorDataset(
        (torch.rand(9, 3) > 0.5).float(), torch.full((9,), 3.0), torch.ones(9)
    )
    with pytest.warns(RuntimeWarning, match="the score is the same whatever is removed"):
        model.fit(torch.utils.data.DataLoader(rows))
    assert not model.linear.weight.any()


@pytest.mark.parametrize("make", [hs.lime, hs.kernel_shap])
def test_too_few_samples_warn_with_the_number_that_is_needed(make: object, explainer: hs.Explainer) -> None:
    with pytest.warns(
        RuntimeWarning, match="5 subsets are too few for 6 features.* n_samples=12 or more"
    ) as caught:
        explainer(TEXT, target=TARGET, method=make(n_samples=5))
    assert caught[0].filename == __file__
    explainer(TEXT, target=TARGET, method=make(n_samples=12))
