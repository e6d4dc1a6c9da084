"""Interrupts: after Ctrl-C, forks and unusual weights, the model, random state and locks are unchanged."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator

import interrupts
import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.adapter.guards import HeldInterrupts, borrowed
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import renew_property_locks
from hf_saliency.score import products


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Install Python's handler of interrupts, because a test run in the background of a shell ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Python drops an exception that is raised while a generator closes, and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_interrupt_leaves_anything_changed() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model.train()
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(interrupts.changes(model, tokenizer, 200)) == []


def test_an_interrupt_waits_until_a_context_manager_is_left() -> None:
    class Slow:
        left = False

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None:
            signal.raise_signal(signal.SIGINT)
            self.left = True

    slow, steps = Slow(), []

    def use() -> None:
        with HeldInterrupts():
            with slow:
                steps.append("in")
            steps.append("out")

    with pytest.raises(KeyboardInterrupt):
        use()
    assert slow.left
    assert steps == ["in", "out"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_ends_the_wait_for_another_thread() -> None:
    model, _ = tiny.masked_lm("bert")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with borrowed(model):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt), borrowed(model):
            pass
    finally:
        done.set()
        thread.join()
        timer.join()


def test_everything_is_put_back_also_where_a_part_of_it_fails() -> None:
    class Stubborn(torch.nn.Linear):
        refuses = False

        def __setattr__(self, name: str, value: object) -> None:
            if name == "training" and value and self.refuses:
                raise RuntimeError("stays in eval mode")
            super().__setattr__(name, value)

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), Stubborn(2, 2), torch.nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="stays in eval mode"), borrowed(model):
        model[1].refuses = True
    assert [module.training for module in model] == [True, False, True]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_weights_made_under_inference_mode_leave_the_others_trainable() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    with torch.inference_mode():
        model[1].weight = torch.nn.Parameter(torch.ones(2, 2))
    with borrowed(model):
        assert not model[0].weight.requires_grad
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_weight_made_under_inference_mode_is_named() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    with torch.inference_mode():
        model.cls.predictions.transform.dense.weight = torch.nn.Parameter(torch.eye(16, dtype=torch.float64))
    explainer = hs.Explainer(model, tokenizer)
    with pytest.raises(
        hs.SaliencyError, match="weights of BertForMaskedLM were made under torch.inference_mode"
    ):
        explainer("a cat", method="saliency")


def test_no_property_of_a_forked_child_waits_for_a_thread_that_is_gone() -> None:
    """Python 3.11 has one lock per class for a cached property."""
    lock = getattr(vars(TextModel)["size"], "lock", None)
    try:
        renew_property_locks()
        assert lock is None or vars(TextModel)["size"].lock is not lock
    finally:
        if lock is not None:
            vars(TextModel)["size"].lock = lock


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.skipif(
    torch.cuda.is_available(), reason="PyTorch forbids gradients in a child of a process with GPU threads"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_explains_can_explain() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model.train()
    explainer = hs.Explainer(model, tokenizer, progress=False)
    expected = explainer("the cat sat").scores
    products.calibration(1)
    held, done = threading.Event(), threading.Event()

    def wait(module: torch.nn.Module, arguments: object) -> None:
        if threading.current_thread() is thread:
            with products._calibrating:
                held.set()
                done.wait(60)

    handle = model.bert.encoder.register_forward_pre_hook(wait)
    thread = threading.Thread(target=lambda: explainer("a dog ran"))
    thread.start()
    held.wait(60)

    def child(queue: multiprocessing.Queue[object]) -> None:
        training = model.training and all(parameter.requires_grad for parameter in model.parameters())
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
        products.calibration(1)
        queue.put((training, hooks, explainer("the cat sat").scores))

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    try:
        training, hooks, scores = queue.get(timeout=60)
    finally:
        done.set()
        thread.join()
        process.join(10)
        process.kill()
        handle.remove()
    assert training
    assert hooks == 1  # this test's hook
    np.testing.assert_allclose(scores, expected)
