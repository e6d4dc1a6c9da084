"""Targets: converts options of the command line to a target."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import hf_saliency as hs

# Options that fill a target's field of another name.
_FIELDS = {"positions": ("where",), "answer": ("answer", "choice")}

# The number of texts that a target takes, in the words of the command line.
_COUNTS = {
    (1, 1): "one text",
    (1, 2): "one text, or two that belong together (TEXT --pair OTHER)",
    (2, 2): "two texts (TEXT --pair OTHER; a question comes before its context)",
}
_CHOICES = "a text and at least two choices (TEXT --choice ONE --choice OTHER)"


@functools.cache
def kinds() -> dict[str, type[hs.Target]]:
    """Map names for ``--target`` to the library's targets; a new target is found without a change here."""
    from hf_saliency import targets
    from hf_saliency.targets.target import Target

    for module in pkgutil.iter_modules(targets.__path__, f"{targets.__name__}."):
        importlib.import_module(module.name)

    def below(cls: Any) -> Iterator[type[Target]]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    return {
        target.kind: target
        for target in below(Target)
        if target.kind and target.__module__.startswith(targets.__name__)
    }


def kind_of(target: str | None) -> str | None:
    """Return the kind that ``--target`` names; None for a word of the text, and for the model's default."""
    return target if target is not None and target in kinds() else None


def default_kind(explainer: hs.Explainer) -> str:
    """Return the kind of the model's default target."""
    from hf_saliency.targets.default import default_target

    return default_target(explainer.text_model).kind


def where_of(target: str | None, positions: Sequence[str]) -> list[int | str | slice] | None:
    """Return the places that ``--target`` and ``--positions`` name, in the form that a target takes."""
    if target is not None and target not in kinds():
        if positions:
            raise typer.BadParameter(
                f"{target!r} is a word of the text, so pass it to --positions with the other places. The kinds of "
                f"targets are {', '.join(kinds())}.",
                param_hint="--target",
            )
        return [target]
    places: list[int | str | slice] = []
    for value in positions:
        for place in [value] if value.startswith("word:") else value.split(","):
            places += _place(place.strip())
    return places or None


def target_of(
    kind: str, options: Mapping[str, Any], texts: Sequence[str | tuple[str, ...]], target_option: str | None
) -> Any:
    """Make a target from the options given (None or False: not given); refuse options of another kind."""
    target = kinds()[kind]
    _check_counts(kind, texts, target_option)
    values = {}
    for option, value in options.items():
        if value is None or value is False:
            continue
        field = _field(option, target)
        if field is None and option == "positions" and target_option and target_option not in kinds():
            raise typer.BadParameter(
                f"{target_option!r} is not a kind of target ({', '.join(kinds())}), nor can it be a word of the text: "
                f"the target of this model, {kind}, is not at a token that you can choose.",
                param_hint="--target",
            )
        if field is None:
            from hf_saliency.maps.wording import either

            others = [name for name, other in kinds().items() if _field(option, other)]
            raise typer.BadParameter(
                f"--target {kind} does not use it; it is for --target {either(others)}.",
                param_hint=f"--{option.replace('_', '-')}",
            )
        values[field] = value
    return target(**values)


def _check_counts(kind: str, texts: Sequence[str | tuple[str, ...]], target_option: str | None) -> None:
    fewest, most = kinds()[kind].text_counts
    for number, text in enumerate(texts, start=1):
        count = len(text) if isinstance(text, tuple) else 1
        if not fewest <= count <= most:
            which = f" (text {number} has {count})" if len(texts) > 1 else ""
            subject = (
                f"--target {kind}" if target_option in kinds() else f"this model's target is {kind}, which"
            )
            hint = "" if kind != "next" else "; --target continuation takes a prompt and its continuation"
            raise typer.BadParameter(
                f"{subject} takes {_COUNTS.get((fewest, most), _CHOICES)}{hint}{which}.", param_hint="TEXT"
            )


def _field(option: str, target: type[hs.Target]) -> str | None:
    fields = {field.name for field in dataclasses.fields(target)}  # type: ignore[arg-type]
    return next((name for name in _FIELDS.get(option, (option,)) if name in fields), None)


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
            f"{place!r} is not a place: give 3, 7-9, chars:16:23, or a word of the text.",
            param_hint="--positions",
        )
    return [place]
