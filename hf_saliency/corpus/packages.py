"""The packages that corpora need beyond those of the library, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from hf_saliency.errors import SaliencyError


def arrow(module: str = "pyarrow") -> Any:
    """pyarrow, or a module of it."""
    return _imported(module, "a corpus is a folder of Parquet files, which need pyarrow", "corpus")


def ray_data() -> Any:
    """The module ``ray.data``."""
    return _imported("ray.data", 'engine="ray" needs Ray', "cluster")


def _imported(module: str, need: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SaliencyError(
            f"{need}, which cannot be imported ({error}): pip install 'hf-saliency[{extra}]'."
        ) from error
