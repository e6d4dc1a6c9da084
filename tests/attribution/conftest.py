"""Fixtures: one thread, one seed, and the size of the largest tensor, for the limit below tokens x vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hf_saliency.attribution.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use ``unchecked_types``, so that a run without annotation checks can select them."""
    for item in items:
        if "unchecked_types" in getattr(item, "fixturenames", ()):
            item.add_marker("unchecked_types")


@pytest.fixture
def unchecked_types() -> None:
    """Skip a test that passes arguments against their annotations if jaxtyping checks these."""
    try:
        Vocabulary("no table")
    except TypeCheckError:
        pytest.skip("annotations are checked, and refuse this argument first")


class LargestTensor(TorchDispatchMode):
    """Record the number of elements of the largest tensor that an operation creates, not counting views."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        known = {tensor.untyped_storage().data_ptr() for tensor in given}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in known:
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.fixture
def largest_tensor() -> type[LargestTensor]:
    return LargestTensor
