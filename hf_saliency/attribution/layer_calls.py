"""LayerCalls: which layers a forward pass called, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from hf_saliency.attribution.token_norm import in_float16
from hf_saliency.errors import SaliencyError


class LayerCalls:
    """Counts the calls of each layer; of one called twice, Captum would keep the last call and say nothing.

    Parameters
    ----------
    layers
        The layers to watch.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.layers = layers
        self.float16 = False
        self.counts: list[Counter[torch.device]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count from zero in here, with hooks that are gone afterwards, whatever happens."""
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
        """After a forward pass: whether a layer's output was in float16; refuses a layer not called once."""
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
