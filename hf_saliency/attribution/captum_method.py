"""captum_method: makes a method of any Captum class, or refuses the class with a reason."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from captum.attr import (
    Attribution,
    FeatureAblation,
    LayerAttribution,
    NoiseTunnel,
    PerturbationAttribution,
    Saliency,
)
from torch import Tensor

from hf_saliency.attribution.gradient_norm import TokenNorm
from hf_saliency.attribution.inputs import check_quadrature
from hf_saliency.attribution.method import DRAWING, Call, Method, described, keeps_sign, named_method
from hf_saliency.attribution.named.removal import check_feature, described_feature
from hf_saliency.attribution.token_presence import TokenPresence
from hf_saliency.errors import Feature, Reduction, SaliencyError, checks_call, shown, whole

_RULES = "needs a rule for each kind of module, and has none for embeddings, attention or layer norms"
_RELU = "changes the gradient of nn.ReLU modules, and Captum finds none in a transformer"
_IMAGE = "needs the channels and the width and height of a convolution"
_ROWS = "exchanges features between the rows of a batch, which are different targets here"
_DEEP_LIFT = (
    "another method: DeepLift's rules are for modules, and a transformer's nonlinearities are functions"
)
_DISTRIBUTION = "needs two or more baselines for a text: hs.gradient_shap() needs one"
_LLM = "explains generated text itself: for the gradient norm there use hs.LLMGradientNormAttribution"

# Names of classes of Captum or of this package, with the reason for refusing them and their subclasses.
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
    "LayerGradientNorm": "reads token ids, and the score takes embeddings: give hs.gradient_norm()",
    "DataLoaderAttribution": "wraps FeatureAblation over a data set: give FeatureAblation, and a list of texts",
}
_ABSTRACT = ("Attribution", "GradientAttribution", "LayerAttribution", "PerturbationAttribution", "LimeBase")

# Arguments of `attribute` that this package sets itself.
_OWN = (
    "inputs",
    "target",
    "additional_forward_args",
    "return_convergence_delta",
    "feature_mask",
    "layer_mask",
)


@named_method
@checks_call
def captum_method(
    attribution: Any,
    *,
    reduction: Reduction | None = "sum",
    signed: bool | None = None,
    baseline: Any = None,
    feature: Feature = "token",
    seed: int = 0,
    **arguments: Any,
) -> Method:
    """Make a method of a Captum class, or of a function from the score to a Captum attribution.

    Some arguments of ``attribute`` are filled in: baselines, internal batch size, perturbations at a time. A subclass
    of ``PerturbationAttribution`` sees one feature per token, which is 1 where the token is present, so
    ``Occlusion`` takes ``sliding_window_shapes=(3,)``. A layer class gets the layer of the embeddings. DeepLift
    runs, but its rules are for modules, and a transformer calls functions instead. It therefore returns the gradient
    times the difference from the baseline, with a large convergence delta.

    Parameters
    ----------
    attribution
        A class, such as ``captum.attr.IntegratedGradients``; an instance built on the score that
        ``explainer.captum`` returns for the same target; or a function from such a score to an instance.
    reduction
        How the width, if there is one, becomes one number: ``"sum"``, ``"mean"``, ``"norm"``, ``"norm_1"``, ``"max"``
        or ``"absmax"``.
    signed
        Whether the sign of a result has a meaning. By default False for a class that is known to be unsigned and for
        a reduction to magnitudes, and otherwise True.
    baseline
        As for :func:`hf_saliency.integrated_gradients`.
    feature
        The unit that a perturbation class removes, as for :func:`hf_saliency.leave_one_out`.
    seed
        Seed that makes a sampling class reproducible.
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
    feature, seed = check_feature(feature), whole(seed, "seed", least=0)
    name = getattr(attribution, "__name__", type(attribution).__name__)
    noted = {key: _plain(value) for key, value in arguments.items()}
    if inspect.isclass(attribution):
        _check_class(attribution, name, arguments)
        if "baselines" in _parameters(attribution):
            noted["baseline"] = described(baseline)
        if issubclass(attribution, DRAWING):
            noted["seed"] = seed
        if issubclass(attribution, PerturbationAttribution):
            noted["feature"] = described_feature(feature)
    elif not isinstance(attribution, Attribution) and not callable(attribution):
        raise SaliencyError(
            f"attribution={shown(attribution)}: give a class such as captum.attr.IntegratedGradients, an "
            "instance, or a function from the score to an instance."
        )
    elif baseline is not None:
        noted["baseline"] = described(baseline)
    options: dict[str, Any] = {"remedy": _DEEP_LIFT} if "DeepLift" in name else {}
    return Method(
        name,
        lambda score, tables: _on_tokens(_built(attribution, score, tables), score),
        noted,
        call=lambda call: {**_filled(call, baseline, feature), **arguments},
        reduction=reduction,
        signed=_has_sign(attribution, arguments, reduction) if signed is None else signed,
        seed=seed,
        **options,
    )


def _has_sign(attribution: Any, arguments: Mapping[str, Any], reduction: Reduction | None) -> bool:
    """Whether results are signed, which is assumed for functions of the score."""
    cls = attribution if inspect.isclass(attribution) else type(attribution)
    if issubclass(cls, TokenNorm) or (issubclass(cls, Saliency) and arguments.get("abs", True)):
        return False
    return keeps_sign(reduction)


def _check_suited(cls: type) -> None:
    """Refuse a class that cannot explain a text."""
    for ancestor in inspect.getmro(cls):
        if ancestor.__module__.startswith(("captum.", "hf_saliency.")) and ancestor.__name__ in _REFUSED:
            raise SaliencyError(f"{cls.__name__} cannot explain a text: it {_REFUSED[ancestor.__name__]}.")


def _check_class(attribution: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a class that cannot explain a text, arguments that it does not take, and missing ones."""
    _check_suited(attribution)
    if not issubclass(attribution, Attribution) or name in _ABSTRACT:
        raise SaliencyError(
            f"{name} is not an attribution method: give a class such as captum.attr.IntegratedGradients."
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
    if "n_steps" in parameters and arguments.get("method") == "riemann_trapezoid":
        check_quadrature("riemann_trapezoid", 2, "method")


def _on_tokens(built: Attribution, score: Any) -> Attribution:
    """Make a perturbation method remove tokens; unchanged, it would perturb single embedding dimensions."""
    if isinstance(built, NoiseTunnel):
        return NoiseTunnel(_on_tokens(built.attribution_method, score))
    if not isinstance(built, PerturbationAttribution) or isinstance(built, TokenPresence):
        return built
    if isinstance(
        built, LayerAttribution
    ):  # at the layer of the embeddings, where tokens are the features too
        return TokenPresence(score, FeatureAblation)

    def on(forward: Callable[..., Tensor]) -> Attribution:
        copied = copy.copy(built)
        copied.forward_func = forward
        return copied

    return TokenPresence(score, on)


def _built(attribution: Any, score: Any, tables: Sequence[Any]) -> Attribution:
    """Return the instance that explains a score."""
    if isinstance(attribution, Attribution):
        if not isinstance(attribution, NoiseTunnel):
            _check_suited(type(attribution))
        return _on_this_score(attribution, score)
    further: tuple[Any, ...] = ()
    if inspect.isclass(attribution) and issubclass(attribution, LayerAttribution):
        further = (_layer(score),)
    elif inspect.isclass(attribution) and "table" in inspect.signature(attribution).parameters:
        further = (tuple(tables),)
    built = attribution(score, *further)
    if not isinstance(built, Attribution):
        name = getattr(attribution, "__name__", type(attribution).__name__)
        raise SaliencyError(
            f"method={name} returned {type(built).__name__}: a function must return a Captum attribution of the "
            "score that it is given, such as lambda score: captum.attr.IntegratedGradients(score)."
        )
    if not isinstance(built, NoiseTunnel):
        _check_suited(type(built))
    _check_layer(getattr(built, "attribution_method", built), score)
    return built


def _on_this_score(attribution: Attribution, score: Any) -> Attribution:
    """Return the instance unchanged; refuse it unless it was built on the same score."""
    inner = getattr(attribution, "attribution_method", attribution)
    function: Any = getattr(inner, "model", None) or getattr(inner, "forward_func", None)
    if getattr(function, "same_as", None) is None or not function.same_as(score):
        raise SaliencyError(
            f"this {type(attribution).__name__} was built on another function: give the class, "
            f"method={type(inner).__name__}, or build it on the score that explainer.captum(text, target=...) returns "
            "for the same target."
        )
    _check_layer(inner, function)
    return attribution


def _check_layer(inner: Attribution, score: Any) -> None:
    """Refuse any layer but that of the embeddings."""
    layers = getattr(inner, "layer", None)
    modules = layers if isinstance(layers, list) else [] if layers is None else [layers]
    if any(module not in list(score.sites) for module in modules):
        raise SaliencyError(
            f"this {type(inner).__name__} explains another layer: build it with layer=score.sites[0], where the "
            "embeddings enter."
        )


def _layer(score: Any) -> Any:
    sites = list(score.sites)
    return sites[0] if len(sites) == 1 else sites


def _filled(call: Call, baseline: Any, feature: Feature) -> dict[str, Any]:
    """Return the arguments that ``attribute`` takes in addition to the inputs."""
    inner = getattr(call.attribution, "attribution_method", None)
    on_tokens = inner or call.attribution
    if isinstance(on_tokens, TokenPresence):
        parameters = _parameters(on_tokens.method(call.attribution.forward_func))
        at_once = {"perturbations_per_eval": call.copies_at_once}
        removal = {"baselines": call.baselines(baseline), "feature_mask": call.feature_mask(feature)}
        return {**removal, **(at_once if "perturbations_per_eval" in parameters else {})}
    parameters = _parameters(on_tokens)
    filled: dict[str, Any] = {}
    for key in ("baselines", "layer_baselines"):
        if key in parameters:
            filled[key] = call.baselines(baseline)
    if "internal_batch_size" in parameters and inner is None:
        filled["internal_batch_size"] = call.rows_at_once
    return filled


def _parameters(attribution: Any) -> Mapping[str, inspect.Parameter]:
    """Return the named parameters of `attribute`: neither self nor *args and **kwargs."""
    parameters = inspect.signature(attribution.attribute).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        key: parameter for key, parameter in parameters.items() if key != "self" and parameter.kind in named
    }


def _plain(value: Any) -> Any:
    """Convert an argument to a JSON value."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", type(value).__name__)
