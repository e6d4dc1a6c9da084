"""The random state of a method that draws: seeded for its rows, and put back afterwards."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from hf_saliency.adapter.guards import HeldInterrupts

_lock = threading.Lock()  # the generators belong to the process


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Torch, NumPy and Python draw from these seeds in here, and go on afterwards as if nothing had been drawn.

    The seed is one or more whole numbers, 0 or more.
    """
    words = np.random.SeedSequence(seed).generate_state(4)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with HeldInterrupts(), _lock, torch.random.fork_rng(devices):
        numpy_state, python_state = np.random.get_state(), random.getstate()
        try:
            torch.manual_seed(int(words[0]) << 32 | int(words[1]))
            np.random.seed(words)
            random.seed(int(words[2]))
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def _renew_lock() -> None:
    """In a forked child, where the thread that held the lock is gone."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
