"""GradientNorm and LayerGradientNorm: how much a score depends on each token, as Captum attributions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from captum._utils.common import _format_output
from captum._utils.gradient import compute_layer_gradients_and_eval
from captum.attr import GradientAttribution, LayerAttribution
from captum.log import log_usage
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from hf_saliency.attribution.inputs import NoFutures, RowScale, embeds_of, gradients_in_range, ids_of, usable
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

# Parts of torch's error messages, with advice for the user.
_ADVICE = {
    "nference tensor": (
        "the model or an argument was made under torch.inference_mode(), and autograd cannot use it: make it "
        "outside of that mode."
    ),
    "not have been used in the graph": (
        "the score does not depend on some of the embeddings: explain only those that it uses, or, with "
        "LayerGradientNorm, pass grad_kwargs={'allow_unused': True} for zeros."
    ),
    "does not require grad": (
        "the score does not depend on the embeddings: forward_func has to compute it from them, without "
        "detach() and no_grad()."
    ),
}


class TokenNorm(NoFutures, GradientAttribution):  # type: ignore[misc]
    """Base class: the norm of each token's gradient, and the methods that Captum calls on any attribution."""

    def __init__(
        self, forward_func: Callable[..., Tensor], space: str, order: int | float, keepdim: bool
    ) -> None:
        GradientAttribution.__init__(self, forward_func)
        self.check(space, order)
        self.space, self.order, self.keepdim = space, order, keepdim

    @staticmethod
    def check(space: str, order: int | float) -> None:
        """Refuse a space or an order that does not exist."""
        if space not in ("one_hot", "embedding"):
            raise SaliencyError(
                f"space={space!r}: give 'one_hot', gradients in the token's one-hot vector, or 'embedding'."
            )
        if order not in (1, 2, math.inf):
            raise SaliencyError(f"order={order!r}: give the order of the norm, 1, 2 or math.inf.")

    def norm(
        self, gradient: Float[Tensor, "batch *tokens width"], vocabulary: Vocabulary | None
    ) -> Float[Tensor, "batch ..."]:
        """Compute the norm of each token's gradient, in at least float32; in embedding space without a vocabulary."""
        gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
        if vocabulary is None:
            norm: Tensor = torch.linalg.vector_norm(gradient, self.order, dim=-1)
        else:
            norm = vocabulary.norm(gradient, self.order)
        return norm[..., None] if self.keepdim else norm

    def compute_convergence_delta(self, *args: object, **kwargs: object) -> NoReturn:
        """Refused: norms do not add up to a difference of scores, so there is nothing to converge to."""
        raise NotImplementedError(
            f"{type(self).__name__} has no convergence delta: norms do not add up to a difference of scores; "
            "captum.attr.IntegratedGradients has one."
        )


@contextmanager
def autograd() -> Iterator[None]:
    """Enable gradients, even where the caller has disabled them, and turn some of torch's errors into advice."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except RuntimeError as error:
        for refusal, advice in _ADVICE.items():
            if refusal in str(error):
                raise SaliencyError(advice) from error
        raise


def in_float16(tensor: Shaped[Tensor, "*shape"]) -> bool:
    """Whether gradients of operations on this tensor pass through float16, by its dtype or by autocast."""
    kind = tensor.device.type
    autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.float16
    return autocast or tensor.dtype is torch.float16


class LayerCalls:
    """Counter of the calls of each layer. If a layer is called twice, Captum silently keeps only the last call."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.layers = layers
        self.float16 = False
        self.counts: list[Counter[torch.device]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count calls from zero while the context is active; its hooks are always removed afterwards."""
        self.counts = [Counter() for _ in self.layers]
        with ExitStack() as hooks:
            for layer, count in zip(self.layers, self.counts, strict=True):
                hooks.enter_context(layer.register_forward_hook(partial(self._record, count)))
            yield

    def _record(
        self, count: Counter[torch.device], layer: nn.Module, arguments: tuple[object, ...], output: object
    ) -> None:
        if not isinstance(output, Tensor):
            raise SaliencyError(
                f"the layer {type(layer).__name__} returned a {type(output).__name__}: give one that returns "
                "a tensor (batch, tokens, width), such as model.get_input_embeddings()."
            )
        count[output.device] += 1  # DataParallel calls a replica on each device
        self.float16 = self.float16 or in_float16(output)

    def in_float16(self) -> bool:
        """Whether a layer's output was in float16 in the last forward pass; refuses a layer not called exactly once."""
        for layer, count in zip(self.layers, self.counts, strict=True):
            calls = max(count.values(), default=0)
            if calls != 1:
                raise SaliencyError(
                    f"the layer {type(layer).__name__} was called {calls} times in the forward pass, not "
                    "once: give the embedding that this model calls (of T5 or BART encoder.embed_tokens or "
                    "decoder.embed_tokens; of a compiled model the module underneath), or pass the "
                    "embeddings to GradientNorm, one tensor for each call."
                )
        return self.float16


Table: TypeAlias = Vocabulary | nn.Module | Float[Tensor, "vocabulary width"]
Tables: TypeAlias = Table | tuple[Vocabulary | nn.Module | Float[Tensor, "_ _"], ...]  # shapes may differ
Space: TypeAlias = Literal["one_hot", "embedding"]


class GradientNorm(TokenNorm):
    r"""Norm of the score's gradient with respect to each token, from embeddings: "connectivity" (Madsen, 2019).

    .. math:: a_t = \lVert \partial y / \partial x_t \rVert_p

    :math:`y` is the score and :math:`x_t` the one-hot vector of token :math:`t`, or its embedding. The norm
    measures how much a token matters, not in which direction. If a pass in float16 leaves the range of that
    format, it is repeated with other scales for these rows, and ``forward_func`` is called up to six times.

    Parameters
    ----------
    forward_func
        Function from embeddings (one tensor per stream) and additional arguments to scores (batch, ...).
    table
        The table that made the embeddings, for ``space="one_hot"``: an ``nn.Embedding``, a float tensor
        (vocabulary, width), or a ``Vocabulary``, which is not read again on each call; a tuple of them for a
        tuple of inputs.
    space
        ``"one_hot"`` for the gradient in the token's one-hot vector, or ``"embedding"`` for that in its
        embedding, which does not read ``table``.
    order
        Order :math:`p` of the norm: 1, 2 or ``math.inf``.
    keepdim
        Whether the result keeps a last dimension of size 1 instead of the width.

    Raises
    ------
    SaliencyError
        If an argument is not one of these, or the table is missing in one-hot space.

    References
    ----------
    Madsen, "Visualizing memorization in RNNs", Distill, 2019, doi:10.23915/distill.00016.

    Examples
    --------
    >>> import torch
    >>> embedding = torch.nn.Embedding.from_pretrained(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> embeds = embedding(torch.tensor([[0, 1, 1]]))
    >>> GradientNorm(lambda e: (e**2).sum(dim=(1, 2)) / 2, embedding).attribute(embeds)
    tensor([[ 9., 16., 16.]])
    """

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        table: Tables | None = None,
        *,
        space: Space = "one_hot",
        order: int | float = 2,
        keepdim: bool = False,
    ) -> None:
        TokenNorm.__init__(self, forward_func, space, order, keepdim)
        if space == "one_hot" and table is None:
            raise SaliencyError(
                "space='one_hot' needs a table: GradientNorm(forward_func, embedding) with the nn.Embedding "
                "that made the embeddings, or GradientNorm(forward_func, space='embedding')."
            )
        self.table = table
        if space == "one_hot":
            for vocabulary in self._vocabularies():
                vocabulary.check()

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Float[Tensor, "batch ..."] | tuple[Float[Tensor, "batch ..."], ...]:
        """Attribute the score to tokens.

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
        Float[Tensor, "batch ..."] | tuple[Float[Tensor, "batch ..."], ...]
            (batch, tokens), in float64 for float64 inputs and otherwise in float32; a tuple for a tuple.

        Raises
        ------
        SaliencyError
            If the inputs are not embeddings or do not fit the tables, or the score does not depend on them.
        """
        streams = embeds_of(inputs)
        vocabularies = self._vocabularies() if self.space == "one_hot" else [None] * len(streams)
        if len(vocabularies) != len(streams):
            raise SaliencyError(
                f"{len(vocabularies)} table(s) for {len(streams)} tensor(s) of embeddings: pass one table "
                "for each, such as GradientNorm(forward_func, (table, table)).attribute((embeds, embeds))."
            )
        with autograd():
            leaves = tuple(usable(stream).detach().requires_grad_() for stream in streams)
            arguments = usable(additional_forward_args)
            forward = RowScale(self.forward_func, lambda: any(map(in_float16, leaves)))
            gradients = gradients_in_range(
                forward, lambda: self.gradient_func(forward, leaves, target, arguments)
            )
            norms = tuple(self.norm(*pair) for pair in zip(gradients, vocabularies, strict=True))
        return _format_output(isinstance(inputs, tuple), norms)  # type: ignore[no-any-return]

    def _vocabularies(self) -> Sequence[Vocabulary]:
        """Return a vocabulary for each table, read in its current state."""
        tables: tuple[Any, ...] = self.table if isinstance(self.table, tuple) else (self.table,)
        return [table if isinstance(table, Vocabulary) else Vocabulary(table) for table in tables]


class LayerGradientNorm(LayerAttribution, TokenNorm):  # type: ignore[misc]
    """Norm of the score's gradient with respect to each token, from ids: :class:`GradientNorm` at an embedding layer.

    Parameters
    ----------
    forward_func
        Function from token ids and additional arguments to scores (batch, ...).
    layer
        The ``nn.Embedding`` that embeds the tokens, or a list of them, each called once in a forward pass. In
        embedding space, any module that returns a tensor (batch, tokens, width).
    device_ids
        Devices of a DataParallel model that ``forward_func`` wraps, in order.
    space
        As in :class:`GradientNorm`.
    order
        As in :class:`GradientNorm`.
    keepdim
        As in :class:`GradientNorm`.

    Raises
    ------
    SaliencyError
        If an argument is not one of these.

    Examples
    --------
    >>> import torch
    >>> embedding = torch.nn.Embedding.from_pretrained(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> norm = LayerGradientNorm(lambda ids: (embedding(ids) ** 2).sum(dim=(1, 2)) / 2, embedding)
    >>> norm.attribute(torch.tensor([[0, 1, 1]]))
    tensor([[ 9., 16., 16.]])
    """

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        layer: nn.Module | list[nn.Module],
        device_ids: list[int] | None = None,
        *,
        space: Space = "one_hot",
        order: int | float = 2,
        keepdim: bool = False,
    ) -> None:
        LayerAttribution.__init__(self, forward_func, layer, device_ids)
        TokenNorm.__init__(self, forward_func, space, order, keepdim)
        for embedding in self._layers():
            if not isinstance(embedding, nn.Module):
                raise SaliencyError(f"layer={layer!r}: give an nn.Embedding of the model, or a list of them.")
            if space == "one_hot":
                Vocabulary(embedding).check()

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Int[Tensor, "batch ..."] | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        grad_kwargs: dict[str, Any] | None = None,
    ) -> Float[Tensor, "batch ..."] | list[Float[Tensor, "batch ..."]]:
        """Attribute the score to tokens.

        Parameters
        ----------
        inputs
            Token ids, (batch, tokens), or a tuple of the first arguments of ``forward_func``.
        target
            As in :meth:`GradientNorm.attribute`.
        additional_forward_args
            As in :meth:`GradientNorm.attribute`.
        attribute_to_layer_input
            Must be False: there is no gradient in token ids.
        grad_kwargs
            More arguments of ``torch.autograd.grad``. With ``allow_unused=True``, a layer that does not affect
            the score gets zeros.

        Returns
        -------
        Float[Tensor, "batch ..."] | list[Float[Tensor, "batch ..."]]
            (batch, tokens) as the layer embeds them; a list for a list of layers.

        Raises
        ------
        SaliencyError
            If the inputs are not token ids, or a layer is not called exactly once with this batch.
        """
        ids = ids_of(inputs, attribute_to_layer_input)
        if grad_kwargs and grad_kwargs.get("allow_unused"):
            grad_kwargs = {**grad_kwargs, "materialize_grads": True}
        layers = self._layers()
        with autograd():
            arguments = (usable(ids), target, usable(additional_forward_args))
            calls = LayerCalls(layers)
            forward = RowScale(self.forward_func, calls.in_float16)

            def differentiate() -> list[Tensor]:
                with calls.watched():
                    gradients, _ = compute_layer_gradients_and_eval(
                        forward, layers, *arguments, device_ids=self.device_ids, grad_kwargs=grad_kwargs
                    )
                return [_of_batch(gradient, len(ids[0])) for (gradient,) in gradients]

            gradients = gradients_in_range(forward, differentiate)
            vocabularies = [Vocabulary(layer) if self.space == "one_hot" else None for layer in layers]
            norms = [self.norm(*pair) for pair in zip(gradients, vocabularies, strict=True)]
        return norms[0] if isinstance(self.layer, nn.Module) else norms

    def _layers(self) -> list[nn.Module]:
        return [self.layer] if isinstance(self.layer, nn.Module) else list(self.layer)


def _of_batch(gradient: Tensor, batch: int) -> Tensor:
    """Return the gradient unchanged; refuse it unless it has a row for each row of the input."""
    if gradient.dim() < 2 or len(gradient) != batch:
        raise SaliencyError(
            f"the layer's output {tuple(gradient.shape)} does not have one row for each of the {batch} rows "
            "of the input; position embeddings, for example, do not: pass the module that embeds the tokens."
        )
    return gradient
