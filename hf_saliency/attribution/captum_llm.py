"""LLMGradientNormAttribution: the gradient norm under Captum's attribution of generated text."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from captum.attr import LLMAttributionResult, LLMGradientAttribution, TextTokenInput
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.attribution.gradient_norm import LayerGradientNorm
from hf_saliency.errors import SaliencyError


class LLMGradientNormAttribution(LLMGradientAttribution):  # type: ignore[misc]
    r"""Gradient norms of generated tokens, one by one and all together, in each token of the prompt.

    This is ``captum.attr.LLMGradientAttribution`` for :class:`LayerGradientNorm`, which Captum's class does not
    support. With :math:`y_k` the log-probability of generated token :math:`k` in nats, ``token_attr`` holds
    :math:`\lVert \partial y_k / \partial x_t \rVert_p`. ``seq_attr`` is the norm for the log-probability of the
    whole continuation,

    .. math:: \Bigl\lVert \frac{\partial}{\partial x_t} \sum_k y_k \Bigr\rVert_p \le
        \sum_k \Bigl\lVert \frac{\partial y_k}{\partial x_t} \Bigr\rVert_p,

    from one more pass. Captum's sum over generated tokens is correct for linear methods only.

    Parameters
    ----------
    attr_method
        ``LayerGradientNorm(model, embedding, keepdim=True)``, with a causal language model of transformers and
        its one ``nn.Embedding`` of tokens, such as ``model.get_input_embeddings()``.
    tokenizer
        The tokenizer that belongs to the model.

    Raises
    ------
    SaliencyError
        If the method is of another class, or was built in another way.

    References
    ----------
    Madsen, "Visualizing memorization in RNNs", Distill, 2019, doi:10.23915/distill.00016.

    Examples
    --------
    >>> import captum.attr
    >>> import hf_saliency as hs
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tokenizer = hs.load_demo()[1]
    >>> gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_layer=1, bos_token_id=2, eos_token_id=3))
    >>> norm = hs.LayerGradientNorm(gpt2.eval(), gpt2.get_input_embeddings(), keepdim=True)
    >>> prompt = captum.attr.TextTokenInput("She drank", tokenizer, skip_tokens=["[CLS]", "[SEP]"])
    >>> hs.LLMGradientNormAttribution(norm, tokenizer).attribute(prompt, target="hot tea").token_attr.shape
    torch.Size([2, 4])
    """

    SUPPORTED_METHODS = (LayerGradientNorm,)

    def __init__(self, attr_method: LayerGradientNorm, tokenizer: Any) -> None:
        call = "LayerGradientNorm(model, model.get_input_embeddings(), keepdim=True)"
        if not isinstance(attr_method, LayerGradientNorm):
            raise SaliencyError(
                f"attr_method is {type(attr_method).__name__}: give {call}; captum.attr.LLMGradientAttribution takes "
                f"{', '.join(method.__name__ for method in LLMGradientAttribution.SUPPORTED_METHODS)}."
            )
        if not attr_method.keepdim:
            raise SaliencyError(
                f"Captum sums over the last dimension, which must not be the tokens: give {call}."
            )
        if not isinstance(attr_method.layer, nn.Module):
            raise SaliencyError(f"attr_method has a list of layers, and Captum takes one: give {call}.")
        if not isinstance(attr_method.forward_func, nn.Module):
            raise SaliencyError(
                f"attr_method was built on a function, but Captum calls the language model itself: give {call}."
            )
        super().__init__(attr_method, tokenizer)

    def attribute(
        self,
        inp: TextTokenInput,
        target: str | Int[Tensor, " targets"] | None = None,
        gen_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LLMAttributionResult:
        """Attribute a continuation to the prompt.

        Parameters
        ----------
        inp
            The prompt, ``captum.attr.TextTokenInput(text, tokenizer)``; the model sees
            the tokens in its ``skip_tokens``, but the result leaves them out.
        target
            The continuation, as a string or as token ids; None to let the model generate it.
        gen_args
            Arguments of ``model.generate``, if there is no target.
        **kwargs
            More arguments of :meth:`LayerGradientNorm.attribute`.

        Returns
        -------
        LLMAttributionResult
            ``token_attr`` (targets, tokens) and ``seq_attr`` (tokens,).

        Raises
        ------
        SaliencyError
            If the prompt is of another type, or there is nothing to attribute.
        """
        if not isinstance(inp, TextTokenInput):
            raise SaliencyError(
                f"inp is {type(inp).__name__}: give captum.attr.TextTokenInput(text, tokenizer)."
            )
        if target is not None and gen_args is not None:
            raise SaliencyError("gen_args are for generating a target, but target= gives one: pass only one.")
        tokens = self._get_target_tokens(inp, target, gen_args)
        if not len(tokens):
            raise SaliencyError(f"target={target!r} has no tokens: there is nothing to attribute.")
        result = super().attribute(inp, tokens, **kwargs)
        result.seq_attr = self._of_sequence(inp, tokens, **kwargs)
        return result

    def _of_sequence(
        self, inp: TextTokenInput, tokens: Int[Tensor, " targets"], **kwargs: Any
    ) -> Float[Tensor, " tokens"]:
        """Compute the norm for the log-probability of all tokens in one pass."""
        method = copy(self.attr_method)
        method.forward_func = self._log_probability
        ids = inp.to_tensor().to(self.device)
        norms: Tensor = method.attribute(ids, None, (inp, tokens), **kwargs)[0, : inp.inp_tensor.shape[1], 0]
        return norms if inp.itp_mask is None else norms[inp.itp_mask[0].to(norms.device)]

    def _log_probability(
        self, presence: Tensor, inp: TextTokenInput, tokens: Int[Tensor, " targets"]
    ) -> Float[Tensor, " one"]:
        """Return the log-probability of the tokens after the prompt, in nats."""
        prompt = inp.to_model_input(presence).to(self.device)
        tokens = tokens.to(self.device)
        logits = self.model(torch.cat([prompt, tokens[None, :-1]], dim=1)).logits
        chances: Tensor = logits[:, prompt.shape[1] - 1 :].log_softmax(dim=-1)
        return chances.gather(2, tokens[None, :, None]).sum(dim=(1, 2))
