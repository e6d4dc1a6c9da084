"""Methods that follow how layers mix tokens, and do not look at the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hf_saliency.attribution.context_mixing import AttentionRollout, ContextMixing, ValueZeroing
from hf_saliency.attribution.method import Method, named_method


@named_method
def value_zeroing() -> Method:
    """Value zeroing: how far each layer's output turns when a token's values are set to zero. Unsigned.

    The result is a map of context mixing over all layers: how much of each token, special ones included, is held by
    the token at which the target is read. It does not depend on the explained class.

    Returns
    -------
    Method
        It needs one forward pass for each token, and two more.

    Raises
    ------
    SaliencyError
        When a text is explained, for architectures other than encoders and decoders of one text with full attention,
        and for targets that are not read at a token.

    References
    ----------
    Mohebbi, Zuidema, Chrupala and Alishahi, Quantifying context mixing in transformers, 2023, arXiv:2301.12971.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("She drank hot tea.", target=hs.MaskedToken("tea"), method=hs.value_zeroing())
    >>> round(float(heat.scores.sum()), 4)
    1.0
    """
    return _mixing("value_zeroing", ValueZeroing, "Mohebbi et al. 2023, arXiv:2301.12971", None)


@named_method
def attention_rollout() -> Method:
    """Attention rollout: a product over layers of half attention and half the token itself. Unsigned.

    The result is a map of context mixing, as for :func:`value_zeroing`.

    Returns
    -------
    Method
        It needs two forward passes.

    Raises
    ------
    SaliencyError
        As for :func:`value_zeroing`.

    References
    ----------
    Abnar and Zuidema, Quantifying attention flow in transformers, 2020, arXiv:2005.00928.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("She drank hot tea.", target=hs.MaskedToken("tea"), method=hs.attention_rollout())
    >>> round(float(heat.scores.sum()), 4)
    1.0
    """
    return _mixing(
        "attention_rollout",
        AttentionRollout,
        "Abnar and Zuidema 2020, arXiv:2005.00928",
        lambda tokens: (2, 0),
    )


def _mixing(
    name: str,
    mixing: type[ContextMixing],
    citation: str,
    passes: Callable[[int], tuple[int, int]] | None,
) -> Method:
    def build(score: Any, tables: Any) -> ContextMixing:
        return mixing(score)

    return Method(
        name,
        build,
        call=lambda call: {"internal_batch_size": call.rows_at_once},
        reduction=None,
        signed=False,
        unit="none",
        passes=passes,
        citation=citation,
    )
