"""Recipe: the call that made a method or a metric, used to compare and to pickle it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Recipe:
    """A call of a public function; two calls are equal if their arguments are, however these are passed."""

    make: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> Any:
        """Make the method or metric again."""
        return self.make(*self.args, **self.kwargs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recipe):
            return NotImplemented
        return self.make == other.make and equal(self.arguments, other.arguments)

    def __hash__(self) -> int:
        return hash(self.make)

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by name, including defaults."""
        call = inspect.signature(self.make).bind(*self.args, **self.kwargs)
        call.apply_defaults()
        return dict(call.arguments)


def equal(first: Any, second: Any) -> bool:
    """Whether two values are equal; tensors and arrays in them are equal if all of their elements are."""
    if first is second:
        return True
    if type(first) is not type(second):
        return isinstance(first, (int, float)) and isinstance(second, (int, float)) and first == second
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    if hasattr(first, "shape") and hasattr(first, "dtype"):  # an array or a tensor
        kinds = [(each.shape, each.dtype, getattr(each, "device", None)) for each in (first, second)]
        return kinds[0] == kinds[1] and bool((first == second).all())
    return bool(first == second)


def same(first: Any, second: Any) -> bool:
    """Whether two values of a class are equal: by their recipes if both have one, otherwise by all attributes."""
    # Each call creates new local functions, which are never equal, so compare only recipes if both have one.
    if first.recipe is not None and second.recipe is not None:
        return bool(first.recipe == second.recipe)
    return equal(vars(first), vars(second))
