"""Ctrl-C at random points of an explanation, and a check that nothing stays changed.

    python tests/support/interrupts.py [--count 5000]

interrupts several methods, ``count`` times in all, and exits with 1 if a run left something changed.
"""

from __future__ import annotations

import _thread
import argparse
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

import hf_saliency as hs

Call = Callable[[], Any]


def calls(model: nn.Module, tokenizer: Any) -> dict[str, Call]:
    """Explanations that together change all kinds of state: hooks, frozen weights, random numbers."""
    explainer = hs.Explainer(model, tokenizer, progress=False)
    text, target = "The formal study", hs.MaskedToken("study")
    return {
        "sweep": lambda: explainer(text),
        "shared": lambda: explainer(text, target=hs.UnmaskedToken()),
        "integrated_gradients": lambda: explainer(
            text, target=target, method=hs.integrated_gradients(n_steps=3)
        ),
        "gradient_shap": lambda: explainer(text, target=target, method=hs.gradient_shap(n_samples=3)),
        "smooth_grad": lambda: explainer(text, target=target, method=hs.smooth_grad(n_samples=3)),
        "shapley_sampling": lambda: explainer(text, target=target, method=hs.shapley_sampling(n_samples=2)),
        "leave_one_out": lambda: explainer(text, target=target, method=hs.leave_one_out()),
    }


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that an interrupt could leave changed."""
    numpy_state: Any = np.random.get_state()
    return {
        "training": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad is None for parameter in model.parameters()],
        "hooks": [
            len(hooks)
            for module in model.modules()
            for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        ],
        "python": random.getstate(),
        "numpy": (numpy_state[1].tolist(), *numpy_state[2:]),
        "torch": torch.get_rng_state().tolist(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "handler": signal.getsignal(signal.SIGINT),
    }


def events(call: Call) -> int:
    """The number of function calls and returns within a call; Python checks for signals at each of them."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def interrupt(call: Call, at: int) -> None:
    """Run a call, and press Ctrl-C at one of its events."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            sys.setprofile(None)
            _thread.interrupt_main()

    try:
        sys.setprofile(note)
        call()
        sys.setprofile(None)
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)


def changes(model: nn.Module, tokenizer: Any, count: int, seed: int = 0) -> Iterator[str]:
    """Interrupt ``count`` explanations at random; yield a description of whatever one left changed."""
    draw = random.Random(seed)
    runs = calls(model, tokenizer)
    lengths = {}
    for name, call in runs.items():
        call()
        lengths[name] = events(call)
    before = state(model)
    names = sorted(runs)
    for number in range(count):
        name = names[number % len(names)]
        at = draw.randint(1, lengths[name])
        interrupt(runs[name], at)
        after = state(model)
        changed = [key for key, value in before.items() if after[key] != value]
        if changed:
            yield f"{name} at event {at}: {', '.join(changed)}"
    if not _free(model, runs["sweep"]):
        yield "a lock is still held"


def _free(model: nn.Module, call: Call) -> bool:
    """Whether another thread can use the model."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


def main() -> int:
    """Run the script."""
    import tiny

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=5000)
    count = parser.parse_args().count
    warnings.simplefilter("ignore")
    model, tokenizer = tiny.masked_lm("bert")
    model.train()
    failures = 0
    for line in changes(model, tokenizer, count):
        failures += 1
        print(line, flush=True)
    print(f"{count} interrupts, {failures} left something changed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
