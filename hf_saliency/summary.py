"""A map in a few lines of a terminal: its repr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hf_saliency.saliency_map import SaliencyMap

_WIDTH = 80


def summary(saliency_map: SaliencyMap) -> str:
    """Shape, text, method, what is explained and by which model; no line is longer than 80 characters."""
    m = saliency_map
    units = " ".join(sorted({target.unit for target in m.targets})) or "no unit"
    sign = "signed" if m.signed else "unsigned"
    shape = f"{_count(len(m.targets), 'target')} x {_count(len(m.tokens), 'token')}"
    details = ", ".join(f"{key}={value!r}" for key, value in m.arguments.items())
    lines = [
        f"SaliencyMap: {shape}, {units}, {sign} {m.scores.dtype}",
        f"  text     {' | '.join(map(repr, m.texts))}",
        f"  targets  {', '.join(repr(target.label) for target in m.targets[:20]) or 'none'}",
        f"  method   {m.method}({details})",
    ]
    bad = int(np.sum(~np.isfinite(m.scores)))
    if bad:
        lines.append(f"  scores   {bad} of {m.scores.size} not finite")
    if m.convergence_delta is not None and m.convergence_delta.size:
        lines.append(f"  delta    {np.abs(m.convergence_delta).max():.2e} (largest of a row)")
    if "model" in m.provenance:
        lines.append(f"  model    {m.provenance['model']}")
    return "\n".join(_short(line) for line in lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(line: str) -> str:
    line = " ".join(line.splitlines())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
