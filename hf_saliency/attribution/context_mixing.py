"""Context mixing: how much of each token another one holds after all layers, by attention or value zeroing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr import Attribution
from captum.log import log_usage
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hf_saliency.attribution.inputs import NoFutures, embeds_of
from hf_saliency.errors import SaliencyError

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class AttentionMode(TorchFunctionMode):
    """Mode that records attention weights, or zeroes the value of one token per row: ``absent`` (-1 for none)."""

    def __init__(self, absent: Int[Tensor, " rows"] | None = None) -> None:
        super().__init__()
        self.absent = absent
        self.depth = 0  # number of attention modules that are being called
        self.weights: list[Float[Tensor, "rows heads tokens tokens"]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            return self._fused(func, *args, **options)
        result = func(*args, **options)
        if func in _SOFTMAX and self.depth > 0 and result.dim() == 4:
            # A weight of zero removes a value, as if the value were zero.
            return self._noted(result) if self.absent is None else self._zeroed(result, -1)
        return result

    def _fused(
        self,
        func: Callable[..., Any],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        options: dict[str, Any] = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
        if self.absent is not None:
            return func(query, key, self._zeroed(value, -2), attn_mask, dropout_p, **options)
        keys = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3) if enable_gqa else key
        scores = query @ keys.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril() if is_causal else attn_mask
        if mask is not None:
            mask = mask.to(scores.device)
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
        self._noted(torch.softmax(scores, -1))
        return func(query, key, value, attn_mask, dropout_p, **options)

    def _noted(self, weights: Tensor) -> Tensor:
        self.weights.append(weights.detach())
        return weights

    def _zeroed(self, values: Tensor, dim: int) -> Tensor:
        """Set each row's absent token to zero along ``dim``, the dimension of the tokens that attention reads."""
        assert self.absent is not None
        if len(values) != len(self.absent) or values.dim() != 4:
            raise SaliencyError(_SHAPE)
        tokens = torch.arange(values.shape[dim], device=values.device)
        gone = tokens == self.absent.to(values.device)[:, None]
        return values.masked_fill(gone[:, None, None, :] if dim == -1 else gone[:, None, :, None], 0.0)


_SHAPE = (
    "this model's attention does not weigh all tokens of a row in one softmax, as windows, cross-attention and other "
    "kinds of attention do: context mixing is defined for encoders and decoders of one text with full attention, such "
    "as BERT or GPT-2. Use hs.attn_lrp() or hs.integrated_gradients()."
)


class ContextMixing(NoFutures, Attribution):  # type: ignore[misc]
    """Weights of all tokens in the token that a row's target is read at, after all layers; they add up to 1.

    ``forward_func`` is an explainer's score. It holds the model's attention modules and layers, and knows at which
    token each row is read.
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        Attribution.__init__(self, forward_func)
        self.attention: tuple[nn.Module, ...] = getattr(forward_func, "attention", ())
        self.layers: tuple[nn.Module, ...] = getattr(forward_func, "layers", ())

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch tokens width"] | tuple[Float[Tensor, "batch _ _"], ...],
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: int = 32,
    ) -> Float[Tensor, "batch tokens"]:
        """Return weights from 0 to 1. They depend on the position at which the score is read, not on its value.

        ``inputs`` are embeddings of one stream, and ``additional_forward_args`` are those of the score. Architectures
        without full attention are refused.
        """
        streams = embeds_of(inputs)
        if len(streams) > 1 or not self.attention or not self.layers:
            raise SaliencyError(_SHAPE)
        rows = tuple(additional_forward_args or ())
        places = self.forward_func.token_read(rows)
        if places is None:
            raise SaliencyError(
                f"{self.get_name()} measures how much the other tokens contribute to one token, but this target is not "
                "read at a single token: explain tokens, such as hs.MaskedToken(...) or hs.NextToken(), or use another "
                "method."
            )
        with torch.no_grad():
            mixing = self._mixing(streams[0], rows, max(1, internal_batch_size))
        numbers = torch.arange(len(mixing), device=mixing.device)
        shares: Tensor = mixing[numbers, places.to(mixing.device)]
        return shares if isinstance(inputs, Tensor) else (shares,)  # type: ignore[return-value]

    def _mixing(
        self, embeds: Tensor, rows: tuple[Any, ...], size: int
    ) -> Float[Tensor, "batch tokens tokens"]:
        raise NotImplementedError

    @contextmanager
    def _inside(self, mode: AttentionMode) -> Any:
        """Activate the mode, and tell it when an attention module is being called."""

        def enter(module: nn.Module, inputs: Any) -> None:
            mode.depth += 1

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            mode.depth -= 1

        with ExitStack() as hooks:
            for module in self.attention:
                hooks.enter_context(module.register_forward_pre_hook(enter))
                hooks.enter_context(module.register_forward_hook(leave, always_call=True))
            with mode:
                yield


class AttentionRollout(ContextMixing):
    r"""Attention rollout (Abnar and Zuidema, 2020): a product over layers, each half attention, half identity.

    .. math:: R_l = \tfrac12 (\bar A_l + I) R_{l-1}

    :math:`\bar A_l` is the mean of layer :math:`l`'s attention weights over heads.
    """

    def _mixing(
        self, embeds: Tensor, rows: tuple[Any, ...], size: int
    ) -> Float[Tensor, "batch tokens tokens"]:
        rolled = []
        for part in torch.split(torch.arange(len(embeds), device=embeds.device), size):
            mode = AttentionMode()
            with self._inside(mode):
                self.forward_func(embeds[part], *(_of(row, part) for row in rows))
            mixing = torch.eye(embeds.shape[1], dtype=embeds.dtype, device=embeds.device).expand(
                len(part), -1, -1
            )
            if not mode.weights:
                raise SaliencyError(_SHAPE)
            for weights in mode.weights:
                if weights.shape[0] != len(part) or weights.shape[-2:] != mixing.shape[-2:]:
                    raise SaliencyError(_SHAPE)
                mean = weights.mean(dim=1).to(mixing)
                mixing = (mean @ mixing + mixing) / 2
            rolled.append(mixing)
        return torch.cat(rolled)


class ValueZeroing(ContextMixing):
    """Value zeroing (Mohebbi et al., 2023): how far a layer's output turns when the values of one token are zero."""

    # C^l[i, j] is 1 - cos(x^l_i, x^{l, not j}_i), scaled so that rows add up to 1, and R_l = C_l R_{l-1}; x^{l, not j}
    # is the output of layer l for the same input, with the value vectors of token j at zero in all heads.

    def _mixing(
        self, embeds: Tensor, rows: tuple[Any, ...], size: int
    ) -> Float[Tensor, "batch tokens tokens"]:
        parts = [self._of_row(embeds[i : i + 1], rows, i, size) for i in range(len(embeds))]
        return torch.cat(parts)

    def _of_row(self, embeds: Tensor, rows: tuple[Any, ...], row: int, size: int) -> Tensor:
        """Compute the mixing of one row from the whole text and from copies that each lack one token in every layer."""
        tokens = embeds.shape[1]
        whole: list[Tensor] = []
        columns: list[list[Tensor]] = []
        every = torch.arange(-1, tokens, device=embeds.device)  # -1: no token is absent
        for absent in (every[:1], *torch.split(every[1:], size)):
            turned: list[Tensor] = []
            with ExitStack() as hooks:
                for layer in self.layers:
                    hook = _compare(whole, turned, (len(absent), tokens))
                    hooks.enter_context(layer.register_forward_hook(hook))
                hooks.enter_context(self._inside(AttentionMode(absent)))
                copies = torch.full((len(absent),), row, device=embeds.device)
                self.forward_func(
                    embeds.expand(len(absent), -1, -1), *(_of(argument, copies) for argument in rows)
                )
            if turned and absent[0] < 0:
                whole = turned
            else:
                columns.append(turned)
        mixing = torch.eye(tokens, dtype=embeds.dtype, device=embeds.device)
        for pieces in zip(*columns, strict=True):
            distance = torch.cat(pieces).T.clamp(min=0)  # (tokens, absent)
            total = distance.sum(dim=1, keepdim=True)
            # A layer that mixes nothing leaves each token unchanged.
            share = torch.where(total > 0, distance / total.clamp(min=1e-300), torch.eye(tokens).to(distance))
            mixing = share.to(mixing) @ mixing
        return mixing[None]


def _compare(whole: Sequence[Tensor], turned: list[Tensor], shape: tuple[int, int]) -> Callable[..., Any]:
    """Make a hook that notes how far a layer's output turned from that of the whole text, and passes the latter on.

    While ``whole`` is empty, the hook only notes the output.
    """

    def compare(layer: nn.Module, inputs: Any, output: Any) -> Any:
        hidden = output if isinstance(output, Tensor) else output[0]
        if hidden.dim() != 3 or hidden.shape[:2] != shape:
            raise SaliencyError(_SHAPE)
        if not whole:
            turned.append(hidden)
            return None
        clean = whole[len(turned)]
        turned.append(1 - F.cosine_similarity(hidden.double(), clean.double(), dim=-1))
        same = clean.expand_as(hidden)
        return same if isinstance(output, Tensor) else (same, *output[1:])

    return compare


def _of(argument: Any, rows: Int[Tensor, " rows"]) -> Any:
    """Select the rows of an additional argument."""
    return argument[rows.to(argument.device)] if isinstance(argument, Tensor) and argument.dim() else argument
