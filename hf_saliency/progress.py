"""Progress: tqdm's bars, which are text where a notebook has no widgets, without a warning that says so.

Captum, transformers and the hub's client import these bars as well, and whoever does so first gets the warning. So the
rooms that import them import this module before.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
