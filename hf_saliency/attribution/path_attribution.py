"""PathAttribution: what Captum may ask of an attribution along a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from captum.attr import GradientAttribution
from torch import Tensor


class PathAttribution(GradientAttribution):  # type: ignore[misc]
    """Gradients summed along a path from a baseline to the input, times the way.

    Parameters
    ----------
    forward_func
        From embeddings, one tensor a stream, and additional arguments to one score a row.
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        GradientAttribution.__init__(self, forward_func)

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: gradients are multiplied by differences of points of the path."""
        return True

    def has_convergence_delta(self) -> bool:
        """True: see ``compute_convergence_delta``."""
        return True

    def attribute_future(self) -> NoReturn:
        """Refused: gradients are computed at once."""
        raise NotImplementedError(f"{type(self).__name__} returns no futures: call attribute().")
