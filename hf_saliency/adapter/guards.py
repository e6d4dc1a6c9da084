"""Guards: restore everything that an explanation changes, even if an error, Ctrl-C or a fork ends it."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

Handler = Callable[[int, "FrameType | None"], Any]

# While one of these methods runs, a context manager changes or restores state. An exception in the middle would lose
# that state, in our context managers and in those of torch and Captum.
_ATOMIC = frozenset({"__enter__", "__exit__", "enter_context"})

_replaced_handlers: list[Handler] = []
_waiting: list[int] = []


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    """Pass Ctrl-C to the previous handler, or hold it until a context manager's method has ended."""
    scope = frame
    while scope is not None:
        if scope.f_code.co_name in _ATOMIC:
            _waiting.append(number)
            return
        scope = scope.f_back
    _replaced_handlers[-1](number, frame)


def raise_interrupt() -> None:
    """Raise a held Ctrl-C, if there is one; called in every forward pass, so that none waits for long."""
    if _waiting and threading.current_thread() is threading.main_thread():
        _waiting.clear()
        _replaced_handlers[-1](signal.SIGINT, sys._getframe())


class HeldInterrupts:
    """Context in which Ctrl-C never interrupts a context manager while it is entered or left.

    Python calls signal handlers in the main thread only, between any two of its instructions, so also within the
    ``__exit__`` that restores a model. Only the outermost guard of the main thread has an effect.
    """

    def __init__(self) -> None:
        self._holds = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler is _on_interrupt or not callable(handler):
            return
        _replaced_handlers.append(handler)
        try:
            signal.signal(signal.SIGINT, _on_interrupt)
        except ValueError:  # the main thread of a subinterpreter, which gets no signals
            _replaced_handlers.pop()
        else:
            self._holds = True

    def __exit__(self, *error: object) -> None:
        if not self._holds:
            return
        handler = _replaced_handlers[-1]
        if signal.getsignal(signal.SIGINT) is _on_interrupt:  # a user's function may have set a different one
            signal.signal(signal.SIGINT, handler)
        _replaced_handlers.pop()
        if _waiting:
            _waiting.clear()
            handler(signal.SIGINT, sys._getframe())


_registry = threading.Lock()
_locks: WeakKeyDictionary[object, threading.RLock] = WeakKeyDictionary()


def _lock_of(shared: object) -> threading.RLock:
    """Return the lock of an object, the same one for every caller."""
    with _registry:
        return _locks.setdefault(shared, threading.RLock())


@contextmanager
def locked(shared: object) -> Iterator[None]:
    """Give one thread exclusive use of an object; threads that wait for it can be interrupted."""
    lock = _lock_of(shared)
    with HeldInterrupts():
        while not lock.acquire(timeout=0.2):
            raise_interrupt()
        try:
            yield
        finally:
            lock.release()


@dataclass
class _Switched:
    """The original state of a module that switches its attention type permanently when it meets a short text.

    BigBird does so: if it were not restored, the score of a long text would depend on the texts explained before it.
    """

    module: Any
    attention_type: str
    children: dict[str, nn.Module | None]
    length: int = -1  # tokens per text in the last pass

    def restore(self) -> None:
        self.module.attention_type = self.attention_type
        self.module._modules.update(self.children)


@dataclass(frozen=True)
class _Loan:
    """A model in eval mode with frozen weights: the thread that uses it, and the state to restore."""

    thread: int
    modules: tuple[nn.Module, ...]
    training: tuple[nn.Module, ...]
    trainable: tuple[nn.Parameter, ...]
    switched: tuple[_Switched, ...] = ()

    def begin(self) -> None:
        for module in self.training:
            module.training = False
        for parameter in self.trainable:
            parameter.requires_grad_(False)

    def end(self) -> None:
        """Restore everything, even if one part of it fails."""
        failure: Exception | None = None
        for part in self.switched:
            part.restore()
        for module in self.training:
            try:
                module.training = True
            except Exception as error:
                failure = failure or error
        for parameter in self.trainable:
            try:
                parameter.requires_grad_(True)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure


_loans: WeakKeyDictionary[nn.Module, _Loan] = WeakKeyDictionary()


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Give one thread exclusive use of a model in eval mode with frozen weights; restore the model afterwards.

    With frozen weights the graph stores nothing for weight gradients, so a row takes less memory and time.
    """
    with locked(model):
        if model in _loans:  # by this thread, which holds the lock
            yield
            return
        modules = _walk(model)
        weights = (
            weight for module in modules for weight in module._parameters.values() if weight is not None
        )
        loan = _Loan(
            threading.get_ident(),
            modules,
            tuple(module for module in modules if module.training),
            # Weights made in inference mode take part in no graph, and their requires_grad cannot be restored.
            tuple(weight for weight in weights if weight.requires_grad and not weight.is_inference()),
            tuple(
                _Switched(module, str(module.attention_type), dict(module._modules))
                for module in modules
                if hasattr(type(module), "set_attention_type")
            ),
        )
        with _uncompiled(modules):
            try:
                _loans[model] = loan
                loan.begin()
                yield
            finally:
                _loans.pop(model, None)
                loan.end()


def _uncompiled(modules: Iterable[nn.Module]) -> AbstractContextManager[Any]:
    """Return a context that runs compiled modules eagerly, if there are any."""
    compiled = any(
        "_orig_mod" in module._modules or module.__dict__.get("_compiled_call_impl") is not None
        for module in modules
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def modules_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules of a model; for a borrowed model, those found when it was borrowed."""
    loan = _loans.get(model)
    return _walk(model) if loan is None else loan.modules


def begin_pass(model: nn.Module, length: int) -> None:
    """Restore the model's original attention type before a pass whose length differs from the last one's."""
    for part in () if (loan := _loans.get(model)) is None else loan.switched:
        if part.length != length:
            part.restore()
            part.length = length


def _walk(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the same modules as ``model.modules()``, several times as fast, since this runs for every batch."""
    modules = {model: None}
    waiting = [model]
    while waiting:
        for module in waiting.pop()._modules.values():
            if module is not None and module not in modules:
                modules[module] = None
                waiting.append(module)
    return tuple(modules)


_hooks: dict[int, tuple[int, RemovableHandle]] = {}


@contextmanager
def hooked(
    register: Callable[..., RemovableHandle], hook: Callable[..., Any], **options: Any
) -> Iterator[None]:
    """Register a hook for the duration of the context: ``hooked(module.register_forward_hook, hook)``."""
    handle = register(hook, **options)
    try:
        _hooks[id(handle)] = (threading.get_ident(), handle)
        yield
    finally:
        _hooks.pop(id(handle), None)
        handle.remove()


def _end_loans_of_lost_threads() -> None:
    """In a forked child, release the locks, hooks and loans of the other threads, which no longer exist there."""
    global _registry, _locks
    thread = threading.get_ident()
    _registry, _locks = threading.Lock(), WeakKeyDictionary()
    for key, (owner, handle) in list(_hooks.items()):
        if owner != thread:
            _hooks.pop(key)
            handle.remove()
    for model, loan in list(_loans.items()):
        if loan.thread != thread:
            _loans.pop(model)
            loan.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_loans_of_lost_threads)


_lock = threading.Lock()  # the random generators are shared by the whole process


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Seed Torch, NumPy and Python in this context, and restore their random states afterwards.

    The seed is one or more non-negative integers.
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
    """Make a new lock in a forked child, where the thread that held the old one no longer exists."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
