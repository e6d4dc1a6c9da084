"""A model and tokenizer by name, for the command line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hf_saliency.errors import SaliencyError


def load_masked_lm(name: str, quiet: bool, debug: bool) -> tuple[Any, Any]:
    """A model of the user's, in float32, and its tokenizer."""
    from huggingface_hub.errors import LocalEntryNotFoundError
    from transformers import AutoModelForMaskedLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    there = Path(name).is_dir()
    if quiet or there:
        disable_progress_bar()  # type: ignore[no-untyped-call]
    if not debug:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it reports each of its retries
    try:
        model = AutoModelForMaskedLM.from_pretrained(name, dtype="float32")
        return model, AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        if isinstance(error.__cause__ or error.__context__, LocalEntryNotFoundError):
            reason = "the Hugging Face hub cannot be reached (offline?), and the cache does not hold it."
        hint = "" if there else " Give the folder of a model, --model ./folder, or its name on the hub."
        raise SaliencyError(f"cannot load {name!r} as a masked language model: {reason}{hint}") from error
