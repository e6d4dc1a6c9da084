"""Label: the target of classifiers of a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.reading import Activation, Reading, text_logits
from hf_saliency.adapter.rows import PREDICTED, Read, Row
from hf_saliency.adapter.targets.target import PAIR, Target, check_unit, text_or_pair
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.given import integer
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class Label(Target):
    """A classifier's score of a label; by default of the one that it predicts.

    A tuple of two texts is a pair, such as premise and hypothesis: both are in the map. A head with several
    labels that exclude each other has probabilities by softmax, a multi-label head
    (``problem_type="multi_label_classification"``) by sigmoid; what a regression head gives is a value.

    Parameters
    ----------
    label
        A name in ``model.config.id2label``, an index, or a list of these, one target each. None for the most
        probable label.
    all_labels
        Explain every label, one target each.
    against
        A label whose score is subtracted (a contrast).
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``label`` and ``all_labels`` are given. Explaining a text raises it if the
        model has no such label, with those that it has.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import BertForSequenceClassification
    >>> model, tokenizer = hs.load_demo()
    >>> explainer = hs.Explainer(BertForSequenceClassification(model.config), tokenizer)  # untrained
    >>> heat = explainer("She drank hot tea.", target=hs.Label(all_labels=True))
    >>> [row.label for row in heat.targets]
    ['LABEL_0', 'LABEL_1']
    """

    task = tasks.CLASSIFICATION

    label: str | int | Sequence[str | int] | None = None
    all_labels: bool = False
    against: str | int | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        if self.all_labels and self.label is not None:
            raise SaliencyError(f"label={self.label!r} and all_labels=True exclude each other.")
        if isinstance(self.label, (list, tuple)) and not self.label:
            raise SaliencyError("label=[] is empty: give a label, a list of some, or all_labels=True.")
        if isinstance(self.label, list):
            object.__setattr__(self, "label", tuple(self.label))

    def check(self, model: TextModel) -> None:
        super().check(model)
        if _regression(model) and (self.unit != "logit" or self.against is not None):
            raise SaliencyError(
                f"{type(model.model).__name__} predicts a number, which has no probability and no other label: "
                "give Label() without unit= and against=."
            )

    def encode(self, given: Any, model: TextModel, overflow: Overflow) -> Encoding:
        return text_or_pair(given, self, model, overflow)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        labels = names(model)
        against = None if self.against is None else label_id(self.against, labels)
        wanted: Sequence[Any]
        if self.all_labels:
            wanted = sorted(labels)
            if not wanted:
                raise SaliencyError(
                    f"{type(model.model).__name__} does not name its labels: give their indices, Label([0, 1])."
                )
        elif self.label is None:
            wanted = [0] if _regression(model) else [PREDICTED]
        else:
            wanted = self.label if isinstance(self.label, tuple) else [self.label]
        ids = [i if i == PREDICTED and self.label is None else label_id(i, labels) for i in wanted]
        return [Row(encoding, (Read(int(i), 0, against),)) for i in ids]

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        config = model.config
        several = getattr(config, "problem_type", None) == "multi_label_classification"
        activation: Activation = "sigmoid" if several or len(names(model)) == 1 else "softmax"
        padless = config is not None and getattr(config, "pad_token_id", None) is None
        return Reading(
            text_logits,
            "value" if _regression(model) else self.unit,
            activation,
            labels_at_end=len(names(model)) if padless else 0,
            names=not _regression(model),
        )

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        return PAIR if len(encoding.texts) == 2 else ()

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        return names(model).get(index, str(index))


def names(model: TextModel) -> dict[int, str]:
    """The labels of a classifier by their index; empty for a module without a configuration."""
    config = getattr(model.model, "config", None)
    found: Mapping[Any, Any] = getattr(config, "id2label", None) or {}
    return {int(index): str(name) for index, name in found.items()}


def label_id(label: str | int, labels: Mapping[int, str]) -> int:
    """The index of a label given by name or index.

    Parameters
    ----------
    label
        What a user gave.
    labels
        Those that there are.

    Returns
    -------
    int

    Raises
    ------
    SaliencyError
        If it is none of these.
    """
    index = integer(label)
    if index is not None and (index in labels or (not labels and index >= 0)):
        return index
    text = label if isinstance(label, str) else ""
    found = [i for i, name in labels.items() if text and name == text]
    found = found or [i for i, name in labels.items() if text and name.casefold() == text.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise SaliencyError(
            f"the labels {', '.join(map(str, found))} are all called {label!r}: give an index."
        )
    there = ", ".join(f"{i}: {name!r}" for i, name in sorted(labels.items())) or "none by name: give an index"
    raise SaliencyError(f"label {label!r} is not one of the model's labels. It has {there}.")


def _regression(model: TextModel) -> bool:
    config = model.config
    problem = getattr(config, "problem_type", None)
    return problem == "regression" or (problem is None and len(names(model)) == 1)
