"""RelevanceGradient: gradient times input under the backward rules of relevance propagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from captum._utils.common import _format_output
from captum.attr import GradientAttribution
from captum.log import log_usage
from jaxtyping import Float
from torch import Tensor, nn

from hf_saliency.attribution.backward_rules import RULES, RuleName, applied
from hf_saliency.attribution.gradient_norm import autograd, in_float16
from hf_saliency.attribution.inputs import NoFutures, RowScale, embeds_of, gradients_in_range, usable
from hf_saliency.errors import one_of


class RelevanceGradient(NoFutures, GradientAttribution):  # type: ignore[misc]
    r"""Layer-wise relevance propagation as gradient times input, in one forward and one backward pass.

    While ``forward_func`` runs, rules replace the derivatives of some operations. The gradient that reaches the
    embeddings is multiplied by them. No class is patched: a ``TorchFunctionMode`` sees the operations of this thread.

    ==============  =========================================================================================
    rules           changes
    ==============  =========================================================================================
    ``ln_freeze``   the divisor of a layer norm or RMSNorm is a constant (Ali et al., 2022)
    ``cp_lrp``      as ``ln_freeze``, and attention weights are constants as well (Ali et al., 2022)
    ``attn_lrp``    norms as above; an elementwise function passes on the gradient times f(x) / x; each factor of
                    a product of two values gets half of the gradient, in attention (query and key a quarter, value
                    a half) and in gates (Achtibat et al., 2024)
    ``gim``         norms and products as in ``attn_lrp``; attention's softmax is differentiated at temperature 2
                    (Edin et al., 2025)
    ==============  =========================================================================================

    Parameters
    ----------
    forward_func
        Function from embeddings (one tensor per stream) and additional arguments to scores (batch, ...). The
        parameters of its model must not require gradients: a tensor that does is taken to depend on the input.
    rules
        The name of a set of rules from the table.
    attention
        The modules whose softmax is one of attention. By default ``forward_func.attention``, which the score of an
        explainer has. Without any, every softmax over four dimensions counts as one of attention.
    activations
        Modules that compute one elementwise function each. They are needed for functions composed of several
        operations, such as the tanh approximation of GELU. By default ``forward_func.activations``.

    Raises
    ------
    SaliencyError
        If the rules are unknown.

    References
    ----------
    Ali, Schnake, Eberle, Montavon, Müller and Wolf, XAI for transformers: better explanations through conservative
    propagation, 2022, arXiv:2202.07304; Achtibat et al., AttnLRP: attention-aware layer-wise relevance propagation for
    transformers, 2024, arXiv:2402.05602; Edin et al., GIM: improved interpretability for large language models, 2025,
    arXiv:2505.17630.

    Examples
    --------
    >>> import torch
    >>> gate = RelevanceGradient(lambda e: (e[..., 0] * e[..., 1]).sum(dim=1))
    >>> gate.attribute(torch.tensor([[[2.0, 3.0]]]))
    tensor([[[3., 3.]]])
    """

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        rules: RuleName = "attn_lrp",
        *,
        attention: Sequence[nn.Module] | None = None,
        activations: Sequence[nn.Module] | None = None,
    ) -> None:
        GradientAttribution.__init__(self, forward_func)
        self.rules = RULES[one_of(rules, tuple(RULES), "rules")]
        self.attention = getattr(forward_func, "attention", ()) if attention is None else tuple(attention)
        self.activations = (
            getattr(forward_func, "activations", ()) if activations is None else tuple(activations)
        )

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: gradients are multiplied by the embeddings."""
        return True

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...]:
        """Attribute the score to each element of each token.

        Parameters
        ----------
        inputs
            Embeddings, (batch, tokens, width), or a tuple of them, one per stream.
        target
            The score to explain in each row, in any form that Captum takes; None if there is only one.
        additional_forward_args
            Arguments of ``forward_func`` after the embeddings; a tuple if there are several.

        Returns
        -------
        Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...]
            Relevance in the form of the inputs and the unit of the score, in float64 for float64 inputs and otherwise
            in float32.

        Raises
        ------
        SaliencyError
            If the inputs are not embeddings, or the model calls attention that the rules cannot reach.
        """
        streams = embeds_of(inputs)
        with autograd(), applied(self.rules, self.attention, self.activations):
            leaves = tuple(usable(stream).detach().requires_grad_() for stream in streams)
            arguments = usable(additional_forward_args)
            forward = RowScale(self.forward_func, lambda: any(map(in_float16, leaves)))
            gradients = gradients_in_range(
                forward, lambda: self.gradient_func(forward, leaves, target, arguments)
            )
        pairs = zip(gradients, streams, strict=True)
        relevance = tuple(gradient * stream.detach().to(gradient) for gradient, stream in pairs)
        return _format_output(isinstance(inputs, tuple), relevance)  # type: ignore[no-any-return]
