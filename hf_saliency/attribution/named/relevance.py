"""Methods that propagate relevance backwards by rules, as gradient times input."""

from __future__ import annotations

from hf_saliency.attribution.backward_rules import RuleName
from hf_saliency.attribution.method import Method, keeps_sign, named_method
from hf_saliency.attribution.relevance_gradient import RelevanceGradient
from hf_saliency.errors import Reduction, check_reduction


@named_method
def ln_freeze(reduction: Reduction = "sum") -> Method:
    """Gradient times embedding, with the divisors of norms held constant. Signed.

    Parameters
    ----------
    reduction
        Reduction over the width.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        For an unknown reduction.

    References
    ----------
    Ali et al., XAI for transformers: better explanations through conservative propagation, 2022, arXiv:2202.07304.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> explainer(text, target=target, method=hs.ln_freeze()).signed
    True
    """
    return _relevance("ln_freeze", reduction, "Ali et al. 2022, arXiv:2202.07304")


@named_method
def cp_lrp(reduction: Reduction = "sum") -> Method:
    """Conservative propagation: :func:`ln_freeze` with attention weights held constant as well. Signed.

    Parameters
    ----------
    reduction
        As for :func:`ln_freeze`.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        As for :func:`ln_freeze`. Explaining a text raises it for a model that computes attention inside a kernel.

    References
    ----------
    Ali et al., XAI for transformers: better explanations through conservative propagation, 2022, arXiv:2202.07304.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.cp_lrp())
    >>> heat.signed, heat.scores.shape
    (True, (1, 9))
    """
    return _relevance("cp_lrp", reduction, "Ali et al. 2022, arXiv:2202.07304")


@named_method
def attn_lrp(reduction: Reduction = "sum") -> Method:
    """AttnLRP: layer-wise relevance propagation through norms, attention, activations and gates. Signed.

    Parameters
    ----------
    reduction
        As for :func:`ln_freeze`.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        As for :func:`cp_lrp`.

    References
    ----------
    Achtibat et al., AttnLRP: attention-aware layer-wise relevance propagation for transformers, 2024, arXiv:2402.05602.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.attn_lrp())
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'hot'
    """
    return _relevance("attn_lrp", reduction, "Achtibat et al. 2024, arXiv:2402.05602")


@named_method
def gim(reduction: Reduction = "sum") -> Method:
    """GIM: gradients that account for interactions, by a softer softmax backwards and halved products. Signed.

    Parameters
    ----------
    reduction
        As for :func:`ln_freeze`.

    Returns
    -------
    Method
        It needs one forward and one backward pass.

    Raises
    ------
    SaliencyError
        As for :func:`cp_lrp`.

    References
    ----------
    Edin et al., GIM: improved interpretability for large language models, 2025, arXiv:2505.17630.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.gim())
    >>> heat.signed, heat.scores.shape
    (True, (1, 9))
    """
    return _relevance("gim", reduction, "Edin et al. 2025, arXiv:2505.17630")


def _relevance(rules: RuleName, reduction: Reduction, citation: str) -> Method:
    reduction = check_reduction(reduction)
    return Method(
        rules,
        lambda score, tables: RelevanceGradient(score, rules),
        {"reduction": reduction},
        reduction=reduction,
        signed=keeps_sign(reduction),
        at_input=True,
        passes=lambda tokens: (1, 1),
        citation=citation,
    )
