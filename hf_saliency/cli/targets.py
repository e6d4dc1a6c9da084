"""From the command line to what is explained."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

import hf_saliency as hs
from hf_saliency.adapter import tasks


@dataclasses.dataclass(frozen=True)
class Kind:
    """A value of ``--target``.

    Parameters
    ----------
    target
        The public name of the target.
    heads
        What the model's head may be for.
    fewest, most
        How many texts belong together in one explanation.
    texts
        Which these are, and the options that give them.
    """

    target: str
    heads: tuple[tasks.Task, ...]
    fewest: int = 1
    most: int = 1
    texts: str = "one text"


_MANY = 10**6
_TWO = "one text, or two that belong together (--pair)"
KINDS = {
    "masked": Kind("MaskedToken", (tasks.MASKED,)),
    "unmasked": Kind("UnmaskedToken", (tasks.MASKED,)),
    "span": Kind("MaskedSpan", (tasks.MASKED,)),
    "pseudo-log-likelihood": Kind("PseudoLogLikelihood", (tasks.MASKED,)),
    "next": Kind(
        "NextToken",
        (tasks.CAUSAL,),
        texts="one text; --target continuation explains a prompt and what follows it",
    ),
    "continuation": Kind("Continuation", (tasks.SEQ2SEQ, tasks.CAUSAL), 1, 2, _TWO),
    "label": Kind("Label", (tasks.CLASSIFICATION,), 1, 2, _TWO),
    "tokens": Kind("TokenLabel", (tasks.TOKENS,)),
    "answer": Kind(
        "AnswerSpan", (tasks.ANSWERS,), 2, 2, "a question and its context: QUESTION --pair CONTEXT"
    ),
    "choice": Kind(
        "Choice",
        (tasks.CHOICE,),
        3,
        _MANY,
        "a text and two choices or more: TEXT --choice ONE --choice OTHER",
    ),
    "similarity": Kind(
        "Similarity", (tasks.ENCODING, tasks.TEXT_ENCODING), 2, 2, "two texts: TEXT --pair OTHER"
    ),
}

# Options whose field has another name.
_FIELDS = {"positions": ("where",), "answer": ("answer", "choice")}


def kind_of(target: str | None) -> str | None:
    """The kind that ``--target`` names; None for a word, and for what the model is for."""
    return target if target in KINDS else None


def default_kind(explainer: hs.Explainer) -> str:
    """What is explained if ``--target`` does not say: the library's default."""
    from hf_saliency.targets.default import default_target

    default = type(default_target(explainer.text_model)).__name__
    return next(name for name, kind in KINDS.items() if kind.target == default)


def where_of(target: str | None, positions: Sequence[str]) -> list[int | str | slice] | None:
    """The places that ``--target`` and ``--positions`` name, as a target takes them."""
    if target is not None and target not in KINDS:
        if positions:
            raise typer.BadParameter(
                f"a word ({target!r}) is a place: name all of them by --positions. The kinds of targets are "
                f"{', '.join(KINDS)}.",
                param_hint="--target",
            )
        return [target]
    found: list[int | str | slice] = []
    for value in positions:
        for place in [value] if value.startswith("word:") else value.split(","):
            found += _place(place.strip())
    return found or None


def target_of(
    kind: str, options: Mapping[str, Any], texts: Sequence[str | tuple[str, ...]], asked: str | None
) -> Any:
    """The target of a kind, with the options that were given; refuses those that are of another kind.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    options
        Values by the names of options; None or False for one that was not given.
    texts
        What is explained.
    asked
        What ``--target`` said, for messages.

    Returns
    -------
    Target
    """
    chosen = KINDS[kind]
    for number, one in enumerate(texts, start=1):
        count = len(one) if isinstance(one, tuple) else 1
        if not chosen.fewest <= count <= chosen.most:
            which = f" (text {number} has {count})" if len(texts) > 1 else ""
            whose = f"--target {kind}" if asked in KINDS else f"this model's target is {kind}, which"
            raise typer.BadParameter(f"{whose} explains {chosen.texts}{which}.", param_hint="TEXT")
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    values = {}
    for option, value in given.items():
        field = _field(option, chosen)
        if field is None and option == "positions" and asked and asked not in KINDS:
            raise typer.BadParameter(
                f"{asked!r} is neither a kind of target ({', '.join(KINDS)}) nor a place, since the target "
                f"{kind} has none.",
                param_hint="--target",
            )
        if field is None:
            others = [name for name, other in KINDS.items() if _field(option, other)]
            raise typer.BadParameter(
                f"--target {kind} has none; it belongs to --target {_listed(others)}.",
                param_hint=f"--{option.replace('_', '-')}",
            )
        values[field] = value
    return getattr(hs, chosen.target)(**values)


def _field(option: str, kind: Kind) -> str | None:
    known = {one.name for one in dataclasses.fields(getattr(hs, kind.target))}
    return next((name for name in _FIELDS.get(option, (option,)) if name in known), None)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


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
