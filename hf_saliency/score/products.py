"""Products: float32 matrix products on a CPU through oneDNN, where that is faster than PyTorch's default.

PyTorch multiplies float32 matrices on x86 through MKL, which reaches half of some AMD processors' speed. Its
wheels contain oneDNN as well. No public setting sends plain float32 products there: ``torch.backends.mkldnn`` and
``torch.set_float32_matmul_precision`` do so only together with a lower precision (bfloat16 or TF32), and
``torch.utils.mkldnn`` converts the modules of a model, which then have no gradients in float32. So a dispatch mode
hands these products to the operator that PyTorch's own compiler uses, which computes in true float32.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hf_saliency.errors import SaliencyError

VARIABLE = "HF_SALIENCY_FAST_PRODUCTS"

# (rows, inner, columns) of the products that are timed. A larger product counts as the largest of them, which has the
# shape of a feed-forward block; two thirds of a sweep are such products.
SIZES = ((16, 256, 256), (64, 512, 512), (64, 768, 3072))
MODE = 4e-5  # seconds that the dispatch mode takes for a product and the operations around it
FASTER = 1.05  # speed-up with the mode; less is noise
# Seconds of the smallest product, which takes some 0.03 ms. On a busy machine threads wait for each other, several
# milliseconds in each product by MKL and half of that in one by oneDNN, whichever computes faster.
BUSY = 1e-3
NARROW = 256  # a model whose matrices are all narrower spends its time elsewhere
ROWS = 16  # with fewer rows a product reads its matrix once and computes next to nothing

_mm = torch.ops.aten.mm.default
_addmm = torch.ops.aten.addmm.default


@dataclass(frozen=True)
class Products:
    """The matrix products that go to oneDNN.

    ``least`` is the smallest number of multiplications of such a product, for a second matrix that is stored plainly
    (False) or transposed (True). Without an entry, no product goes there.
    """

    least: Mapping[bool, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, choice: bool | None = None) -> Products:
        """Choose the products that pay off for a model; True chooses every product that oneDNN can take, False none."""
        if choice is False or not _available():
            return cls()
        if choice:
            return cls({False: 0, True: 0})
        wide = any(
            isinstance(weight := getattr(module, "weight", None), Tensor)
            and not isinstance(module, nn.Embedding)
            and weight.dim() == 2
            and _plain(weight)
            and min(weight.shape) >= NARROW
            for module in model.modules()
        )
        return cls(_faster(calibration(torch.get_num_threads()))) if wide else cls()

    def __bool__(self) -> bool:
        return bool(self.least)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Send products to oneDNN, in this thread and in the backward passes that it starts."""
        if not self.least or getattr(_active, "value", False):
            yield
            return
        _active.value = True
        try:
            with _OneDNN(self.least):
                yield
        finally:
            _active.value = False


_active = threading.local()


class _OneDNN(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode for the products of plain float32 matrices; leaves everything else alone."""

    def __init__(self, least: Mapping[bool, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.least = least

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Leave compiled parts of a model unchanged."""
        return True

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation: a product through oneDNN, anything else unchanged."""
        if func is _mm or func is _addmm:
            product = None if kwargs else self._product(*args)
            if product is not None:
                return product
        return func(*args, **(kwargs or {}))

    def _product(self, *operands: Tensor) -> Tensor | None:
        """Return the product, or None if oneDNN does not take it."""
        left, right = operands[-2:]
        bias = operands[0] if len(operands) == 3 else None
        if not all(map(_plain, operands)) or not left.is_contiguous():
            return None
        rows, inner = left.shape
        columns = right.shape[1]
        transposed = not right.is_contiguous()
        if transposed and not right.t().is_contiguous():
            return None
        if bias is not None and (tuple(bias.shape) != (columns,) or not bias.is_contiguous()):
            return None
        least = self.least.get(transposed)
        if least is None or not rows * inner * columns or (least and rows < ROWS):
            return None
        if rows * inner * columns < least:
            return None
        try:
            return _linear(left, right, bias)
        except RuntimeError:
            return None  # the default product raises the error, if it is a real one


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense, float32, on a CPU, and no subclass, whose products may mean something else."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not tensor.is_neg()
    )


def _linear(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right.t(), bias, "none", [], "")
    return product


def switch(choice: bool | None) -> bool | None:
    """Return the choice, or for None the setting of ``HF_SALIENCY_FAST_PRODUCTS``; refuse anything else."""
    if choice is not None and not isinstance(choice, bool):
        raise SaliencyError(
            f"fast_products={choice!r}: give True, False, or None for what is faster on this processor."
        )
    setting = os.environ.get(VARIABLE, "").strip()
    if choice is not None or not setting:
        return choice
    if setting not in ("0", "1"):
        raise SaliencyError(f"{VARIABLE}={setting!r} in the environment: set it to 0 or 1, or unset it.")
    return setting == "1"


def described() -> str:
    """Describe whether products go to oneDNN by default on this processor, or why not, for ``hf-saliency doctor``."""
    choice = switch(None)
    if choice is False:
        return f"off (set by {VARIABLE})"
    if not _available():
        return "off: this PyTorch has no oneDNN, or computes float32 products in a lower precision"
    if choice:
        return f"on for every product (set by {VARIABLE})"
    least = _faster(calibration(torch.get_num_threads()))
    if not least:
        return "off: oneDNN is not faster on this processor, or other work kept the processor busy"
    return f"on for wide models, from {min(least.values()):,} multiplications"


def _available() -> bool:
    """Whether oneDNN is available and switched on, and computes float32 products in float32."""
    backend = torch.backends.mkldnn
    available = backend.is_available() and backend.enabled  # type: ignore[no-untyped-call]
    if not (available and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    precision = getattr(getattr(backend, "matmul", None), "fp32_precision", "none")
    return torch.get_float32_matmul_precision() == "highest" and precision in ("none", "ieee")


_calibrating = threading.Lock()


def _renew_lock() -> None:
    """Replace the lock in a forked child, where the thread that held it is gone."""
    global _calibrating
    _calibrating = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

# The time of this thread alone, if its resolution is fine enough: other work lengthens it only where this thread waits
# actively for others of its own, see ``BUSY``.
_fine = time.get_clock_info("thread_time").resolution <= 1e-6
_clock = time.thread_time if _fine else time.perf_counter


def calibration(threads: int) -> Mapping[tuple[int, bool], float]:
    """Return the speed-up by oneDNN with the mode, measured once per process and number of threads.

    Keys are (multiplications, whether the second matrix is stored transposed). The speed-up is 0 where oneDNN's result
    differs, and everywhere if the machine is busy.
    """
    with _calibrating:
        return _calibration(threads)


@functools.cache
def _calibration(threads: int) -> Mapping[tuple[int, bool], float]:
    with torch.no_grad(), torch.inference_mode(False):
        busy = _busy()
        return {
            (rows * inner * columns, transposed): 0.0 if busy else _ratio(rows, inner, columns, transposed)
            for rows, inner, columns in SIZES
            for transposed in (False, True)
        }


def _busy() -> bool:
    """Whether threads wait so long for each other that a measurement would show nothing else."""
    rows, inner, columns = SIZES[0]
    left, right = torch.ones(rows, inner), torch.ones(inner, columns)
    return min(_seconds(torch.mm, left, right) for _ in range(4)) > BUSY


def _ratio(rows: int, inner: int, columns: int, transposed: bool) -> float:
    generator = torch.Generator().manual_seed(0)  # leaves the user's random state alone
    left = torch.randn(rows, inner, generator=generator)
    right = torch.randn(inner, columns, generator=generator)
    if transposed:
        right = right.t().contiguous().t()
    exact = left[:4].double() @ right.double()
    try:
        fast = _linear(left, right)
    except RuntimeError:
        return 0.0
    if bool((fast[:4] - exact).abs().max() > 1e-5 * exact.abs().max()):
        return 0.0
    torch.mm(left, right)
    times: list[tuple[float, float]] = []
    while len(times) < 3:
        times.append((_seconds(torch.mm, left, right), _seconds(_linear, left, right)))
        if times[-1][0] < 0.8 * times[-1][1]:
            break
    default, fastest = map(min, zip(*times, strict=True))
    return float(default / (fastest + MODE))


def _seconds(product: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor) -> float:
    start = _clock()
    product(left, right)
    return _clock() - start


def _faster(ratios: Mapping[tuple[int, bool], float]) -> dict[bool, int]:
    """Return the smallest size from which on all sizes are faster, for either storage of the second matrix."""
    least: dict[bool, int] = {}
    for size, transposed in sorted(ratios, reverse=True):
        previous = least.get(transposed)
        larger = [other for other, kind in ratios if kind == transposed and other > size]
        if ratios[size, transposed] >= FASTER and previous == (min(larger) if larger else None):
            least[transposed] = size
    return least
