"""Pretrained: a model and its tokenizer by name or folder."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.tasks import Task
from hf_saliency.errors import SaliencyError, described, one_of
from hf_saliency.synonyms import ARGUMENTS

_log = logging.getLogger(__name__)

# Options that locate a model, and so its configuration and tokenizer.
_SHARED = (
    "revision", "trust_remote_code", "gguf_file", "subfolder", "token", "cache_dir", "local_files_only", "proxies",
)  # fmt: skip

_WRITING = (tasks.SEQ2SEQ, tasks.MASKED, tasks.CAUSAL)  # tasks to try if the configuration names no head


def load(
    name: str,
    heads: Sequence[Task] = (),
    *,
    quiet: bool = False,
    debug: bool = False,
    dtype: object = "float32",
    other: str = "--model",
    **options: Any,
) -> tuple[Any, Any]:
    """Load a model and its tokenizer from a folder or the hub; SaliencyError if this fails or the head does not fit.

    The configuration names the head (``tasks.PRECEDENCE``). If it names none, the first of ``heads`` that the model
    type has is taken. Errors call the name ``other``. Options that locate the model also go to the tokenizer.
    """
    import transformers
    from huggingface_hub.errors import LocalEntryNotFoundError

    is_folder = Path(name).is_dir()
    if not is_folder and (name.startswith((".", "~", os.sep)) or name.endswith(os.sep)):
        raise SaliencyError(
            f"there is no folder {name!r}: give the folder of a model, or its name on the hub."
        )
    options.setdefault("trust_remote_code", False)  # otherwise transformers asks at the terminal
    shared = {key: options[key] for key in _SHARED if key in options}
    try:
        with _reports(bars=not quiet, retries=debug):
            config = transformers.AutoConfig.from_pretrained(name, **shared)
            task, named_head = _task(config, name, heads, other)
            auto = getattr(transformers, task.auto_class)
            with _quiet(not named_head and not debug):  # missing weights raise an error below
                model, report = auto.from_pretrained(name, dtype=dtype, output_loading_info=True, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **shared)
    except SaliencyError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        page = None
        if isinstance(error.__cause__ or error.__context__, LocalEntryNotFoundError):
            reason = "the Hugging Face hub cannot be reached (offline?), and the cache does not hold it."
        if "trust_remote_code" in str(error):
            reason = (
                "it holds Python code of its own, which runs on loading and is not trusted by default: read it, then "
                "pass trust_remote_code=True to Explainer.from_pretrained."
            )
            page = "models#loading"
        folder = f"{other} ./folder" if other.startswith("--") else "such as './folder'"
        hint = "" if is_folder else f" Give the folder of a model, {folder}, or its name on the hub."
        raise SaliencyError(f"cannot load {name!r} as a text model: {reason}{hint}", page=page) from error
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing and not named_head:
        raise SaliencyError(
            f"{name!r} names no head, and has no weights ({', '.join(missing[:3])}) for one that {task.name}: give "
            f"another {other}."
        )
    named = "its configuration names the head" if named_head else "its configuration names no head"
    _log.info("loaded %s and %s from %r; %s", type(model).__name__, type(tokenizer).__name__, name, named)
    return (model.base_model if tasks.ENCODING in heads else model), tokenizer


def from_pretrained(
    name_or_path: str | os.PathLike[str],
    task: str | None = None,
    device: str = "auto",
    dtype: object = "float32",
    revision: str | None = None,
    *,
    progress: bool = True,
    **options: Any,
) -> tuple[Any, Any]:
    """Load a model onto a device, and its tokenizer; see :meth:`hf_saliency.Explainer.from_pretrained`."""
    if task is not None:
        one_of(task, tasks.PIPELINES, "task")
    heads = () if task is None else (tasks.PIPELINES[task],)
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise SaliencyError(
            f"name_or_path must be a folder or a name on the hub, not {type(name_or_path).__name__}; a "
            "model that is loaded goes to hs.Explainer(model, tokenizer)."
        )
    elsewhere = ARGUMENTS["from_pretrained"]
    for option in elsewhere.keys() & options:
        raise SaliencyError(
            f"from_pretrained takes no argument {option!r}: use {elsewhere[option]}.",
            page="how_to/big_models#quantised-weights" if option.startswith("load_in_") else None,
        )
    _check_dtype(dtype)
    if revision is not None:
        options["revision"] = revision
    try:
        model, tokenizer = load(
            os.fspath(name_or_path), heads, quiet=not progress, dtype=dtype, other="name", **options
        )
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or unknown[1] not in options:
            raise
        raise SaliencyError(
            f"neither the explainer nor the model takes an argument {unknown[1]!r}: the explainer takes embedding, "
            "inputs, batch_tokens, fast_products, precision and progress; the target and the method belong to the "
            "call, explainer(text, target=..., method=...)."
        ) from error
    # accelerate and quantisation place the weights themselves.
    if "device_map" not in options and getattr(model, "hf_quantizer", None) is None:
        if device == "auto":
            device = devices()[0]
        try:
            model.to(device)
        except (AssertionError, RuntimeError) as error:
            raise SaliencyError(
                f"cannot use the device {device!r}: {described(error)} This machine has {', '.join(devices())}.",
                page="how_to/big_models#use-a-gpu",
            ) from error
        _log.info("the model is on %s", device)
    return model, tokenizer


def _check_dtype(dtype: object) -> None:
    """Refuse the name of a dtype that PyTorch does not have."""
    import torch

    if (
        isinstance(dtype, str)
        and dtype != "auto"
        and not isinstance(getattr(torch, dtype, None), torch.dtype)
    ):
        one_of(dtype, ("float32", "float64", "bfloat16", "float16", "auto"), "dtype")


def devices() -> list[str]:
    """Return the devices that a model can run on; "auto" takes the first."""
    import torch

    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [*cuda, "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]


@contextlib.contextmanager
def _reports(bars: bool, retries: bool) -> Iterator[None]:
    """Optionally hide progress bars, and the hub client's line for each retry, within this context."""
    from transformers.utils import logging as log

    client = logging.getLogger("huggingface_hub")
    level, shown = client.level, log.is_progress_bar_enabled()
    if shown and not bars:
        log.disable_progress_bar()  # type: ignore[no-untyped-call]
    if not retries:
        client.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        client.setLevel(level)
        if shown and not bars:
            log.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _quiet(silent: bool) -> Iterator[None]:
    """Hide the warnings of transformers within this context, if ``silent``."""
    from transformers.utils import logging as log

    before = log.get_verbosity()
    if silent:
        log.set_verbosity(max(before, logging.ERROR))
    try:
        yield
    finally:
        log.set_verbosity(before)


def _task(config: Any, name: str, heads: Sequence[Task], other: str) -> tuple[Task, bool]:
    """Return the task to load the model for, and whether its configuration names it."""
    architecture = next(iter(config.architectures or []), "")
    known = tasks.tasks_of(architecture)
    if known and (not heads or tasks.ENCODING in heads or set(heads) & set(known)):
        return known[0], True
    if known and known[0] is not tasks.ENCODING:
        raise SaliencyError(
            f"{name!r} is a {architecture}, which {known[0].name}, but this target needs a model that {heads[0].name}: "
            f"omit {'--target' if other == '--model' else 'task='} to explain the task of this model, or give another "
            f"{other}."
        )
    for task in heads or _WRITING:
        if tasks.is_listed(task, config.model_type):
            return task, False
    raise SaliencyError(
        f"transformers has no {config.model_type} model that {' or '.join(task.name for task in heads or _WRITING)}: "
        f"give another {other}."
    )
