"""The model that a command explains."""

from __future__ import annotations

import sys
from typing import Any, cast

import typer

import hf_saliency as hs
from hf_saliency.adapter import tasks
from hf_saliency.cli.targets import KINDS
from hf_saliency.errors import SaliencyError


def explainer_of(
    name: str | None,
    kind: str | None,
    device: str = "cpu",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    *,
    quiet: bool = False,
    debug: bool = False,
) -> hs.Explainer:
    """The explainer of a model by name, or of the bundled one, with the head that a kind of target is read at."""
    heads = KINDS[kind].heads if kind else ()
    model: Any
    if name is None:
        if not set(heads) <= {tasks.MASKED, tasks.ENCODING, tasks.TEXT_ENCODING}:
            raise typer.BadParameter(
                f"--target {kind} needs a model that {heads[0].name}: give its --model (the bundled one "
                f"{tasks.MASKED.name}).",
                param_hint="--target",
            )
        model, tokenizer = hs.load_demo()
        model = model.base_model if tasks.ENCODING in heads else model
    else:
        from hf_saliency.adapter.pretrained import load

        model, tokenizer = load(name, heads, quiet=quiet, debug=debug)
    try:
        model = cast(
            Any,
            getattr(model, {"float32": "float", "float16": "half", "float64": "double"}.get(dtype, dtype))(),
        )
        model = model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise SaliencyError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return hs.Explainer(
        model, tokenizer, batch_tokens=batch_tokens, progress=not quiet and sys.stderr.isatty()
    )
