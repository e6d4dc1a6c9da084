"""Outputs: what a model returned, be it a dataclass, a dict, a tuple or a bare tensor, read by name or place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from hf_saliency.errors import SaliencyError


def field(output: Any, name: str, place: int = 0) -> Any:
    """One of the things that a model returned, or None.

    Parameters
    ----------
    output
        What it returned.
    name
        The name in a mapping or dataclass; without it the first tensor counts, where ``place`` is 0.
    place
        The place in a tuple.

    Returns
    -------
    object
    """
    if isinstance(output, Tensor):
        return output if place == 0 else None
    if isinstance(output, (tuple, list)) and not hasattr(output, name):
        return output[place] if len(output) > place else None
    if isinstance(output, Mapping):
        if name in output or place:
            return output.get(name)
        values: Any = output.values()
    else:
        if hasattr(output, name) or place:
            return getattr(output, name, None)
        values = vars(output).values() if hasattr(output, "__dict__") else ()
    tensors = [value for value in values if isinstance(value, Tensor) and value.is_floating_point()]
    return tensors[0] if tensors else None


def tensor(output: Any, name: str, dims: int, shape: str, advice: str, place: int = 0) -> Tensor:
    """The same, refused if it is no tensor of so many dimensions.

    Parameters
    ----------
    output
        What a model returned.
    name
        As for :func:`field`.
    dims
        How many dimensions it has to have.
    shape
        These in words, for the error.
    advice
        What to do about it.
    place
        As for :func:`field`.

    Returns
    -------
    Tensor

    Raises
    ------
    SaliencyError
        If there is none.
    """
    found = field(output, name, place)
    if isinstance(found, Tensor) and found.dim() == dims:
        return found
    given = tuple(found.shape) if isinstance(found, Tensor) else type(output).__name__
    raise SaliencyError(f"the model gives {given} where this target reads {name} of shape {shape}: {advice}")
