"""Methods that remove tokens or words and measure how the score changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from captum.attr import Attribution, FeatureAblation, Occlusion, ShapleyValueSampling

from hf_saliency.attribution.method import Call, Method, described, named_method
from hf_saliency.attribution.token_presence import TokenPresence
from hf_saliency.errors import FEATURES, Feature, SaliencyError, character_spans, one_of, whole


@named_method
def leave_one_out(*, baseline: Any = None, feature: Feature = "token") -> Method:
    """Leave-one-out: how much the score falls when one token is replaced. Signed.

    Parameters
    ----------
    baseline
        Replacement for a token: ``hs.mask_embedding``, ``hs.pad_embedding``, ``hs.mean_embedding``,
        ``hs.zero_embedding``, a text with the same number of tokens (a tuple of texts for an input that is a tuple),
        a tensor (tokens, width), a number, or a function (embedding, tokenizer, ids) -> tensor. Special tokens and
        masks are never replaced, and score zero. The default is the mask embedding, or the mean embedding for a model
        without a mask token.
    feature
        Unit that is replaced at a time: ``"token"``, ``"word"``, ``"sentence"`` (ended by ``.``, ``!``, ``?`` or a
        similar mark before a space, or by a line break); a list of spans of characters, ``(start, end)`` or
        ``(text_index, start, end)``; or a function from the encoding to such a list. The tokens of a feature are
        replaced together and share its score evenly. Tokens in no span are not replaced, and score zero.

    Returns
    -------
    Method
        It needs one forward pass for each feature, and two more.

    Raises
    ------
    SaliencyError
        For an unknown feature. Explaining a text raises it if the baseline does not fit.

    References
    ----------
    Li, Monroe and Jurafsky, Understanding neural networks through representation erasure, 2016,
    arXiv:1612.08220.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(feature="word"))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return removal(
        "leave_one_out",
        FeatureAblation,
        {},
        baseline,
        feature,
        passes=lambda features: (features + 2, 0),
        citation="Li et al. 2016, arXiv:1612.08220",
    )


@named_method
def occlusion(
    window: int = 3, *, stride: int = 1, baseline: Any = None, feature: Feature = "token"
) -> Method:
    """Occlusion: how much the score falls when a window of neighbours is replaced, averaged over windows. Signed.

    Parameters
    ----------
    window
        Number of neighbouring tokens or words that are replaced at a time, not counting tokens that are never
        replaced. The literature on text mostly takes 1, which is :func:`leave_one_out`; 3 also removes information
        that neighbours repeat, and blurs the map.
    stride
        Number of tokens or words by which the window moves.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.

    Returns
    -------
    Method
        It needs one forward pass for each window, and two more.

    Raises
    ------
    SaliencyError
        For an unknown feature, a window below 1, and a stride below 1 or above the window. Explaining a text
        raises it if the baseline does not fit.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, 2014, arXiv:1311.2901.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.occlusion(window=2))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    window, stride = whole(window, "window"), whole(stride, "stride")
    if stride > window:
        raise SaliencyError(f"stride={stride} skips tokens: use at most the window, {window}.")

    def build(forward_func: Any) -> Attribution:
        return _Windows(forward_func, window, stride)

    return removal(
        "occlusion",
        build,
        {"window": window, "stride": stride},
        baseline,
        feature,
        passes=lambda features: (math.ceil(max(0, features - window) / stride) + 3, 0),
        citation="Zeiler and Fergus 2014, arXiv:1311.2901",
    )


class _Windows(Occlusion):  # type: ignore[misc]
    """Occlusion with windows that are no longer than the text."""

    def __init__(self, forward_func: Callable[..., Any], window: int, stride: int) -> None:
        Occlusion.__init__(self, forward_func)
        self.window, self.stride = window, stride
        self.use_weights = False  # Captum would divide by the number of windows in float32

    def attribute(self, inputs: Any, **arguments: Any) -> Any:
        count = inputs.shape[1]
        window = min(self.window, count)
        stride = min(self.stride, window)
        totals = super().attribute(inputs, (window,), strides=stride, **arguments)
        starts = torch.arange(0, count - window + stride, stride)  # the last window may extend past the end
        places = torch.arange(count)
        windows = ((starts[:, None] <= places) & (places < starts[:, None] + window)).sum(dim=0)
        return totals / windows.to(totals)


@named_method
def shapley_sampling(
    n_samples: int = 25, *, baseline: Any = None, feature: Feature = "token", seed: int = 0
) -> Method:
    """Shapley value sampling: a token's contribution to the score, averaged over random orders. Signed.

    The tokens' scores add up to the score of the text minus that of the text with all of them replaced.

    Parameters
    ----------
    n_samples
        Number of orders.
    baseline
        As for :func:`leave_one_out`.
    feature
        As for :func:`leave_one_out`.
    seed
        Seed that makes the samples reproducible.

    Returns
    -------
    Method
        It needs ``n_samples`` forward passes for each feature, and two more. Few features need fewer passes, since
        each subset is evaluated only once.

    Raises
    ------
    SaliencyError
        For an unknown feature, and for a number out of its range. Explaining a text raises it if the baseline does
        not fit.

    References
    ----------
    Castro, Gomez and Tejada, Polynomial calculation of the Shapley value based on sampling, 2009,
    doi:10.1016/j.cor.2008.04.004; Strumbelj and Kononenko, An efficient explanation of individual
    classifications using game theory, 2010.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.shapley_sampling(n_samples=5))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    n_samples, seed = whole(n_samples, "n_samples"), whole(seed, "seed", least=0)
    return removal(
        "shapley_sampling",
        ShapleyValueSampling,
        {"n_samples": n_samples},
        baseline,
        feature,
        options={"n_samples": n_samples},
        seed=seed,
        passes=lambda features: (n_samples * features + 2, 0),
        citation="Castro et al. 2009, doi:10.1016/j.cor.2008.04.004",
    )


def removal(
    name: str,
    method: Callable[[Any], Attribution],
    arguments: Mapping[str, Any],
    baseline: Any,
    feature: Feature,
    *,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    passes: Callable[[int], tuple[int, int]],
    citation: str,
    check: Callable[[int], None] = lambda features: None,
) -> Method:
    """Build a method that removes features; ``method`` makes Captum's attribution from a function of their presences.

    ``options`` go to Captum's ``attribute`` in addition to baselines and features, and ``arguments`` into the map.
    ``passes`` returns the forward and backward passes for a number of features, and ``check`` may refuse that number.
    """
    feature = check_feature(feature)
    arguments = {**arguments, "baseline": described(baseline), "feature": described_feature(feature)}
    if seed is not None:
        arguments["seed"] = seed

    def call(call: Call) -> Mapping[str, Any]:
        numbers = call.feature_mask(feature)
        streams = numbers if isinstance(numbers, tuple) else (numbers,)
        check(1 + max(int(stream.max()) for stream in streams))
        return {
            "baselines": call.baselines(baseline),
            "feature_mask": numbers,
            "perturbations_per_eval": call.copies_at_once,
            **(options or {}),
        }

    return Method(
        name,
        lambda score, tables: TokenPresence(score, method),
        arguments,
        call=call,
        reduction=None,
        seed=seed,
        passes=passes,
        citation=citation,
    )


def check_feature(feature: Any) -> Feature:
    """Return the name of a unit, spans of characters as tuples, or a function that is called for each text."""
    if callable(feature):
        return feature  # type: ignore[no-any-return]
    if isinstance(feature, str):
        return one_of(feature, FEATURES, "feature")
    return character_spans(feature, "feature")


def described_feature(feature: Feature) -> Any:
    """Convert a feature to a JSON value."""
    if callable(feature):
        return getattr(feature, "__name__", type(feature).__name__)
    return feature if isinstance(feature, str) else [list(span) for span in feature]
