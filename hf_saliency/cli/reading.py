"""From the command line to texts and to places in them."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import typer

from hf_saliency.errors import SaliencyError

# The base of click's usage errors; newer releases of typer carry their own copy of click.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])


def texts_of(given: Sequence[str], file: Path | None, lines: bool) -> list[str]:
    """The texts, from the arguments, the file or standard input."""
    if file is not None:
        if given:
            raise typer.BadParameter("give TEXT or --file, not both.", param_hint="TEXT")
        try:
            return _decoded(file.read_bytes(), repr(str(file)), lines)
        except OSError as error:
            raise SaliencyError(f"cannot read {str(file)!r}: {error.strerror}.") from error
    if not given:
        if sys.stdin is None or sys.stdin.isatty():
            raise typer.BadParameter(
                "give a TEXT, --file FILE, or a text on standard input.", param_hint="TEXT"
            )
        given = ["-"]
    texts: list[str] = []
    for one in given:
        texts += _decoded(sys.stdin.buffer.read(), "standard input", lines) if one == "-" else [one]
    return texts


def _decoded(data: bytes, name: str, lines: bool) -> list[str]:
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{name} is not UTF-8 text.") from error
    texts = [line for line in text.split("\n") if line.strip()] if lines else [text.rstrip("\n")]
    if not any(one.strip() for one in texts):
        raise SaliencyError(f"{name} is empty: there is nothing to explain.")
    return texts


_KINDS = ("masked", "unmasked", "next", "label", "tokens")


def where_of(target: str | None, positions: Sequence[str]) -> list[int | str | slice] | None:
    """The places that ``--target`` and ``--positions`` name, as a target takes them."""
    if target is not None and target not in _KINDS:
        if positions:
            raise typer.BadParameter(
                f"a word ({target!r}) is a place: name all of them by --positions.", param_hint="--target"
            )
        return [target]
    found: list[int | str | slice] = []
    for value in positions:
        for place in [value] if value.startswith("word:") else value.split(","):
            found += _place(place.strip())
    return found or None


def target_of(
    explainer: Any,
    kind: str | None,
    where: Sequence[int | str | slice] | None,
    label: str | None,
    against: str | None,
    unit: Any,
) -> Any:
    """The target that the options name; what the model's head is for, if they name none."""
    import hf_saliency as hs
    from hf_saliency.adapter.targets.default import default_target

    kinds = {"masked": hs.MaskedToken, "unmasked": hs.UnmaskedToken, "next": hs.NextToken}
    kinds |= {"label": hs.Label, "tokens": hs.TokenLabel}
    chosen: Any = kinds.get(kind or "") or type(default_target(explainer.text_model))
    given = {"where": list(where) if where else None, "label": label, "against": against}
    known = {one.name for one in dataclasses.fields(chosen)}
    for name, value in given.items():
        if value is not None and name not in known:
            option = {"where": "positions"}.get(name, name)
            raise typer.BadParameter(f"{chosen.__name__} has none.", param_hint=f"--{option}")
    options = {name: value for name, value in given.items() if name in known}
    return chosen(**options, **({"unit": unit} if "unit" in known else {}))


def _place(place: str) -> Sequence[int | str | slice]:
    if place.startswith("word:"):
        return [place.removeprefix("word:")]
    if re.fullmatch(r"-?[0-9]{1,6}", place):
        return [int(place)]
    pair = re.fullmatch(r"(?:[0-9]{1,6}-|chars:[0-9]+:)[0-9]{1,6}", place)
    start, stop = (int(n) for n in re.findall(r"[0-9]+", place)) if pair else (0, 0)
    if pair and start < stop:
        return [slice(start, stop)] if place.startswith("chars:") else range(start, stop + 1)
    if not place or pair or place.startswith("chars:"):
        raise typer.BadParameter(
            f"{place!r} is no place: give 3, 7-9, chars:16:23, or a word of the text.",
            param_hint="--positions",
        )
    return [place]


def assignments(given: Sequence[str], option: str) -> dict[str, str]:
    """What a repeatable option of the form NAME=VALUE says."""
    found: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{one!r} is not of the form NAME=VALUE.", param_hint=option)
        found[key] = value
    return found


def value_of(text: str) -> Any:
    """A JSON value, such as a number or ``true``; anything else is a word."""
    try:
        return float("inf") if text == "inf" else json.loads(text)
    except ValueError:
        return text


def method_of(name: str, arguments: Sequence[str]) -> Any:
    """The method that ``--method`` and ``--argument`` name."""
    import hf_saliency as hs
    from hf_saliency.attribution.methods import named

    baselines = {
        "mask": hs.mask_embedding,
        "pad": hs.pad_embedding,
        "mean": hs.mean_embedding,
        "zero": hs.zero_embedding,
    }
    values: dict[str, Any] = {}
    for key, text in assignments(arguments, "--argument").items():
        if key == "baseline":  # a word of these, or a text
            values[key] = baselines.get(text, text)
        else:
            values[key] = named(text) if key == "of" else value_of(text)
    try:
        return named(name, values)
    except SaliencyError as error:
        hint = "--argument" if arguments else "--method"
        raise typer.BadParameter(str(error), param_hint=hint) from error
