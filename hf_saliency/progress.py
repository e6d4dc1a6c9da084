"""Progress: tqdm's bars, without tqdm's warning in a notebook that has no widgets, where the bars are text.

Captum, transformers and the hub's client import these bars as well, and tqdm warns at the first import. So the rooms
that import these packages import this module first.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
