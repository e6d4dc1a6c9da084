"""Arguments: converts those of the command line to an explainer, to texts, and to a method with its arguments."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import typer

import hf_saliency as hs
from hf_saliency.adapter import tasks
from hf_saliency.cli.targets import kinds
from hf_saliency.errors import SaliencyError


def explainer_of(
    name: str | None,
    kind: str | None,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    *,
    quiet: bool = False,
    debug: bool = False,
) -> hs.Explainer:
    """Load the named model or the bundled one, with the head that a kind of target needs; return its explainer."""
    from hf_saliency.adapter.pretrained import devices, load

    heads = kinds()[kind].heads() if kind else ()
    bars = not quiet and sys.stderr.isatty()
    model: Any
    if name is None:
        if not set(heads) <= {tasks.MASKED, tasks.ENCODING, tasks.TEXT_ENCODING}:
            raise typer.BadParameter(
                f"--target {kind} needs a model that {heads[0].name}: pass --model (the bundled model "
                f"{tasks.MASKED.name}).",
                param_hint="--target",
            )
        model, tokenizer = hs.load_demo()
        model = model.base_model if tasks.ENCODING in heads else model
    else:
        model, tokenizer = load(name, heads, quiet=not bars, debug=debug)
    try:
        convert = {"float32": "float", "float16": "half", "float64": "double"}.get(dtype, dtype)
        model = getattr(model, convert)().to(devices()[0] if device == "auto" else device)
    except (AssertionError, RuntimeError) as error:
        raise SaliencyError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return hs.Explainer(model, tokenizer, batch_tokens=batch_tokens, progress=bars)


# The base of click's usage errors; newer releases of typer contain a copy of click.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])


def texts_of(arguments: Sequence[str], file: Path | None, lines: bool) -> list[str]:
    """Read the texts from the arguments, the file or standard input."""
    if file is not None:
        if arguments:
            raise typer.BadParameter("give TEXT or --file, not both.", param_hint="TEXT")
        try:
            return _decoded(file.read_bytes(), repr(str(file)), lines)
        except OSError as error:
            raise SaliencyError(f"cannot read {str(file)!r}: {error.strerror}.") from error
    if not arguments:
        if sys.stdin is None or sys.stdin.isatty():
            raise typer.BadParameter(
                "give a TEXT, --file FILE, or a text on standard input.", param_hint="TEXT"
            )
        arguments = ["-"]
    texts: list[str] = []
    for text in arguments:
        texts += _decoded(sys.stdin.buffer.read(), "standard input", lines) if text == "-" else [text]
    return texts


def _decoded(data: bytes, name: str, lines: bool) -> list[str]:
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{name} is not UTF-8 text.") from error
    texts = [line for line in text.split("\n") if line.strip()] if lines else [text.rstrip("\n")]
    if not any(text.strip() for text in texts):
        raise SaliencyError(f"{name} is empty: there is nothing to explain.")
    return texts


def together(
    texts: Sequence[str], columns: bool, pairs: Sequence[str], choices: Sequence[str]
) -> list[str | tuple[str, ...]]:
    """Group the texts by explanation: each is a text, or a tuple of texts that belong together."""
    hint = "--pair" if pairs else "--choice"
    if (pairs or choices) and columns:
        raise typer.BadParameter(
            "with --columns, each line already contains the texts that belong together: omit one of the two options.",
            param_hint=hint,
        )
    if pairs and choices:
        raise typer.BadParameter("give --pair or --choice, not both.", param_hint=hint)
    if pairs and len(pairs) != len(texts):
        raise typer.BadParameter(
            f"there are {len(pairs)} for {len(texts)} texts: give one for each TEXT, in the same order, or put both "
            "into a file and pass --columns.",
            param_hint=hint,
        )
    if columns:
        return [tuple(line.split("\t")) for line in texts]
    if pairs:
        return list(zip(texts, pairs, strict=True))
    return [(text, *choices) if choices else text for text in texts]


def assignments(arguments: Sequence[str], option: str) -> dict[str, str]:
    """Parse the values of a repeatable option of the form NAME=VALUE."""
    values: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{argument!r} is not of the form NAME=VALUE.", param_hint=option)
        values[key] = value
    return values


def value_of(text: str) -> Any:
    """Parse a JSON value, such as a number or ``true``; return any other text unchanged."""
    try:
        return float("inf") if text == "inf" else json.loads(text)
    except ValueError:
        return text


def method_of(name: str, arguments: Sequence[str]) -> Any:
    """Return the method that ``--method`` and ``--argument`` define."""
    from hf_saliency.attribution.registry import named

    baselines = {
        "mask": hs.mask_embedding,
        "pad": hs.pad_embedding,
        "mean": hs.mean_embedding,
        "zero": hs.zero_embedding,
    }
    values: dict[str, Any] = {}
    for key, text in assignments(arguments, "--argument").items():
        if key == "baseline":  # one of these names, or a text
            values[key] = baselines.get(text, text)
        else:
            values[key] = named(text) if key == "of" else value_of(text)
    try:
        return named(name, values)
    except SaliencyError as error:
        hint = "--argument" if arguments else "--method"
        raise typer.BadParameter(str(error), param_hint=hint) from error
