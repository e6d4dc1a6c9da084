"""Backward rules: replacements for the derivatives of norms, softmax, products and activations while a model runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class BackwardRules:
    """Replacements for the derivatives of some kinds of operations; all other operations keep theirs."""

    # The softmax of attention: its own derivative, none (weights are constants), or that at temperature 2.
    softmax: Literal["derivative", "constant", "tempered"] = "derivative"
    # Whether each factor of a product gets half of the gradient, if both factors depend on the input.
    products: bool = False
    activations: bool = False  # whether an elementwise function passes on the gradient times f(x) / x


# All of them hold the divisor of a norm constant.
RULES: dict[str, BackwardRules] = {
    "ln_freeze": BackwardRules(),
    "cp_lrp": BackwardRules(softmax="constant"),
    "attn_lrp": BackwardRules(products=True, activations=True),
    "gim": BackwardRules(softmax="tempered", products=True),
}
RuleName: TypeAlias = Literal["ln_freeze", "cp_lrp", "attn_lrp", "gim"]

_TEMPERATURE = 2.0


class _Scaled(torch.autograd.Function):
    """Identity whose gradient is multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


class _Identity(torch.autograd.Function):
    """Output of an elementwise function; its gradient is multiplied by output / input, or by 0 where the input is 0."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, output: Tensor) -> Tensor:
        ctx.save_for_backward(torch.where(values == 0, torch.zeros_like(output), output / values))
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.saved_tensors[0], None


class _FrozenLayerNorm(torch.autograd.Function):
    """Layer norm whose standard deviation is a constant."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        output, _, inverse = torch.native_layer_norm(values, list(shape), weight, bias, eps)
        ctx.save_for_backward(inverse, weight)
        ctx.dims, ctx.dtype = tuple(range(-len(shape), 0)), values.dtype
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inverse, weight = ctx.saved_tensors
        scaled = (gradient if weight is None else gradient * weight) * inverse
        return (scaled - scaled.mean(dim=ctx.dims, keepdim=True)).to(ctx.dtype), None, None, None, None


class _TemperedSoftmax(torch.autograd.Function):
    """Softmax with the derivative that it has when its input is divided by the temperature (Edin et al., 2025)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(_safe_softmax(scores / _TEMPERATURE, dim))
        ctx.dim = dim
        return _safe_softmax(scores, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return weights * (gradient - (gradient * weights).sum(dim=ctx.dim, keepdim=True)), None


def _safe_softmax(scores: Tensor, dim: int) -> Tensor:
    """Softmax that is zero where every score is masked, as in PyTorch's fused attention."""
    return torch.softmax(scores, dim).masked_fill((scores == -torch.inf).all(dim=dim, keepdim=True), 0.0)


def scaled(values: Tensor, factor: float) -> Tensor:
    """Return the same values, with a gradient that is multiplied by the factor."""
    return values if factor == 1 or not values.requires_grad else _Scaled.apply(values, factor)  # type: ignore[no-untyped-call]


def depends(values: object) -> bool:
    """Whether a gradient flows through a value. Weights are frozen, so such a value depends on the input."""
    return isinstance(values, Tensor) and values.requires_grad


class RuleMode(TorchFunctionMode):
    """Mode that applies rules to each PyTorch function that this thread calls while it is active.

    PyTorch dispatches a function that is composed of others in Python as one call. The mode does not see its inner
    calls, so nothing is scaled twice.
    """

    def __init__(self, rules: BackwardRules, attention: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.rules = rules
        self.attention = tuple(attention)
        self.depth = 0  # number of attention modules that are being called
        self.handlers: dict[Callable[..., Any], Callable[..., Any]] = dict.fromkeys(_ROOTS, self._constant)
        self.handlers |= dict.fromkeys(_POWERS, self._power)
        self.handlers |= {F.layer_norm: self._layer_norm, torch.layer_norm: self._layer_norm}
        self.handlers |= dict.fromkeys(_RMS_NORMS, self._rms_norm)
        if rules.softmax != "derivative":
            self.handlers |= dict.fromkeys(_SOFTMAX, self._softmax)
        if rules.products:
            self.handlers |= dict.fromkeys(_PRODUCTS, self._product)
            self.handlers |= dict.fromkeys(_PRODUCTS_IN_PLACE, self._product_in_place)
            self.handlers |= {torch.einsum: self._einsum}
        if rules.activations:
            self.handlers |= dict.fromkeys(_ACTIVATIONS, self._activation)
        if rules != RULES["ln_freeze"]:
            self.handlers |= {F.scaled_dot_product_attention: self._attention}
            self.handlers |= {F.multi_head_attention_forward: self._fused}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        handler = self.handlers.get(func)
        if handler is None or not torch.is_grad_enabled():
            return func(*args, **(kwargs or {}))
        return handler(func, *args, **(kwargs or {}))

    def _constant(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        return result.detach() if isinstance(result, Tensor) else result

    def _power(self, func: Callable[..., Any], values: Any, exponent: Any, **kwargs: Any) -> Any:
        root = isinstance(exponent, float) and abs(exponent) == 0.5
        return (self._constant if root else _plain)(func, values, exponent, **kwargs)

    def _layer_norm(
        self,
        func: Callable[..., Any],
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        *_: Any,
    ) -> Tensor:
        if not depends(input):
            return func(input, normalized_shape, weight, bias, eps)  # type: ignore[no-any-return]
        return _FrozenLayerNorm.apply(input, normalized_shape, weight, bias, eps)  # type: ignore[no-any-return, no-untyped-call]

    def _rms_norm(
        self,
        func: Callable[..., Any],
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        eps: float | None = None,
    ) -> Tensor:
        dims = tuple(range(-len(normalized_shape), 0))
        least = torch.finfo(input.dtype).eps if eps is None else eps
        output = input * torch.rsqrt(input.detach().pow(2).mean(dim=dims, keepdim=True) + least)
        return output if weight is None else output * weight

    def _product(self, func: Callable[..., Any], left: Any, right: Any, **kwargs: Any) -> Any:
        factor = 0.5 if depends(left) and depends(right) else 1.0
        if factor == 1:
            return func(left, right, **kwargs)
        return func(scaled(left, factor), scaled(right, factor), **kwargs)

    def _product_in_place(self, func: Callable[..., Any], left: Tensor, right: Any) -> Any:
        if not (depends(left) and depends(right)):
            return func(left, right)
        return left.copy_(scaled(left.clone(), 0.5) * scaled(right, 0.5))

    def _einsum(self, func: Callable[..., Any], equation: Any, *operands: Any) -> Any:
        tensors = (
            list(operands[0])
            if len(operands) == 1 and not isinstance(operands[0], Tensor)
            else list(operands)
        )
        count = sum(map(depends, tensors))
        return func(equation, *(scaled(tensor, 1 / max(1, count)) for tensor in tensors))

    def _activation(self, func: Callable[..., Any], values: Any, *args: Any, **kwargs: Any) -> Any:
        if not depends(values):
            return func(values, *args, **kwargs)
        inputs = values.detach()
        if func in _IN_PLACE:
            return values.copy_(identity(values.clone(), func(inputs.clone(), *args, **kwargs)))
        kwargs.pop("inplace", None)
        return identity(values, func(inputs, *args, **kwargs))

    def _softmax(
        self, func: Callable[..., Any], input: Tensor, dim: int = -1, *args: Any, **kwargs: Any
    ) -> Any:
        inside = self.depth > 0 if self.attention else input.dim() >= 4
        if not (inside and depends(input)):
            return func(input, dim, *args, **kwargs)
        if self.rules.softmax == "constant":
            return func(input, dim, *args, **kwargs).detach()
        dtype = kwargs.get("dtype") or next((a for a in args if isinstance(a, torch.dtype)), input.dtype)
        return _TemperedSoftmax.apply(input.to(dtype), dim)  # type: ignore[no-untyped-call]

    def _attention(
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
        """Apply the rules for the two products and the softmax of fused attention to its inputs."""
        options: dict[str, Any] = {"scale": scale, "enable_gqa": enable_gqa, "is_causal": is_causal}
        if self.rules.softmax == "constant":
            return func(query.detach(), key.detach(), value, attn_mask, dropout_p, **options)
        first = 0.5 if depends(query) and depends(key) else 1.0
        second = 0.5 if depends(value) and (depends(query) or depends(key)) else 1.0
        query, key = scaled(query, first * second), scaled(key, first * second)
        value = scaled(value, second)
        if self.rules.softmax == "derivative":
            return func(query, key, value, attn_mask, dropout_p, **options)
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones_like(scores[(0,) * (scores.dim() - 2)], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype is torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return _TemperedSoftmax.apply(scores, -1).to(value.dtype) @ value  # type: ignore[no-untyped-call]

    def _fused(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise SaliencyError(
            "this model calls torch.nn.MultiheadAttention, and no rule reaches inside it: choose rules='ln_freeze', or "
            "another method such as hs.integrated_gradients()."
        )


def identity(values: Tensor, output: Tensor) -> Tensor:
    """Return the output of an elementwise function; relevance passes through it unchanged."""
    return _Identity.apply(values, output.detach())  # type: ignore[no-any-return, no-untyped-call]


def _plain(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _functions(*owners: Any, names: str) -> list[Callable[..., Any]]:
    """List the functions of these names on all owners, since PyTorch dispatches each spelling separately."""
    return [getattr(owner, name) for owner in owners for name in names.split() if hasattr(owner, name)]


_ROOTS = _functions(torch, Tensor, names="rsqrt sqrt std")
_POWERS = _functions(torch, Tensor, names="pow __pow__")
_RMS_NORMS = _functions(torch, F, names="rms_norm")
_SOFTMAX = _functions(torch, Tensor, F, names="softmax")
_PRODUCTS = [
    *_functions(torch, Tensor, names="mul multiply matmul bmm"),
    *_functions(Tensor, names="__mul__ __rmul__ __matmul__ __rmatmul__"),
]
_PRODUCTS_IN_PLACE = _functions(Tensor, names="mul_ multiply_ __imul__")
# Only functions that are 0 at 0, so that f(x) / x stays finite.
_ACTIVATIONS = [
    *_functions(F, names="gelu silu relu relu6 leaky_relu elu selu celu mish hardswish tanh hardtanh"),
    *_functions(torch, Tensor, names="relu relu_ tanh tanh_"),
]
_IN_PLACE = frozenset(_functions(torch, Tensor, names="relu_ tanh_"))


@contextmanager
def applied(
    rules: BackwardRules, attention: Sequence[nn.Module], activations: Sequence[nn.Module]
) -> Iterator[None]:
    """Apply rules to all operations of this thread while the context is active.

    ``attention`` are the modules whose softmax is one of attention; without any, every softmax over four dimensions
    counts as one. Each of ``activations`` computes one elementwise function, possibly by several operations.
    """
    mode = RuleMode(rules, attention)

    def enter(module: nn.Module, inputs: Any) -> None:
        mode.depth += 1

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        mode.depth -= 1

    def pass_on(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        whole = (
            inputs and isinstance(output, Tensor) and depends(inputs[0]) and inputs[0].shape == output.shape
        )
        # If the module calls a single function, its rule has been applied already.
        done = type(getattr(output, "grad_fn", None)).__name__ == "_IdentityBackward"
        return identity(inputs[0], output) if whole and not done and torch.is_grad_enabled() else None

    with ExitStack() as hooks:
        for module in attention if rules.softmax != "derivative" else ():
            hooks.enter_context(module.register_forward_pre_hook(enter))
            hooks.enter_context(module.register_forward_hook(leave, always_call=True))
        for module in activations if rules.activations else ():
            hooks.enter_context(module.register_forward_hook(pass_on))
        with mode:
            yield
