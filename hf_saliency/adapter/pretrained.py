"""A model and tokenizer by name, for the command line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.tasks import Task
from hf_saliency.errors import SaliencyError

_WRITING = (tasks.SEQ2SEQ, tasks.MASKED, tasks.CAUSAL)  # what a model is for that says nothing of a head


def load(
    name: str, heads: Sequence[Task] = (), *, quiet: bool = False, debug: bool = False
) -> tuple[Any, Any]:
    """A model of the user's, in float32, and its tokenizer.

    The head is the one that the configuration names, by ``tasks.PRECEDENCE``. A configuration that names none gets
    one that is asked for, if the weights of it are there.

    Parameters
    ----------
    name
        A folder, or a name on the hub.
    heads
        What the head has to be for, one of these; empty for whatever it is for. ``tasks.ENCODING`` is what every
        model has under its head.
    quiet
        Show no progress.
    debug
        Show what the hub's client reports.

    Returns
    -------
    tuple
        The model and the tokenizer.

    Raises
    ------
    SaliencyError
        If they cannot be loaded, or the head is for something else.
    """
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
        task, own = _task(config, name, heads)
        auto = getattr(transformers, task.auto_class)
        with _quiet(not own and not debug):  # what is missing is an error then, not a report
            model, report = auto.from_pretrained(name, dtype="float32", output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    except SaliencyError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        if isinstance(error.__cause__ or error.__context__, LocalEntryNotFoundError):
            reason = "the Hugging Face hub cannot be reached (offline?), and the cache does not hold it."
        hint = "" if there else " Give the folder of a model, --model ./folder, or its name on the hub."
        raise SaliencyError(f"cannot load {name!r} as a text model: {reason}{hint}") from error
    missing = sorted(one for one in report["missing_keys"] if "pooler" not in one)
    if missing and not own:
        raise SaliencyError(
            f"{name!r} names no head, and has no weights ({', '.join(missing[:3])}) for one that {task.name}: give "
            "another --model."
        )
    return (model.base_model if tasks.ENCODING in heads else model), tokenizer


@contextlib.contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """Without the warnings of transformers."""
    from transformers.utils import logging as log

    before = log.get_verbosity()
    if wanted:
        log.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        log.set_verbosity(before)


def _task(config: Any, name: str, heads: Sequence[Task]) -> tuple[Task, bool]:
    """What the model is loaded for, and whether its configuration says so."""
    architecture = next(iter(config.architectures or []), "")
    own = tasks.tasks_of(architecture)
    if own and (not heads or tasks.ENCODING in heads or set(heads) & set(own)):
        return own[0], True
    if own and own[0] is not tasks.ENCODING:
        raise SaliencyError(
            f"{name!r} is a {architecture}, which {own[0].name}, and this target needs a model that {heads[0].name}: "
            "leave --target out for what this one does, or give another --model."
        )
    for task in heads or _WRITING:
        if tasks.is_listed(task, config.model_type):
            return task, False
    raise SaliencyError(
        f"transformers has no {config.model_type} model that {' or '.join(task.name for task in heads or _WRITING)}: "
        "give another --model."
    )
