"""A random attribution: the baseline that any method should beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import Attribution
from captum.log import log_usage
from jaxtyping import Float
from torch import Tensor

from hf_saliency.attribution.inputs import NoFutures, embeds_of
from hf_saliency.attribution.method import Method, named_method
from hf_saliency.errors import whole


class RandomAttribution(NoFutures, Attribution):  # type: ignore[misc]
    """Independent random numbers from 0 to 1, one per token; the score is never called."""

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        Attribution.__init__(self, forward_func)

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch tokens width"] | tuple[Float[Tensor, "batch _ _"], ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Float[Tensor, "batch tokens"] | tuple[Float[Tensor, "batch _"], ...]:
        """Draw numbers for embeddings (batch, tokens, width), or a tuple of them, with torch's random generator."""
        # Drawn on the CPU, so that a seed gives the same numbers on every device.
        values = tuple(
            torch.rand(stream.shape[:2], dtype=torch.float64).to(stream) for stream in embeds_of(inputs)
        )
        return values if isinstance(inputs, tuple) else values[0]


@named_method
def random_baseline(seed: int = 0) -> Method:
    """Random scores from 0 to 1: the baseline for comparing methods. Unsigned.

    Parameters
    ----------
    seed
        Seed that makes the scores reproducible.

    Returns
    -------
    Method
        It needs no pass but that of the prediction.

    Raises
    ------
    SaliencyError
        For a seed that is not an integer of 0 or more.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.random_baseline(seed=1))
    >>> heat.signed, bool((heat.scores >= 0).all())
    (False, True)
    """
    seed = whole(seed, "seed", least=0)
    return Method(
        "random_baseline",
        lambda score, tables: RandomAttribution(score),
        {"seed": seed},
        reduction=None,
        signed=False,
        seed=seed,
        unit="none",
        passes=lambda tokens: (1, 0),
    )
