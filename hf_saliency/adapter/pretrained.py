"""A model and tokenizer by name, for the command line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hf_saliency.adapter.tasks import MASKED, tasks_of
from hf_saliency.errors import SaliencyError


def load(name: str, quiet: bool, debug: bool) -> tuple[Any, Any]:
    """A model of the user's, in float32, and its tokenizer; the head is the one that its configuration names."""
    import transformers
    from huggingface_hub.errors import LocalEntryNotFoundError
    from transformers.utils.logging import disable_progress_bar

    there = Path(name).is_dir()
    if quiet or there:
        disable_progress_bar()  # type: ignore[no-untyped-call]
    if not debug:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it reports each of its retries
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        architecture = next(iter(config.architectures or []), "")
        task = next(iter(tasks_of(architecture)), MASKED)
        model = getattr(transformers, task.auto_class).from_pretrained(name, dtype="float32")
        return model, transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        if isinstance(error.__cause__ or error.__context__, LocalEntryNotFoundError):
            reason = "the Hugging Face hub cannot be reached (offline?), and the cache does not hold it."
        hint = "" if there else " Give the folder of a model, --model ./folder, or its name on the hub."
        raise SaliencyError(f"cannot load {name!r} as a language model: {reason}{hint}") from error
