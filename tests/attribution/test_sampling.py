"""Seeds: each row has its own random numbers, and the generators keep their state."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from hf_saliency.adapter.guards import seeded


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_the_same_seeds_give_the_same_numbers() -> None:
    drawn = []
    for seeds in [(0, 1), (0, 1), (0, 2), (1, 1), (1, 0)]:
        with seeded(*seeds):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    for k in range(3):
        assert len({one[k] for one in drawn}) == 4


@pytest.mark.parametrize("fails", [False, True])
def test_generators_go_on_as_if_nothing_had_been_drawn(fails: bool) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = draw(), draw()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    first = draw()
    try:
        with seeded(5):
            draw()
            if fails:
                raise ValueError
    except ValueError:
        pass
    assert (first, draw()) == expected


def test_threads_do_not_draw_from_each_other() -> None:
    with seeded(3, 4):
        expected = [draw() for _ in range(50)]
    found: list[list[tuple[float, float, float]]] = []

    def work() -> None:
        with seeded(3, 4):
            found.append([draw() for _ in range(50)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
