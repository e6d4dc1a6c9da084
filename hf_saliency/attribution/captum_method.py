"""captum_method: any class of Captum as a method, or the reason why it cannot be one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from captum.attr import Attribution, LayerAttribution, PerturbationAttribution
from torch import Tensor

from hf_saliency.attribution.method import DRAWING, Call, Method, described
from hf_saliency.attribution.removal_methods import check_feature
from hf_saliency.attribution.token_presence import TokenPresence
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Feature

_RULES = "needs a rule for each kind of module, and has none for embeddings, attention or layer norms"
_RELU = "changes the gradient of nn.ReLU modules, of which a transformer has none that Captum could find"
_IMAGE = "needs the channels and the width and height of a convolution"
_ROWS = "exchanges features between the rows of a batch, which are different targets here"
_DISTRIBUTION = "needs two or more baselines for a text: hs.gradient_shap() needs one"
_LLM = "explains generated text itself: for the gradient norm there use hs.LLMGradientNormAttribution"

# By the name of a class of Captum; classes that inherit from it share the reason.
_REFUSED = {
    "LRP": _RULES,
    "GuidedBackprop": _RELU,
    "Deconvolution": _RELU,
    "GuidedGradCam": _IMAGE,
    "LayerGradCam": _IMAGE,
    "LayerActivation": "returns the embeddings themselves, which do not depend on the score",
    "FeaturePermutation": _ROWS,
    "LayerFeaturePermutation": _ROWS,
    "DeepLiftShap": _DISTRIBUTION,
    "LayerDeepLiftShap": _DISTRIBUTION,
    "NoiseTunnel": "wraps another method: hs.smooth_grad(hs.integrated_gradients())",
    "NeuronAttribution": "explains a neuron of a layer, not the score of a target",
    "BaseLLMAttribution": _LLM,
    "DataLoaderAttribution": "wraps FeatureAblation over a data set: give FeatureAblation, and a list of texts",
}
_ABSTRACT = ("Attribution", "GradientAttribution", "LayerAttribution", "PerturbationAttribution", "LimeBase")

# Arguments of `attribute` that are the adapter's.
_OWN = (
    "inputs",
    "target",
    "additional_forward_args",
    "return_convergence_delta",
    "feature_mask",
    "layer_mask",
)


def captum_method(
    attribution: Any,
    *,
    reduction: str | None = "total",
    signed: bool = True,
    baseline: Any = None,
    feature: Feature = "token",
    seed: int = 0,
    **arguments: Any,
) -> Method:
    """A class of Captum, or a function from the score to a Captum attribution, as a method.

    What ``attribute`` takes is filled in: baselines, internal batch size, perturbations at a time. A class of
    ``PerturbationAttribution`` sees one feature a token, 1 where the token is present, so that
    ``Occlusion`` takes ``sliding_window_shapes=(3,)``. A layer class gets the layer of the embeddings. DeepLift
    runs, but its rules are for modules that a transformer calls as functions: what it returns is the gradient
    times the difference from the baseline, with a convergence delta that says so.

    Parameters
    ----------
    attribution
        A class, such as ``captum.attr.IntegratedGradients``; an instance built on the score that
        ``explainer.captum`` returns for the same target; or a function from such a score to an instance.
    reduction
        Over the width, where there is one: ``"total"``, ``"norm"``, ``"norm_1"``, ``"mean"`` or ``"max"``.
    signed
        Whether the sign of a result has a meaning.
    baseline
        As for :func:`hf_saliency.integrated_gradients`.
    feature
        What a perturbation class removes: ``"token"`` or ``"word"``.
    seed
        Makes a sampling class repeat.
    **arguments
        Arguments of ``attribute``, such as ``n_steps=20``.

    Returns
    -------
    Method

    Raises
    ------
    SaliencyError
        If the class cannot explain a text, or does not take an argument.

    Examples
    --------
    >>> import captum.attr
    >>> captum_method(captum.attr.IntegratedGradients, n_steps=20).name
    'IntegratedGradients'
    """
    check_feature(feature)
    name = getattr(attribution, "__name__", type(attribution).__name__)
    noted = {key: _plain(value) for key, value in arguments.items()}
    if inspect.isclass(attribution):
        _check_class(attribution, name, arguments)
        if "baselines" in _parameters(attribution):
            noted["baseline"] = described(baseline)
        if issubclass(attribution, DRAWING):
            noted["seed"] = seed
        if issubclass(attribution, PerturbationAttribution):
            noted["feature"] = feature
    on_tokens = _on_tokens(attribution)

    def build(score: Any, tables: Any) -> Attribution:
        return TokenPresence(score, attribution) if on_tokens else _built(attribution, score)

    def call(call: Call) -> Mapping[str, Any]:
        if on_tokens:
            filled: dict[str, Any] = {
                "baselines": call.baselines(baseline),
                "feature_mask": call.feature_mask(feature),
            }
            if "perturbations_per_eval" in _parameters(attribution):
                filled["perturbations_per_eval"] = call.copies_at_once
        else:
            filled = _filled(call, baseline, feature)
        return {**filled, **arguments}

    return Method(name, build, noted, call=call, reduction=reduction, signed=signed, seed=seed)


def _check_class(attribution: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a class that cannot explain a text, and arguments that it does not take or lacks."""
    for ancestor in inspect.getmro(attribution):
        if ancestor.__module__.startswith("captum.") and ancestor.__name__ in _REFUSED:
            raise SaliencyError(f"{name} cannot explain a text: it {_REFUSED[ancestor.__name__]}.")
    if not issubclass(attribution, Attribution) or name in _ABSTRACT:
        raise SaliencyError(
            f"{name} is no attribution method: give a class such as captum.attr.IntegratedGradients."
        )
    parameters = _parameters(attribution)
    given_by_adapter = (*_OWN, "baselines", "layer_baselines")
    known = [key for key in parameters if key not in given_by_adapter]
    for key in arguments:
        if key in given_by_adapter or key not in parameters:
            raise SaliencyError(
                f"{name} takes no argument {key!r} here: it takes {', '.join(known) or 'none'}, baseline= and feature=."
            )
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in arguments:
            raise SaliencyError(f"{name} needs {key}: hs.captum_method({name}, {key}=...).")


def _on_tokens(attribution: Any) -> bool:
    """Whether it is a class that removes features of the input, to be shown tokens in their place."""
    if not inspect.isclass(attribution) or not issubclass(attribution, PerturbationAttribution):
        return False
    return not issubclass(attribution, (LayerAttribution, TokenPresence))


def _built(attribution: Any, score: Any) -> Attribution:
    """The instance that explains a score."""
    if isinstance(attribution, Attribution):
        return _on_this_score(attribution, score)
    layer = inspect.isclass(attribution) and issubclass(attribution, LayerAttribution)
    built = attribution(score, _layer(score)) if layer else attribution(score)
    if not isinstance(built, Attribution):
        name = getattr(attribution, "__name__", type(attribution).__name__)
        raise SaliencyError(
            f"method={name} returned {type(built).__name__}: a function must return a Captum attribution of the "
            "score that it is given, such as lambda score: captum.attr.IntegratedGradients(score)."
        )
    return built


def _on_this_score(attribution: Attribution, score: Any) -> Attribution:
    """An instance, if it was built on a score that is the same function."""
    inner = getattr(attribution, "attribution_method", attribution)
    own: Any = getattr(inner, "model", None) or getattr(inner, "forward_func", None)
    if getattr(own, "same_as", None) is None or not own.same_as(score):
        raise SaliencyError(
            f"this {type(attribution).__name__} was built on another function: give the class, "
            f"method={type(inner).__name__}, or build it on the score that explainer.captum(text, target=...) returns "
            "for the same target."
        )
    layers = getattr(inner, "layer", None)
    if layers is not None and any(
        one not in list(own.sites) for one in (layers if isinstance(layers, list) else [layers])
    ):
        raise SaliencyError(
            f"this {type(inner).__name__} explains another layer: build it with layer=score.sites[0], where the "
            "embeddings enter."
        )
    return attribution


def _layer(score: Any) -> Any:
    sites = list(score.sites)
    return sites[0] if len(sites) == 1 else sites


def _filled(call: Call, baseline: Any, feature: Feature) -> dict[str, Any]:
    """What an attribution on embeddings takes beside the inputs."""
    inner = getattr(call.attribution, "attribution_method", None)
    parameters = _parameters(inner or call.attribution)
    filled: dict[str, Any] = {}
    for key in ("baselines", "layer_baselines"):
        if key in parameters:
            filled[key] = call.baselines(baseline)
    for key in ("feature_mask", "layer_mask"):
        if key in parameters:
            filled[key] = _wide_mask(call, feature)
    if "perturbations_per_eval" in parameters:
        filled["perturbations_per_eval"] = call.copies_at_once
    if "internal_batch_size" in parameters and inner is None:
        filled["internal_batch_size"] = call.rows_at_once
    return filled


def _wide_mask(call: Call, feature: Feature) -> Tensor | tuple[Tensor, ...]:
    """The feature of every embedding dimension; tokens without a feature share one, whose baseline they are."""
    given = call.feature_mask(feature)
    masks = given if isinstance(given, tuple) else (given,)
    rest = max(int(mask.amax()) for mask in masks) + 1
    wide = [
        torch.where(mask < 0, rest, mask)[..., None].expand(embeds.shape).contiguous()
        for mask, embeds in zip(masks, call.embeds, strict=True)
    ]
    return tuple(wide) if isinstance(given, tuple) else wide[0]


def _parameters(attribution: Any) -> Mapping[str, inspect.Parameter]:
    """What `attribute` takes, without self and without the collectors of further arguments."""
    found = inspect.signature(attribution.attribute).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {key: one for key, one in found.items() if key != "self" and one.kind in named}


def _plain(value: Any) -> Any:
    """An argument as a JSON value."""
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", type(value).__name__)
