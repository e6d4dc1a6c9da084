"""Provenance: which model, in which precision, and with which versions."""

from __future__ import annotations

from importlib import metadata

from hf_saliency import __version__
from hf_saliency.adapter.text_model import TextModel


def provenance(text_model: TextModel) -> dict[str, str]:
    """Where the numbers of a map come from.

    Parameters
    ----------
    text_model
        The model.

    Returns
    -------
    dict
    """
    model = text_model.model
    config = getattr(model, "config", None)
    quantization = getattr(config, "quantization_config", None)
    details = {
        "model": getattr(config, "name_or_path", "") or type(model).__name__,
        "class": type(model).__name__,
        "revision": getattr(config, "_commit_hash", None) or "",
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "quantization": str(getattr(quantization, "quant_method", quantization) or ""),
        "tokenizer": type(text_model.tokenizer).__name__,
    }
    versions = {package: metadata.version(package) for package in ("captum", "torch", "transformers")}
    return {
        **{key: value for key, value in details.items() if value},
        "hf-saliency": __version__,
        **versions,
    }
