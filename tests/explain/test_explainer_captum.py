"""Explainer.captum: with its score and arguments unchanged, Captum returns the explainer's results."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import captum.attr
import numpy as np
import pytest
import replicas
import tiny
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

import hf_saliency as hs
from hf_saliency.adapter.guards import seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning"),  # DeepLift
    pytest.mark.filterwarnings("ignore:.*did not already require gradients:UserWarning"),  # sensitivity_max
    pytest.mark.filterwarnings("ignore:.*do not add up:RuntimeWarning"),
]

TEXT = "the cat learned it !"  # [CLS] the cat learn ##ed it ! [SEP]
TARGET = hs.MaskedToken(["cat", "it"])
TOKENS, WIDTH = 8, 16
EXACT = {"rtol": 1e-10, "atol": 1e-13}


@functools.cache
def explainer(batch_tokens: int | None = None) -> hs.Explainer:
    model, tokenizer = tiny.masked_lm("bert")
    return hs.Explainer(model, tokenizer, batch_tokens=batch_tokens, progress=False)


def token_mask() -> Tensor:
    """A mask with one feature per token, in every dimension of its embedding."""
    return torch.arange(TOKENS)[None, :, None].expand(1, TOKENS, WIDTH)


def attributed(name: str, on: hs.Explainer, target: hs.MaskedToken = TARGET, **more: Any) -> Tensor:
    """The attributions of a Captum class with unchanged arguments."""
    cls = getattr(captum.attr, name)
    wants = "baselines" in inspect.signature(cls.attribute).parameters
    score, arguments = on.captum(TEXT, target=target, baseline=hs.mask_embedding if wants else None)
    layer = issubclass(cls, captum.attr.LayerAttribution)
    method = cls(score, score.sites[0]) if layer else cls(score)
    found: Tensor = method.attribute(**arguments, **more)
    return found.detach()


CLASSES = {
    "IntegratedGradients": {},
    "Saliency": {},
    "InputXGradient": {},
    "DeepLift": {},
    "FeatureAblation": {"feature_mask": token_mask()},
    "LayerIntegratedGradients": {},
    "LayerGradientXActivation": {},
}


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_class_of_captum_finds_what_the_explainer_finds_with_it(name: str) -> None:
    found = attributed(name, explainer(), **CLASSES[name])
    assert found.shape == (2, TOKENS, WIDTH)
    assert found.abs().amax(dim=(1, 2)).min() > 1e-3
    if name == "FeatureAblation":  # it repeats a token's number in each dimension
        found = found / WIDTH
    heat = explainer()(TEXT, target=TARGET, method=getattr(captum.attr, name))
    np.testing.assert_allclose(found.sum(dim=-1), heat.scores, **EXACT)


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_small_budget_changes_no_number(name: str) -> None:
    whole = attributed(name, explainer(), **CLASSES[name])
    pieces = attributed(name, explainer(batch_tokens=TOKENS), **CLASSES[name])
    torch.testing.assert_close(pieces, whole, **EXACT)


def test_a_small_budget_is_kept() -> None:
    for budget, rows_at_once in ((3 * TOKENS, 3), (None, 100)):  # 2 rows of 50 steps each
        on, rows = explainer(batch_tokens=budget), []
        hook = on.text_model.model.register_forward_pre_hook(
            lambda module, arguments, named, rows=rows: rows.append(len(named["input_ids"])), with_kwargs=True
        )
        attributed("IntegratedGradients", on)
        hook.remove()
        assert max(rows) == rows_at_once


@pytest.mark.parametrize("word", ["cat", "it"])
def test_sampling_classes_find_it_with_the_same_random_numbers(word: str) -> None:
    target = hs.MaskedToken(word)
    for name in ("GradientShap", "NoiseTunnel"):
        heat_method: Any = captum.attr.GradientShap
        score, arguments = explainer().captum(
            TEXT, target=target, baseline=hs.mask_embedding if name == "GradientShap" else None
        )
        attribution = captum.attr.GradientShap(score)
        if name == "NoiseTunnel":
            heat_method = attribution = captum.attr.NoiseTunnel(captum.attr.InputXGradient(score))
        heat = explainer()(TEXT, target=target, method=heat_method)
        with seeded(0, heat.targets[0].position):
            found = attribution.attribute(**arguments)
        assert found.shape == (1, TOKENS, WIDTH)
        np.testing.assert_allclose(found.detach().sum(dim=-1), heat.scores, **EXACT)
        again = attribution.attribute(**arguments)
        assert (again - found).abs().max() > 1e-3  # other random numbers


def test_a_gradient_norm_under_noise() -> None:
    score, arguments = explainer().captum(TEXT, target=TARGET)
    norm = hs.GradientNorm(score, explainer().text_model.model.get_input_embeddings())
    still = captum.attr.NoiseTunnel(norm).attribute(**arguments, nt_samples=3, stdevs=0.0)
    np.testing.assert_allclose(still, explainer()(TEXT, target=TARGET).scores, **EXACT)


# Against loops that use neither the package nor Captum


def scalars() -> list[tuple[replicas.Scalar, Tensor]]:
    """For each target, its score as a function of embeddings, and the embeddings, computed by hand."""
    model, tokenizer = tiny.masked_lm("bert")
    found = []
    for position in (2, 5):
        ids = list(tokenizer(TEXT)["input_ids"])
        true, ids[position] = ids[position], tokenizer.mask_token_id
        embeds = model.get_input_embeddings()(torch.tensor(ids)).detach()
        found.append((replicas.scalar(model, ids, position, true), embeds))
    return found


def test_the_score_and_its_arguments() -> None:
    score, arguments = explainer().captum(TEXT, target=TARGET, baseline=hs.mask_embedding)
    assert set(arguments) == {"inputs", "additional_forward_args", "baselines"}
    values = score(arguments["inputs"], *arguments["additional_forward_args"])
    at_baseline = score(arguments["baselines"], *arguments["additional_forward_args"])
    (mask,) = tiny.masked_lm("bert")[0].get_input_embeddings()(torch.tensor([tiny.tokenizer().mask_token_id]))
    for i, (scalar, embeds) in enumerate(scalars()):
        torch.testing.assert_close(arguments["inputs"][i].detach(), embeds, **EXACT)
        torch.testing.assert_close(values[i], scalar(embeds), **EXACT)
        replaced = embeds.clone()
        replaced[1:-1] = mask.detach()  # [CLS] and [SEP] stay
        torch.testing.assert_close(arguments["baselines"][i], replaced, **EXACT)
        torch.testing.assert_close(at_baseline[i], scalar(replaced), **EXACT)


def test_integrated_gradients_of_loops() -> None:
    _, arguments = explainer().captum(TEXT, target=TARGET, baseline=hs.mask_embedding)
    found = attributed("IntegratedGradients", explainer(), n_steps=7)
    for i, (scalar, embeds) in enumerate(scalars()):
        expected = replicas.integrated_gradients(scalar, embeds, arguments["baselines"][i], 7)
        # Captum stores the nodes and weights of its quadrature in float32, with an eps of 1.2e-7.
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-6 * expected.abs().max().item())


def test_deep_lift_is_the_gradient_times_the_difference() -> None:
    """DeepLift's rules need modules, and the score hides the model's from Captum, as docs/captum.md explains."""
    score, arguments = explainer().captum(TEXT, target=TARGET, baseline=hs.mask_embedding)
    found, delta = captum.attr.DeepLift(score).attribute(**arguments, return_convergence_delta=True)
    for i, (scalar, embeds) in enumerate(scalars()):
        expected = replicas.gradient(scalar, embeds) * (embeds - arguments["baselines"][i])
        torch.testing.assert_close(found[i].detach(), expected, **EXACT)
    assert delta.abs().min() > 1e-2


# Baselines, predicted classes, modes


def test_no_baseline_is_no_argument() -> None:
    assert set(explainer().captum(TEXT)[1]) == {"inputs", "additional_forward_args"}


@pytest.mark.parametrize("baseline", [hs.zero_embedding, hs.mean_embedding, 0.0, "the dog learned it !"])
def test_baselines(baseline: Any) -> None:
    _, arguments = explainer().captum(TEXT, target=TARGET, baseline=baseline)
    found, expected = arguments["baselines"], arguments["inputs"].detach()
    assert found.shape == expected.shape
    torch.testing.assert_close(found[:, [0, -1]], expected[:, [0, -1]], rtol=0, atol=0)
    if baseline in (hs.zero_embedding, 0.0):
        assert (found[:, [1, 3]] == 0).all()
    score, arguments = explainer().captum(TEXT, target=TARGET, baseline=baseline)
    found = captum.attr.IntegratedGradients(score).attribute(**arguments)
    method = hs.integrated_gradients(n_steps=50, baseline=baseline)
    heat = explainer()(TEXT, target=TARGET, method=method)
    np.testing.assert_allclose(found.detach().sum(dim=-1), heat.scores, **EXACT)


def test_a_predicted_class_is_that_of_the_text_on_all_the_path() -> None:
    target = hs.MaskedToken(["cat", "it"], predicted=True)
    score, arguments = explainer().captum(TEXT, target=target, baseline=hs.zero_embedding)
    rows = dict(zip(score.names, arguments["additional_forward_args"], strict=True))
    expected = [row.predictions[0].class_id for row in explainer()(TEXT, target=target).targets]
    assert rows["class_id"][:, 0].tolist() == expected
    found, delta = captum.attr.IntegratedGradients(score).attribute(
        **arguments, n_steps=200, return_convergence_delta=True
    )
    total = found.sum(dim=(1, 2))
    ends = [score(arguments[key], *arguments["additional_forward_args"]) for key in ("inputs", "baselines")]
    torch.testing.assert_close(total, ends[0] - ends[1], rtol=1e-3, atol=1e-3)
    assert delta.abs().max() < 1e-3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_may_be_called_where_gradients_are_off(mode: Any) -> None:
    with mode():
        score, arguments = explainer().captum(TEXT, target=TARGET, baseline=hs.mask_embedding)
    found = captum.attr.InputXGradient(score).attribute(
        arguments["inputs"], None, arguments["additional_forward_args"]
    )
    torch.testing.assert_close(found.detach(), attributed("InputXGradient", explainer()))


def test_captum_leaves_the_model_as_it_was() -> None:
    model, _ = tiny.masked_lm("bert")
    fresh = hs.Explainer(model.train(), tiny.tokenizer(), progress=False)
    attributed("IntegratedGradients", fresh)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# Metrics


@pytest.mark.parametrize("baseline", [None, hs.mask_embedding])
def test_infidelity(baseline: Any) -> None:
    score, arguments = explainer().captum(TEXT, target=TARGET, baseline=baseline)
    found = attributed("InputXGradient", explainer())
    step = 0.1 * torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)

    def perturb(inputs: Tensor, baselines: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return step.expand_as(inputs), inputs - step

    error = infidelity(score, perturb, attributions=found, **arguments, n_perturb_samples=3)
    for i, (scalar, embeds) in enumerate(scalars()):
        expected = ((step[0] * found[i]).sum() - (scalar(embeds) - scalar(embeds - step[0]))) ** 2
        torch.testing.assert_close(error[i].detach(), expected.detach(), rtol=1e-8, atol=0)
    assert error.min() > 1e-6


@pytest.mark.parametrize("name", ["IntegratedGradients", "InputXGradient"])
def test_sensitivity(name: str) -> None:
    baseline = hs.mask_embedding if name == "IntegratedGradients" else None
    score, arguments = explainer().captum(TEXT, target=TARGET, baseline=baseline)
    attribution = getattr(captum.attr, name)(score)
    step = 0.1 * torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    change = sensitivity_max(
        attribution.attribute,
        **arguments,
        perturb_func=lambda inputs: inputs + step,
        n_perturb_samples=2,
    )
    moved = {**arguments, "inputs": (arguments["inputs"] + step).detach().requires_grad_()}
    before, after = (attribution.attribute(**given).detach() for given in (arguments, moved))
    norms = [torch.linalg.vector_norm(x, dim=(1, 2)) for x in (after - before, before)]
    torch.testing.assert_close(change.detach(), norms[0] / norms[1], rtol=1e-8, atol=0)
    assert change.min() > 1e-3


def test_sensitivity_of_a_gradient_norm() -> None:
    score, arguments = explainer().captum(TEXT, target=TARGET)
    table = explainer().text_model.model.get_input_embeddings()
    for keepdim in (False, True):
        change = sensitivity_max(hs.GradientNorm(score, table, keepdim=keepdim).attribute, **arguments)
        assert change.shape == (2,)
        assert 0 < change.min() < change.max() < 1


def test_sensitivity_of_a_layer_method_needs_a_tuple() -> None:
    """Captum mistakes a layer method's tensor for a tuple of rows, as docs/captum.md explains."""
    score, arguments = explainer().captum(TEXT, target=TARGET)
    layer = captum.attr.LayerGradientXActivation(score, score.sites[0])
    with pytest.raises(RuntimeError, match="must match the size"):
        sensitivity_max(layer.attribute, **arguments)
    torch.manual_seed(0)
    change = sensitivity_max(lambda inputs, **rest: (layer.attribute(inputs, **rest),), **arguments)
    torch.manual_seed(0)
    expected = sensitivity_max(captum.attr.InputXGradient(score).attribute, **arguments)
    torch.testing.assert_close(change, expected)
