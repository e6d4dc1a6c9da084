"""Captum methods from classes, instances and functions: runs, arguments that are filled in, and refusals."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import captum.attr
import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.attribution.captum_method import _ABSTRACT, _REFUSED

pytestmark = pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning")

TEXT = "the cat learned it !"
TARGET = hs.MaskedToken(["cat", "it"])

CLASSES = {
    name: one
    for name, one in vars(captum.attr).items()
    if inspect.isclass(one) and issubclass(one, captum.attr.Attribution)
}
# Arguments that a class needs in addition to those that are filled in.
NEEDED: dict[str, dict[str, Any]] = {
    "Occlusion": {"sliding_window_shapes": (2,)},
    "InternalInfluence": {"reduction": "norm"},  # a mean gradient; before a layer norm its sum is zero
    "Lime": {"n_samples": 30},
    "KernelShap": {"n_samples": 30},
    "ShapleyValueSampling": {"n_samples": 3},
}


@functools.cache
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"), progress=False)


def refused(one: type) -> bool:
    names = {ancestor.__name__ for ancestor in inspect.getmro(one)}
    return bool(names & set(_REFUSED)) or one.__name__ in _ABSTRACT


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@pytest.mark.parametrize("name", [name for name, one in CLASSES.items() if not refused(one)])
def test_every_class_of_captum_explains(name: str) -> None:
    method = hs.captum_method(CLASSES[name], **NEEDED.get(name, {}))
    heat = explainer()(TEXT, target=TARGET, method=method)
    assert heat.scores.shape == (2, 8)
    assert np.isfinite(heat.scores).all()
    assert np.abs(heat.scores).max() > 1e-4
    assert heat.method == name
    if "baseline" in heat.arguments and name != "InternalInfluence":
        assert heat.arguments["baseline"] == "mask_embedding"
        np.testing.assert_allclose(heat.scores[:, [0, 7]], 0, atol=1e-12)  # special tokens stay
    single = explainer()(TEXT, target=hs.MaskedToken("it"), method=method)
    np.testing.assert_allclose(single.scores[0], heat.scores[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, one in CLASSES.items() if refused(one)])
def test_every_other_class_says_why_not(name: str) -> None:
    with pytest.raises(
        hs.SaliencyError, match=f"{name} (cannot explain a text: it|is not an attribution method)"
    ):
        explainer()(TEXT, method=CLASSES[name])


def test_a_class_gives_what_the_named_method_gives() -> None:
    score, _ = explainer().captum(TEXT, target=TARGET)
    pairs: list[tuple[Any, hs.Method]] = [
        (captum.attr.InputXGradient, hs.input_x_gradient()),
        (captum.attr.IntegratedGradients, hs.integrated_gradients()),
        (captum.attr.LayerIntegratedGradients, hs.integrated_gradients()),
        (captum.attr.FeatureAblation, hs.leave_one_out()),
        (captum.attr.LayerFeatureAblation, hs.leave_one_out()),
        (captum.attr.ShapleyValueSampling, hs.shapley_sampling()),
        (lambda score: captum.attr.FeatureAblation(score), hs.leave_one_out()),
        (lambda score: captum.attr.LayerFeatureAblation(score, score.sites[0]), hs.leave_one_out()),
        (lambda score: captum.attr.ShapleyValueSampling(score), hs.shapley_sampling()),
        (hs.captum_method(captum.attr.KernelShap(score), n_samples=50), hs.kernel_shap(50)),
        (captum.attr.FeatureAblation(score), hs.leave_one_out()),
        (
            hs.captum_method(captum.attr.FeatureAblation(score), feature="word"),
            hs.leave_one_out(feature="word"),
        ),
        (
            hs.DiscretizedIntegratedGradients,
            hs.discretized_integrated_gradients(factor=0, quadrature="riemann_left"),
        ),
        (hs.GradientNorm, hs.gradient_norm()),
    ]
    for given, method in pairs:
        found = explainer()(TEXT, target=TARGET, method=given)
        expected = explainer()(TEXT, target=TARGET, method=method)
        scale = np.abs(expected.scores).max()
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6 * scale)
        if expected.convergence_delta is not None and given is not captum.attr.LayerIntegratedGradients:
            np.testing.assert_allclose(found.convergence_delta, expected.convergence_delta, atol=1e-9)


def test_arguments_reach_captum_and_the_map() -> None:
    method = hs.captum_method(captum.attr.IntegratedGradients, n_steps=7, baseline=hs.zero_embedding)
    heat = explainer()(TEXT, target=TARGET, method=method)
    expected = explainer()(TEXT, target=TARGET, method=hs.integrated_gradients(7, baseline=hs.zero_embedding))
    np.testing.assert_array_equal(heat.scores, expected.scores)
    assert heat.arguments == {"n_steps": 7, "baseline": "zero_embedding"}


def test_a_function_with_arguments_of_the_constructor() -> None:
    local = functools.partial(captum.attr.IntegratedGradients, multiply_by_inputs=False)
    heat = explainer()(TEXT, target=TARGET, method=local)
    assert heat.scores.shape == (2, 8)
    assert heat.method == "partial"


def test_an_instance_on_this_score() -> None:
    score, _ = explainer().captum(TEXT, target=TARGET)
    expected = explainer()(TEXT, target=TARGET, method=captum.attr.IntegratedGradients)
    heat = explainer()(TEXT, target=TARGET, method=captum.attr.IntegratedGradients(score))
    np.testing.assert_array_equal(heat.scores, expected.scores)
    layer = captum.attr.LayerIntegratedGradients(score, score.sites[0])
    np.testing.assert_allclose(
        explainer()(TEXT, target=TARGET, method=layer).scores, expected.scores, rtol=1e-7, atol=1e-12
    )
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(score))
    assert explainer()(TEXT, target=TARGET, method=tunnel).scores.shape == (2, 8)


def test_an_instance_on_another_score() -> None:
    score, _ = explainer().captum(TEXT, target=hs.MaskedToken("cat", unit="prob"))
    model, _ = tiny.masked_lm("roberta")
    for other in (score, model, lambda embeds: embeds.sum((1, 2))):
        with pytest.raises(hs.SaliencyError, match="was built on another function: give the class"):
            explainer()(TEXT, target=TARGET, method=captum.attr.IntegratedGradients(other))
    score, _ = explainer().captum(TEXT, target=TARGET)
    layer = captum.attr.LayerIntegratedGradients(score, torch.nn.Identity())
    with pytest.raises(hs.SaliencyError, match=r"another layer: build it with layer=score.sites\[0\]"):
        explainer()(TEXT, target=TARGET, method=layer)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        (captum.attr.Occlusion, {}, r"needs sliding_window_shapes: hs.captum_method\(Occlusion, sliding"),
        (captum.attr.IntegratedGradients, {"steps": 3}, "takes no argument 'steps' here: it takes n_steps"),
        (captum.attr.IntegratedGradients, {"target": 3}, "takes no argument 'target' here"),
        (captum.attr.FeatureAblation, {"feature": "sentences"}, "feature='sentences'"),
        (captum.attr.Saliency, {"reduction": "total"}, "the sum is called 'sum'"),
        (captum.attr.Lime, {"seed": -1}, "seed=-1"),
        (torch.nn.Linear, {}, "Linear is not an attribution method"),
    ],
)
def test_what_a_class_does_not_take(given: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        hs.captum_method(given, **arguments)


class Wrong(captum.attr.Attribution):
    """A method that returns a given result."""

    def __init__(self, score: Any, result: Any) -> None:
        super().__init__(score)
        self.result = result

    def attribute(self, inputs: Any, additional_forward_args: Any = None) -> Any:
        return self.result(inputs)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda inputs: inputs[:, :3], r"Wrong|returned \(1, 3, 16\)"),
        (lambda inputs: None, "returned NoneType"),
        (lambda inputs: inputs.sum(), r"returned \(\)"),
    ],
)
def test_a_result_of_the_wrong_shape(result: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer()(TEXT, target=TARGET, method=lambda score: Wrong(score, result))


def test_a_result_that_is_not_finite_is_named() -> None:
    with pytest.warns(RuntimeWarning, match="the scores of 2 targets are not finite"):
        explainer()(TEXT, target=TARGET, method=lambda score: Wrong(score, lambda x: x * torch.nan))


def test_a_function_that_builds_nothing() -> None:
    with pytest.raises(
        hs.SaliencyError, match="returned NoneType: a function must return a Captum attribution"
    ):
        explainer()(TEXT, method=lambda score: None)


def test_noise_over_a_perturbation_instance_removes_tokens() -> None:
    score, _ = explainer().captum(TEXT, target=TARGET)
    tunnel = captum.attr.NoiseTunnel(captum.attr.FeatureAblation(score))
    found = explainer()(TEXT, target=TARGET, method=hs.captum_method(tunnel, stdevs=1e-9, nt_samples=2))
    expected = explainer()(TEXT, target=TARGET, method=hs.leave_one_out())
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (captum.attr.FeaturePermutation, "exchanges features between the rows"),
        (captum.attr.LRP, "needs a rule for each kind of module"),
        (captum.attr.DeepLiftShap, "needs two or more baselines"),
    ],
)
def test_a_refused_class_is_refused_as_an_instance_and_from_a_function(given: Any, message: str) -> None:
    score, _ = explainer().captum(TEXT, target=TARGET)
    for method in (given(score), lambda score: given(score)):
        with pytest.raises(hs.SaliencyError, match=message):
            explainer()(TEXT, target=TARGET, method=method)


def test_a_function_that_names_another_layer_is_refused() -> None:
    embedding = explainer().text_model.streams[0].module
    with pytest.raises(hs.SaliencyError, match=r"layer=score.sites\[0\]"):
        explainer()(
            TEXT, target=TARGET, method=lambda score: captum.attr.LayerIntegratedGradients(score, embedding)
        )


def test_what_captum_refuses_is_said_as_our_error() -> None:
    method = hs.captum_method(captum.attr.Occlusion, sliding_window_shapes=(20,))
    with pytest.raises(hs.SaliencyError, match="Occlusion"):
        explainer()(TEXT, target=TARGET, method=method)


def test_signs_are_known_of_classes_and_instances() -> None:
    score, _ = explainer().captum(TEXT, target=TARGET)
    for given in (captum.attr.Saliency, captum.attr.Saliency(score), hs.GradientNorm):
        assert not explainer()(TEXT, target=TARGET, method=given).signed
    signed = hs.captum_method(captum.attr.Saliency, abs=False)
    assert explainer()(TEXT, target=TARGET, method=signed).signed
