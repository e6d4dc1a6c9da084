"""Failures: errors in a user's code stay as the cause, and out-of-memory errors keep their class."""

from __future__ import annotations

import pytest
import torch

import hf_saliency as hs
from hf_saliency.errors import called, out_of_memory


def test_a_users_error_stays_the_cause() -> None:
    with pytest.raises(
        hs.SaliencyError, match=r"mine raised ZeroDivisionError: division by zero\. Do not\."
    ) as info:
        called(lambda: 1 / 0, "mine", "Do not.")
    assert isinstance(info.value.__cause__, ZeroDivisionError)


def test_a_lack_of_memory_passes() -> None:
    def full() -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")

    with pytest.raises(RuntimeError, match="not enough memory") as info:
        called(full, "mine", "Do not.")
    assert not isinstance(info.value, hs.SaliencyError)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("unsupported memory format channels_last"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_is_short(error: Exception, short: bool) -> None:
    assert out_of_memory(error) is short
