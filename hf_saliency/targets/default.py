"""The default target of a model: the question that its users ask first."""

from __future__ import annotations

import dataclasses
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, integer
from hf_saliency.targets.answers import AnswerSpan, Choice
from hf_saliency.targets.causal import Continuation, NextToken
from hf_saliency.targets.labels import Label, TokenLabel
from hf_saliency.targets.masked import MaskedToken
from hf_saliency.targets.similarity import Similarity
from hf_saliency.targets.target import Target

_DEFAULTS: dict[str, type[Target]] = {
    target.__name__: target
    for target in (Label, TokenLabel, AnswerSpan, Choice, Continuation, MaskedToken, NextToken, Similarity)
}


def default_target(model: TextModel) -> Target:
    """Return the target to explain by default; ``tasks.PRECEDENCE`` decides which task of a model counts."""
    for task in tasks.tasks_of(model.model):
        return _DEFAULTS[task.target]()
    raise SaliencyError(
        f"{type(model.model).__name__} has no default target, since its class does not tell the task. Give one: "
        "target=hs.Output(lambda output, inputs: ...) for any number of its output, hs.Label() for labels of a text, "
        "hs.TokenLabel() for labels of tokens, hs.MaskedToken() for a masked language model, hs.NextToken() for a "
        f"causal one, hs.Similarity() for an encoder.{tasks.loading_advice(model.model)}",
        page="tasks/own_heads#your-own-heads-and-targets",
    )


def summary(model: TextModel | None) -> str:
    """Describe a model in one line, with its default target if it has one; None means that no model is loaded yet."""
    if model is None:
        return "no model"
    return ", ".join([str(model), *(f"target {task.target}()" for task in tasks.tasks_of(model.model)[:1])])


def as_target(target: Any, model: TextModel) -> Target:
    """Return the target or, for a word, the default target at that word; refuse targets that the model lacks."""
    if isinstance(target, Target):
        target.check(model)
        return target
    at_word: Any = default_target(model) if isinstance(target, str) else None
    if not hasattr(at_word, "where"):
        raise SaliencyError(f"target={target!r}: give a target such as {_example(model, target)}.")
    return dataclasses.replace(at_word, where=target)  # type: ignore[no-any-return]


def target_with(keyword: str, model: TextModel) -> str:
    """The name of a target that takes a keyword, preferably the model's default target; empty if none does."""
    defaults = [_DEFAULTS[task.target] for task in tasks.tasks_of(model.model)]
    for cls in (*defaults, *_DEFAULTS.values()):
        if keyword in {field.name for field in dataclasses.fields(cls)}:  # type: ignore[arg-type]
            return cls.__name__
    return ""


def _example(model: TextModel, value: object) -> str:
    """An example of a target for this model, with the word or number that a user passed instead of a target."""
    name = next((task.target for task in tasks.tasks_of(model.model)), "Label")
    number = integer(value)
    argument = repr(value) if isinstance(value, str) else "" if number is None else repr(number)
    if name == "Similarity" or not argument:
        return f"hs.{name}()"
    return f"hs.{name}({'label=' if name == 'TokenLabel' else ''}{argument})"
