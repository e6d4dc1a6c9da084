"""Every method against its replica, on five architectures of masked language models, in float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import replicas
import tiny
import torch
from torch import Tensor

import hf_saliency as hs
from hf_saliency.adapter.guards import seeded

# Few steps and samples are enough to compare with a replica.
pytestmark = pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")

FAMILIES = ["bert", "roberta", "albert", "deberta-v2", "modernbert"]
TWO = ["bert", "modernbert"]  # for methods of hundreds of passes: more models take time and test no new code
TEXT = "the cat learned it !"  # "learned" is two tokens, "!" one
WORDS = [[1], [2], [3, 4], [5], [6]]


@functools.cache
def explainer(family: str) -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm(family), progress=False)


Row = tuple[replicas.Scalar, Tensor, Tensor, list[list[int]], int]


def rows(family: str, feature: str = "token") -> Iterator[Row]:
    """Yield the score, embeddings, baseline, features and position of each target."""
    model, tokenizer = tiny.masked_lm(family)
    ids = tokenizer(TEXT)["input_ids"]
    embedding = model.get_input_embeddings()
    for position in range(1, len(ids) - 1):
        seen = [*ids[:position], tokenizer.mask_token_id, *ids[position + 1 :]]
        embeds = embedding(torch.tensor(seen)).detach()
        free = [i for i in range(1, len(ids) - 1) if i != position]
        baseline = embeds.clone()
        baseline[free] = embedding(torch.tensor(tokenizer.mask_token_id)).detach()
        groups = WORDS if feature == "word" else [[i] for i in free]
        features = [left for group in groups if (left := [i for i in group if i in free])]
        score = replicas.scalar(model, seen, position, ids[position])
        yield score, embeds, baseline, features, position


def shared(features: list[list[int]], values: np.ndarray, tokens: int) -> np.ndarray:
    scores = np.zeros(tokens)
    for feature, one in zip(features, values, strict=True):
        scores[feature] = one / len(feature)
    return scores


def check(family: str, method: hs.Method, expected: list[np.ndarray], rtol: float) -> None:
    heat = explainer(family)(TEXT, method=method)
    wanted = np.stack(expected)
    assert np.abs(wanted).max() > 1e-4
    np.testing.assert_allclose(heat.scores, wanted, rtol=0, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("reduction", "absolute"),
    # The sum of the signed gradient is zero if a layer norm follows the embedding.
    [*[(r, True) for r in ("norm", "norm_1", "mean", "max", "absmax", "sum")], ("max", False)],
)
def test_saliency(family: str, reduction: str, absolute: bool) -> None:
    reduce = {
        "norm": lambda g: np.sqrt((g**2).sum(-1)),
        "norm_1": lambda g: np.abs(g).sum(-1),
        "mean": lambda g: g.mean(-1),
        "max": lambda g: np.take_along_axis(g, np.abs(g).argmax(-1)[..., None], -1)[..., 0],
        "absmax": lambda g: np.abs(g).max(-1),
        "sum": lambda g: g.sum(-1),
    }[reduction]
    gradients = [replicas.gradient(score, embeds).numpy() for score, embeds, *_ in rows(family)]
    expected = [reduce(np.abs(g) if absolute else g) for g in gradients]
    check(family, hs.saliency(reduction, absolute=absolute), expected, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_input_x_gradient(family: str) -> None:
    expected = [
        (embeds * replicas.gradient(score, embeds)).sum(-1).numpy() for score, embeds, *_ in rows(family)
    ]
    check(family, hs.input_x_gradient(), expected, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients(family: str) -> None:
    expected = [
        replicas.integrated_gradients(score, embeds, baseline, 12).sum(-1).numpy()
        for score, embeds, baseline, _, _ in rows(family)
    ]
    check(family, hs.integrated_gradients(12), expected, 1e-7)  # Captum's weights are float32


@pytest.mark.parametrize("family", TWO)
def test_integrated_gradients_to_a_tolerance(family: str) -> None:
    expected = [
        replicas.integrated_gradients(score, embeds, baseline, 60).sum(-1).numpy()  # converged to 1e-9
        for score, embeds, baseline, _, _ in rows(family)
    ]
    check(family, hs.integrated_gradients(tolerance=1e-6), expected, 1e-5)


def test_summed_sequential_integrated_gradients_are_differences_of_scores() -> None:
    """Compare with the class for Captum, which has converged at 200 steps."""
    explained = explainer("bert")
    target = hs.MaskedToken(2)
    heat = explained(TEXT, target=target, method=hs.sequential_integrated_gradients(3))
    steps = hs.captum_method(hs.SequentialIntegratedGradients, n_steps=200)
    expected = explained(TEXT, target=target, method=steps)
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=0, atol=1e-6 * np.abs(heat.scores).max())
    left_out = explained(TEXT, target=target, method="leave_one_out")
    np.testing.assert_allclose(heat.scores, left_out.scores, rtol=1e-12)
    assert heat.convergence_delta is not None
    assert not heat.convergence_delta.any()


@pytest.mark.parametrize("family", TWO)
def test_sequential_integrated_gradients(family: str) -> None:
    expected = [
        replicas.sequential_integrated_gradients(score, embeds, baseline, 6).norm(dim=-1).numpy()
        for score, embeds, baseline, _, _ in rows(family)
    ]
    check(family, hs.sequential_integrated_gradients(6, reduction="norm"), expected, 1e-7)


@pytest.mark.parametrize("family", TWO)
@pytest.mark.parametrize(
    ("strategy", "n_neighbors", "factor", "rule"),
    [("greedy", 47, 0, "riemann_left"), ("maxcount", 9, 1, "trapezoid")],
)
def test_discretized_integrated_gradients(
    family: str, strategy: str, n_neighbors: int, factor: int, rule: Any
) -> None:
    table = tiny.masked_lm(family)[0].get_input_embeddings().weight.detach()
    expected = [
        replicas.discretized_integrated_gradients(
            score, embeds, baseline, table, 4, strategy, n_neighbors, factor, rule
        )
        .sum(-1)
        .numpy()
        for score, embeds, baseline, _, _ in rows(family)
    ]
    method = hs.discretized_integrated_gradients(
        4, strategy=strategy, n_neighbors=n_neighbors, factor=factor, quadrature=rule
    )
    check(family, method, expected, 1e-8)


def test_gradient_shap_is_integrated_gradients_in_expectation() -> None:
    """The mean of 3,000 samples is within 5 standard errors at each of 30 tokens; 1 of 50,000 draws would fail."""
    heat = explainer("bert")(TEXT, method=hs.gradient_shap(3000))
    for i, (score, embeds, baseline, _, _) in enumerate(rows("bert")):
        expected = replicas.integrated_gradients(score, embeds, baseline, 50).sum(-1)
        draws = torch.stack(
            [
                (replicas.gradient(score, baseline + a * (embeds - baseline)) * (embeds - baseline)).sum(-1)
                for a in torch.linspace(0.005, 0.995, 40, dtype=torch.float64)
            ]
        )
        error = draws.std(0) / 3000**0.5
        assert (np.abs(heat.scores[i] - expected.numpy()) <= 5 * error.numpy() + 1e-9).all()


@pytest.mark.parametrize("family", TWO)
@pytest.mark.parametrize("kind", ["smooth_grad", "smooth_grad_squared", "var_grad"])
def test_noise(family: str, kind: str) -> None:
    expected = []
    for score, embeds, _, _, position in rows(family):
        stdev = float(0.3 * embeds.float().std())
        with seeded(7, position):
            noise = torch.normal(0, torch.full((5, *embeds.shape), stdev))
        samples = np.stack([replicas.gradient(score, embeds + one).numpy() for one in noise])
        expected.append(
            {
                "smooth_grad": np.sqrt((samples.mean(0) ** 2).sum(-1)),
                "smooth_grad_squared": (samples**2).mean(0).sum(-1),
                "var_grad": samples.var(0).sum(-1),
            }[kind]
        )
    check(family, getattr(hs, kind)(n_samples=5, noise_level=0.3, seed=7), expected, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("feature", ["token", "word"])
def test_leave_one_out(family: str, feature: str) -> None:
    expected = [
        shared(features, replicas.occlusion(score, embeds, baseline, features, 1, 1), len(embeds))
        for score, embeds, baseline, features, _ in rows(family, feature)
    ]
    check(family, hs.leave_one_out(feature=feature), expected, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (3, 2), (9, 1)])
def test_occlusion(family: str, window: int, stride: int) -> None:
    expected = [
        shared(features, replicas.occlusion(score, embeds, baseline, features, window, stride), len(embeds))
        for score, embeds, baseline, features, _ in rows(family)
    ]
    check(family, hs.occlusion(window, stride=stride), expected, 1e-8)


@pytest.mark.parametrize("family", TWO)
@pytest.mark.parametrize("feature", ["token", "word"])
def test_shapley_sampling(family: str, feature: str) -> None:
    expected = []
    for score, embeds, baseline, features, position in rows(family, feature):
        with seeded(3, position):
            orders = [torch.randperm(len(features)).tolist() for _ in range(4)]
        values = replicas.shapley(score, embeds, baseline, features, orders)
        expected.append(shared(features, values, len(embeds)))
    check(family, hs.shapley_sampling(4, feature=feature, seed=3), expected, 1e-6)  # Captum sums in float32


@pytest.mark.parametrize("family", TWO)
def test_kernel_shap(family: str) -> None:
    """The regression of Lundberg and Lee: the Shapley kernel draws sizes; both ends have nearly infinite weight."""
    expected = []
    for score, embeds, baseline, features, position in rows(family):
        count = len(features)
        with seeded(1, position):
            sizes = torch.arange(count, dtype=torch.float)
            chances = (count - 1) / (sizes * (count - sizes))
            chances[0] = 0
            masks = [np.ones(count), np.zeros(count)]
            while len(masks) < 40:
                size = torch.distributions.Categorical(chances).sample()
                draw = torch.randn(1, count)
                masks.append((draw > torch.kthvalue(draw, count - size).values.item()).numpy()[0])
        values = [replicas.value(score, embeds, baseline, features, mask) for mask in masks]
        weights = np.array([1e6, 1e6, *[1.0] * 38])
        found = replicas.weighted_least_squares(np.array(masks, float), np.array(values), weights)
        expected.append(shared(features, found, len(embeds)))
    check(family, hs.kernel_shap(40, seed=1), expected, 1e-4)  # Captum fits in float32


@pytest.mark.parametrize("family", TWO)
def test_lime(family: str) -> None:
    expected = []
    for score, embeds, baseline, features, position in rows(family):
        count = len(features)
        with seeded(2, position):
            masks = np.array([torch.bernoulli(torch.full((1, count), 0.5)).numpy()[0] for _ in range(60)])
        values = np.array([replicas.value(score, embeds, baseline, features, mask) for mask in masks])
        cosine = masks.sum(1) / np.maximum(np.sqrt(masks.sum(1)) * np.sqrt(count), 1e-8)
        weights = np.exp(-((1 - cosine) ** 2) / (2 * 0.7**2))
        share = weights / weights.sum()  # the penalty applies to standardised scores
        deviation = np.sqrt(share @ (values - share @ values) ** 2)
        expected.append(
            shared(features, replicas.lasso(masks, values, weights, 1e-4 * deviation), len(embeds))
        )
    check(family, hs.lime(60, alpha=1e-4, kernel_width=0.7, seed=2), expected, 2e-3)  # sklearn's tolerance


def test_random_scores_repeat_and_are_uniform() -> None:
    heat = explainer("bert")(TEXT, method=hs.random_baseline(seed=5))
    with seeded(5, 2):
        np.testing.assert_array_equal(heat.scores[1], torch.rand(8, dtype=torch.float64).numpy())
    assert not heat.signed
    assert ((heat.scores >= 0) & (heat.scores <= 1)).all()


@pytest.mark.parametrize("family", TWO)
def test_quadrature_error_falls_at_its_rate(family: str) -> None:
    """The midpoint rule's error falls by 4 as steps double; Gauss-Legendre's falls faster, to Captum's rounding."""
    one = hs.MaskedToken("cat")
    exact = explainer(family)(TEXT, target=one, method=hs.integrated_gradients(200)).scores

    def error(steps: int, rule: str) -> float:
        method = hs.integrated_gradients(steps, quadrature=rule)
        return float(np.abs(explainer(family)(TEXT, target=one, method=method).scores - exact).max())

    assert error(64, "riemann_middle") / error(128, "riemann_middle") == pytest.approx(4, rel=0.1)
    assert error(32, "gausslegendre") < max(error(8, "gausslegendre") / 100, 1e-7)
