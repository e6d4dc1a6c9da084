"""Tasks: the purpose of a model's head, according to the mappings of transformers' auto classes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Task:
    """The purpose of a head in words, the class that loads it, the mapping that lists it, and its default target."""

    name: str
    auto_class: str
    mapping: str
    target: str


CLASSIFICATION = Task(
    "classifies a text",
    "AutoModelForSequenceClassification",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "Label",
)
TOKENS = Task(
    "labels tokens",
    "AutoModelForTokenClassification",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "TokenLabel",
)
ANSWERS = Task(
    "finds answers in a text",
    "AutoModelForQuestionAnswering",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "AnswerSpan",
)
CHOICE = Task(
    "chooses among texts", "AutoModelForMultipleChoice", "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES", "Choice"
)
SEQ2SEQ = Task(
    "writes a text for another",
    "AutoModelForSeq2SeqLM",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "Continuation",
)
MASKED = Task("fills masks", "AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", "MaskedToken")
CAUSAL = Task("continues a text", "AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "NextToken")
IMAGE_TEXT = Task(
    "continues a text that contains images",
    "AutoModelForImageTextToText",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "NextToken",
)
NEXT_SENTENCE = Task(
    "says whether a text follows another",
    "AutoModelForNextSentencePrediction",
    "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES",
    "Label",
)
ENCODING = Task("embeds a text", "AutoModel", "MODEL_MAPPING_NAMES", "Similarity")
TEXT_ENCODING = Task(
    "embeds a text", "AutoModelForTextEncoding", "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES", "Similarity"
)

# The first of these tasks that lists the model's class decides on the default target. A head made for one task comes
# before a language model's. BART and mBART are listed as masked and as sequence-to-sequence models, and write texts;
# XLM and FlauBERT are listed as masked and as causal models, and fill masks.
PRECEDENCE = (
    CLASSIFICATION,
    TOKENS,
    ANSWERS,
    CHOICE,
    NEXT_SENTENCE,
    SEQ2SEQ,
    MASKED,
    CAUSAL,
    IMAGE_TEXT,
    ENCODING,
    TEXT_ENCODING,
)

# Tasks by their names in transformers' pipelines.
PIPELINES = {
    "fill-mask": MASKED,
    "text-generation": CAUSAL,
    "text2text-generation": SEQ2SEQ,
    "summarization": SEQ2SEQ,
    "translation": SEQ2SEQ,
    "text-classification": CLASSIFICATION,
    "sentiment-analysis": CLASSIFICATION,
    "token-classification": TOKENS,
    "ner": TOKENS,
    "question-answering": ANSWERS,
    "multiple-choice": CHOICE,
    "feature-extraction": ENCODING,
}


@functools.cache
def _classes(task: Task) -> frozenset[str]:
    from transformers.models.auto import modeling_auto

    names: set[str] = set()
    for value in getattr(modeling_auto, task.mapping).values():
        names.update([value] if isinstance(value, str) else value)
    return frozenset(names)


def tasks_of(model: object) -> tuple[Task, ...]:
    """Return the tasks of a model or a class name, by precedence; empty for a class that transformers does not list.

    A user's class has the tasks of the nearest transformers class that it inherits from, or those it is registered
    for. Code that comes with a checkpoint is registered when ``AutoModelFor...`` loads it.
    """
    if isinstance(model, str):
        names = [model]
    else:
        from hf_saliency.adapter.sentence_models import embeds_sentences

        if embeds_sentences(model):
            return (ENCODING,)
        names = [cls.__name__ for cls in type(model).__mro__]
    for name in names:
        listed = tuple(task for task in PRECEDENCE if name in _classes(task))
        if listed:
            return listed
    return tuple(task for task in PRECEDENCE if _is_registered(model, task))


def _is_registered(model: Any, task: Task) -> bool:
    from transformers.models.auto import modeling_auto

    mapping = getattr(modeling_auto, task.mapping.removesuffix("_NAMES"))
    registered = mapping.get(type(getattr(model, "config", None)), ())
    return isinstance(model, registered)


def is_listed(task: Task, model_type: str) -> bool:
    """Whether transformers has a class with this head for a model type, such as ``"bert"``."""
    from transformers.models.auto import modeling_auto

    return model_type in getattr(modeling_auto, task.mapping)


def loading_advice(model: object) -> str:
    """Return advice on the class to load, for a transformers class with several heads or one without a target."""
    model_type: Any = getattr(getattr(model, "config", None), "model_type", None)
    of_transformers = any(cls.__module__.startswith("transformers.models.") for cls in type(model).__mro__)
    language = (MASKED, CAUSAL, SEQ2SEQ) if of_transformers and model_type else ()
    heads = [task for task in language if is_listed(task, model_type)]
    if not heads:
        return ""
    calls = " or ".join(f"{task.auto_class}.from_pretrained(name)" for task in heads)
    return f" Its model for one task is loaded by {calls}."


def check(model: object, wanted: Task, target: str) -> None:
    """Refuse a target that does not fit a model's head; a class that transformers does not list may have any head."""
    known = tasks_of(model)
    if known and all(task.target != wanted.target for task in known):
        raise SaliencyError(
            f"{target} explains a model that {wanted.name}, but {type(model).__name__} {known[0].name}: explain "
            f"that with target=hs.{known[0].target}(), or load a model with {wanted.auto_class}.from_pretrained(name)."
        )
