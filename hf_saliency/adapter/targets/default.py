"""The default target of a model: what its users would ask first."""

from __future__ import annotations

from hf_saliency.adapter import tasks
from hf_saliency.adapter.targets.answer_span import AnswerSpan
from hf_saliency.adapter.targets.choice import Choice
from hf_saliency.adapter.targets.continuation import Continuation
from hf_saliency.adapter.targets.label import Label
from hf_saliency.adapter.targets.masked_token import MaskedToken
from hf_saliency.adapter.targets.next_token import NextToken
from hf_saliency.adapter.targets.similarity import Similarity
from hf_saliency.adapter.targets.target import Target
from hf_saliency.adapter.targets.token_label import TokenLabel
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError

_DEFAULTS: dict[str, type[Target]] = {
    target.__name__: target
    for target in (Label, TokenLabel, AnswerSpan, Choice, Continuation, MaskedToken, NextToken, Similarity)
}


def default_target(model: TextModel) -> Target:
    """What is explained if nothing else is asked for; ``tasks.PRECEDENCE`` says which task of a model counts.

    Parameters
    ----------
    model
        A model.

    Returns
    -------
    Target

    Raises
    ------
    SaliencyError
        If the model's class is none that transformers lists for a task.
    """
    for task in tasks.tasks_of(model.model):
        return _DEFAULTS[task.target]()
    raise SaliencyError(
        f"{type(model.model).__name__} is no class of transformers with a head, so say what is explained: "
        "target=hs.Output(lambda output, rows: ...) for any number of its output, hs.Label() for labels of a text, "
        "hs.TokenLabel() for labels of tokens, hs.MaskedToken() for a masked language model, hs.NextToken() for a "
        "causal one, hs.Similarity() for an encoder."
    )


def example(model: TextModel, given: object) -> str:
    """How a target of this model is written, with the word that a user gave in its place."""
    name = next((task.target for task in tasks.tasks_of(model.model)), "Label")
    word = repr(given) if isinstance(given, str) else ""
    if name == "Similarity" or not word:
        return f"hs.{name}()"
    return f"hs.{name}({'label=' if name == 'TokenLabel' else ''}{word})"
