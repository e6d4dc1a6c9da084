"""Arguments of the functions that make methods: NumPy numbers and strings, misspelt names, pickling."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS

TEXT = "She drank hot tea."
TARGET = hs.MaskedToken("tea")


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*hs.load_demo())


SPECIMENS: dict[str, Callable[[], hs.Method]] = {
    **METHODS,
    "baseline": lambda: hs.leave_one_out(baseline=hs.zero_embedding, feature=[(0, 9), (10, 18)]),
    "of": lambda: hs.smooth_grad(hs.integrated_gradients(5), n_samples=2),
    "captum": lambda: hs.captum_method(captum.attr.IntegratedGradients, n_steps=7),
    "tolerance": lambda: hs.integrated_gradients(tolerance=1e-2),
}


@pytest.mark.parametrize("make", SPECIMENS.values(), ids=SPECIMENS)
def test_methods_pickle(make: Callable[[], hs.Method]) -> None:
    method = make()
    copy = pickle.loads(pickle.dumps(method))
    assert (copy, hash(copy)) == (method, hash(method))
    assert (copy.name, copy.arguments, copy.seed) == (method.name, method.arguments, method.seed)


def test_methods_are_equal_if_one_call_makes_both() -> None:
    method = hs.integrated_gradients(5)
    assert method == hs.integrated_gradients(n_steps=5)
    assert method != hs.integrated_gradients(6)
    assert method != hs.saliency()
    assert method != "integrated_gradients"
    assert hs.integrated_gradients(5, baseline=torch.ones(3)) == hs.integrated_gradients(
        5, baseline=torch.ones(3)
    )
    assert hs.integrated_gradients(5, baseline=torch.ones(3)) != hs.integrated_gradients(
        5, baseline=torch.zeros(3)
    )
    assert len({method, hs.integrated_gradients(5), hs.saliency(), hs.saliency(absolute=False)}) == 3
    assert dataclasses.replace(method) == dataclasses.replace(method) != method
    assert hs.Method("half", _half) == hs.Method("half", _half) != hs.Method("half", _half, reduction="norm")


def test_a_pickled_method_gives_the_same_scores(explainer: hs.Explainer) -> None:
    method = hs.leave_one_out(baseline=hs.pad_embedding, feature=[(0, 9), (10, 18)])
    copy = pickle.loads(pickle.dumps(method))
    scores = [explainer(TEXT, target=TARGET, method=m).scores for m in (method, copy)]
    np.testing.assert_array_equal(*scores)


def _half(score: Any, tables: Any) -> captum.attr.Attribution:
    return captum.attr.InputXGradient(score)


def test_a_method_of_the_user_pickles_as_its_functions_do() -> None:
    copy = pickle.loads(pickle.dumps(hs.Method("half", _half, reduction="norm")))
    assert copy.build is _half
    assert copy.reduction == "norm"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(hs.Method("half", lambda score, tables: captum.attr.InputXGradient(score)))


VALUES = [
    hs.MaskedToken("tea", against="coffee"),
    hs.UnmaskedToken(),
    hs.NextToken(),
    hs.Continuation(),
    hs.Label(),
    hs.TokenLabel(),
    hs.AnswerSpan(),
    hs.Similarity(),
    hs.Highlight(),
    hs.Matrix(),
    hs.Bars(),
    hs.Arcs(),
    hs.mask_embedding,
    hs.SaliencyError("message"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_public_values_pickle(value: object) -> None:
    assert str(pickle.loads(pickle.dumps(value))) == str(value)


def _explain(explainer: hs.Explainer, method: hs.Method) -> hs.SaliencyMap:
    return explainer(TEXT, target=TARGET, method=method)


def test_a_pool_of_spawned_processes(explainer: hs.Explainer) -> None:
    method = hs.leave_one_out(feature="word")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        heat = pool.submit(_explain, explainer, method).result()
    np.testing.assert_allclose(heat.scores, _explain(explainer, method).scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy(dtype: type) -> None:
    two = dtype(2)
    for method in (
        hs.integrated_gradients(dtype(3), tolerance=np.float32(0.5)),
        hs.integrated_gradients(two),
        hs.sequential_integrated_gradients(two),
        hs.discretized_integrated_gradients(two, n_neighbors=two, factor=two),
        hs.gradient_shap(two, seed=two, noise_level=np.float32(0.5)),
        hs.smooth_grad(n_samples=two, seed=two, noise_level=np.float64(1)),
        hs.var_grad(n_samples=two),
        hs.occlusion(two, stride=two),
        hs.shapley_sampling(two, seed=two),
        hs.kernel_shap(two),
        hs.lime(two, alpha=np.float32(0.5)),
        hs.random_baseline(two),
        hs.captum_method(captum.attr.Saliency, seed=two),
    ):
        numbers = [value for value in method.arguments.values() if not isinstance(value, (str, list))]
        assert all(type(number) in (int, float, bool, type(None)) for number in numbers), method
        assert type(method.seed) in (int, type(None))


def test_strings_of_numpy_become_plain_ones() -> None:
    method = hs.integrated_gradients(reduction=np.str_("norm"), quadrature=np.str_("riemann_middle"))
    assert {type(method.arguments[key]) for key in ("reduction", "quadrature")} == {str}
    assert type(method.reduction) is str
    assert type(hs.leave_one_out(feature=np.str_("word")).arguments["feature"]) is str
    assert type(hs.leave_one_out(baseline=np.str_("a b")).arguments["baseline"]) is str
    assert type(hs.saliency(np.str_("max")).arguments["reduction"]) is str


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hs.integrated_gradients(steps=3), r"no argument 'steps' \(did you mean 'n_steps'\?\)"),
        (lambda: hs.smooth_grad(noise=3), r"'noise' \(did you mean 'noise_level'\?\)"),
        (lambda: hs.shapley_sampling(samples=3), "did you mean 'n_samples'"),
        (lambda: hs.leave_one_out(baselines="a"), "did you mean 'baseline'"),
        (lambda: hs.occlusion(windwo=1), "did you mean 'window'"),
        (lambda: hs.random_baseline(tokens=1), "it takes seed"),
    ],
)
def test_unknown_keywords(make: Callable[[], hs.Method], message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda rule: hs.integrated_gradients(quadrature=rule),
        lambda rule: hs.sequential_integrated_gradients(quadrature=rule),
        lambda rule: hs.captum_method(captum.attr.IntegratedGradients, method=rule),
        lambda rule: hs.SequentialIntegratedGradients(lambda e: e.sum((1, 2))).attribute(
            torch.ones(1, 2, 3), method=rule
        ),
    ],
)
def test_captums_trapezoid_rule_is_refused(make: Callable[[str], Any]) -> None:
    with pytest.raises(hs.SaliencyError, match=r"add up to \(n - 1\) / n"):
        make("riemann_trapezoid")


@pytest.mark.parametrize("rule", ["gausslegendre", "riemann_middle", "riemann_left", "riemann_right"])
def test_rules_of_integration_are_exact_for_a_line(rule: str) -> None:
    weight = torch.tensor([[[2.0], [3.0]]])
    for attribution in (hs.SequentialIntegratedGradients, captum.attr.IntegratedGradients):
        values = attribution(lambda e: (e * weight).sum((1, 2))).attribute(
            torch.ones(1, 2, 1), n_steps=4, method=rule
        )
        torch.testing.assert_close(values, weight, rtol=1e-6, atol=0)
