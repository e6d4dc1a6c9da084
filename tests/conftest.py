"""One thread for each test process: tiny models gain nothing from more, and processes run side by side."""

from __future__ import annotations

import copy
import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# No limit of time for an example: a busy machine is no fault. What hypothesis sets itself in CI stays.
settings.register_profile("any machine", settings(), deadline=None)
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Python need not look through libraries and thousands of tests for cycles again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _demo_loaded_once() -> Iterator[None]:
    """Tests get copies of one demo model: loading mostly draws random weights, which the file then replaces."""
    import hf_saliency as hs

    load = hs.load_demo
    loaded = functools.cache(load)

    @functools.wraps(load)
    def copied(*arguments: Any, **keywords: Any) -> Any:
        return load(*arguments, **keywords) if arguments or keywords else copy.deepcopy(loaded())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hs, "load_demo", copied)
        yield
