"""Label: the target of classifiers of a text or a pair of texts."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from hf_saliency.adapter import hooks, tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError, Scale, integer, one_of, real
from hf_saliency.maps import spans
from hf_saliency.targets.readout import Activation, Readout, text_logits, token_logits
from hf_saliency.targets.target import (
    PAIR,
    PREDICTED,
    LogitRef,
    Row,
    Target,
    contrasts,
    is_token,
    settle_contrasts,
    settle_strings,
    text_or_pair,
)
from hf_saliency.targets.where import Where, checked, plain_tokens, positions, settle_where

_ONE_LABEL = "give a label, as its name or its index"


@dataclass(frozen=True)
class Label(Target):
    """A classifier's score of a label; by default, the one that it predicts.

    A tuple of two texts is a pair, such as premise and hypothesis; the map shows both. Probabilities are softmax for
    labels that exclude each other, and sigmoid for a multi-label head (``problem_type="multi_label_classification"``).
    The score of a regression head is its value.

    Parameters
    ----------
    label
        A name in ``model.config.id2label``, an index, or a list of these with one target each. None for the most
        probable label.
    all_labels
        Explain every label, one target each.
    threshold
        Explain every label with at least this probability, one target each, the most probable first; for heads whose
        labels do not exclude each other.
    against
        A label whose score is subtracted (a contrast); a list makes one target for each entry, in this order.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if more than one of ``label``, ``all_labels`` and ``threshold`` is given. Explaining a
        text raises it if the model has no such label (the message lists the model's labels), or if no label reaches the
        threshold.

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

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        return (tasks.CLASSIFICATION, tasks.NEXT_SENTENCE)

    kind = "label"
    text_counts = (1, 2)

    label: str | int | Sequence[str | int] | None = None
    all_labels: bool = False
    against: str | int | Sequence[str | int] | None = None
    unit: Scale = "logit"
    threshold: float | None = None

    def __post_init__(self) -> None:
        settle_strings(self)
        settle_contrasts(self, is_token, _ONE_LABEL)
        if self.threshold is not None:
            self._check_threshold()
        if self.all_labels and self.label is not None:
            raise SaliencyError(f"label={self.label!r} and all_labels=True exclude each other.")
        if isinstance(self.label, (list, tuple)) and not self.label:
            raise SaliencyError("label=[] is empty: give a label, a list of some, or all_labels=True.")
        if isinstance(self.label, list):
            object.__setattr__(self, "label", tuple(self.label))

    def _check_threshold(self) -> None:
        object.__setattr__(self, "threshold", real(self.threshold, "threshold", "0.5", below=1))
        if self.all_labels or self.label is not None:
            other = "all_labels=True" if self.all_labels else f"label={self.label!r}"
            raise SaliencyError(
                f"threshold={self.threshold!r} and {other} exclude each other: give one of them."
            )

    def check(self, model: TextModel) -> None:
        super().check(model)
        _check_number(model, self)
        if self.threshold is not None and _regression(model):
            raise SaliencyError(
                f"{type(model.model).__name__} predicts a number, which has no probability: give Label() without "
                "threshold=."
            )

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        return text_or_pair(texts, self, model, overflow)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        labels = names(model)
        others = _contrast_ids(self.against, labels)
        labels_or_ids: Sequence[Any]
        if self.all_labels:
            labels_or_ids = sorted(labels)
            if not labels_or_ids:
                raise SaliencyError(
                    f"{type(model.model).__name__} does not name its labels: give their indices, Label([0, 1])."
                )
        elif self.threshold is not None:
            labels_or_ids = self._probable(encoding, model)
        elif self.label is None:
            labels_or_ids = [0] if _regression(model) else [PREDICTED]
        else:
            labels_or_ids = self.label if isinstance(self.label, tuple) else [self.label]
        ids = [i if i == PREDICTED and self.label is None else label_id(i, labels) for i in labels_or_ids]
        return [Row(encoding, (LogitRef(int(i), 0, against),)) for i in ids for against in others]

    def _probable(self, encoding: Encoding, model: TextModel) -> list[int]:
        """The labels whose probability reaches the threshold, the most probable first."""
        readout = self.readout(model)
        with torch.no_grad():
            logits = readout.logits(model.run(encoding), {"text": torch.tensor([0])})[0, 0]
            chances: list[float] = readout.probabilities(logits.float()).tolist()
        order = sorted(range(len(chances)), key=lambda i: -chances[i])
        assert self.threshold is not None
        chosen = [i for i in order if chances[i] >= self.threshold]
        if not chosen:
            best = names(model).get(order[0], str(order[0]))
            raise SaliencyError(
                f"no label has a probability of at least {self.threshold} in this text; the most probable, {best!r}, "
                f"has {chances[order[0]]:.2g}: give a lower threshold=, or leave the text out."
            )
        return chosen

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        config = model.config
        padless = config is not None and getattr(config, "pad_token_id", None) is None
        return Readout(
            text_logits,
            "value" if _regression(model) else self.unit,
            _activation(model),
            labels_at_end=len(names(model)) if padless else 0,
            names=not _regression(model),
        )

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        return PAIR if len(encoding.texts) == 2 else ()

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        labels = getattr(getattr(model.model, "config", None), "id2label", None) or {}
        return str(labels[index]) if index in labels else names(model).get(index, str(index))


def names(model: TextModel) -> dict[int, str]:
    """The labels of a classifier by their index; empty for a module without a configuration."""
    config = getattr(model.model, "config", None)
    labels: Mapping[Any, Any] = getattr(config, "id2label", None) or {}
    return {int(index): str(name) for index, name in labels.items()}


def label_id(label: str | int, labels: Mapping[int, str]) -> int:
    """Return the index of a label given by name or index; refuse anything else."""
    index = integer(label)
    if index is not None and (index in labels or (not labels and index >= 0)):
        return index
    text = label if isinstance(label, str) else ""
    matches = [i for i, name in labels.items() if text and name == text]
    matches = matches or [i for i, name in labels.items() if text and name.casefold() == text.casefold()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise SaliencyError(
            f"the labels {', '.join(map(str, matches))} are all called {label!r}: give an index."
        )
    there = ", ".join(f"{i}: {name!r}" for i, name in sorted(labels.items())) or "none by name: give an index"
    raise SaliencyError(f"label {label!r} is not one of the model's labels. It has {there}.")


def _contrast_ids(against: Any, labels: Mapping[int, str]) -> list[int | None]:
    return [None if label is None else label_id(label, labels) for label in contrasts(against)]


def _activation(model: TextModel) -> Activation:
    """Sigmoid for labels that do not exclude each other and for a single label; otherwise softmax."""
    several = getattr(model.config, "problem_type", None) == "multi_label_classification"
    return "sigmoid" if several or len(names(model)) == 1 else "softmax"


def _check_number(model: TextModel, target: Label | TokenLabel) -> None:
    """Refuse probabilities and contrasts for a head that predicts a number."""
    if _regression(model) and (target.unit != "logit" or target.against is not None):
        name = type(target).__name__
        raise SaliencyError(
            f"{type(model.model).__name__} predicts a number, which has no probability and no other label: "
            f"give {name}() without unit= and against=."
        )


def _regression(model: TextModel) -> bool:
    config = model.config
    problem = getattr(config, "problem_type", None)
    return problem == "regression" or (problem is None and len(names(model)) == 1)


Aggregation = Literal["word", "entity"]


@dataclass(frozen=True)
class TokenLabel(Target):
    """A token classifier's score of a label, for each token; by default, the label that it predicts.

    Probabilities are softmax for labels that exclude each other, and sigmoid for a multi-label head
    (``problem_type="multi_label_classification"``). The score of a head with a single number is its value.

    Parameters
    ----------
    where
        As for :class:`MaskedToken`. None for every token that is not special.
    label
        A name in ``model.config.id2label`` or an index. None for the most probable label of each token.
    aggregation
        None for one target per token. ``"word"`` for one target per word, whose score is the mean of its tokens'
        scores. ``"entity"`` for one target per predicted entity (neighbouring tokens such as ``B-PER``, ``I-PER``),
        whose score is the mean of its tokens' predicted labels' scores; tokens predicted as no entity (``O``) are left
        out.
    against
        A label whose score is subtracted (a contrast); a list makes one target for each entry, in this order.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit or aggregation, and if a label is given for entities, which have predicted labels.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import BertForTokenClassification
    >>> model, tokenizer = hs.load_demo()
    >>> explainer = hs.Explainer(BertForTokenClassification(model.config), tokenizer)  # untrained
    >>> explainer("She drank hot tea.", target=hs.TokenLabel("tea", label="LABEL_1")).targets[0].label
    'tea: LABEL_1'
    """

    task = tasks.TOKENS
    kind = "tokens"

    where: Where | Sequence[Where] | None = None
    label: str | int | None = None
    aggregation: Aggregation | None = None
    against: str | int | Sequence[str | int] | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        settle_strings(self)
        settle_contrasts(self, is_token, _ONE_LABEL)
        settle_where(self)
        one_of(self.aggregation, (None, "word", "entity"), "aggregation")
        if self.aggregation == "entity" and self.label is not None:
            raise SaliencyError(
                f"label={self.label!r} and aggregation='entity' exclude each other: an entity has the labels that "
                "the model predicts."
            )

    def check(self, model: TextModel) -> None:
        super().check(model)
        _check_number(model, self)

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        if _regression(model):
            return Readout(token_logits, "value", _activation(model), part=0, names=False)
        return Readout(token_logits, self.unit, _activation(model), part=0)

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        return names(model).get(index, str(index))

    def label_of(self, row: Row, classes: str) -> str:
        """The token and its label."""
        if row.label or row.position is None:
            return row.label or classes
        token = row.encoding.tokens[row.position]
        text = row.encoding.texts[token.text_index][token.start : token.end]
        text = text if text.strip() else token.piece
        return f"{_quoted(text)}: {classes}"

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        labels = names(model)
        others = _contrast_ids(self.against, labels)
        # No number of a regression head is the most probable one, so explain the first, as Label does.
        index = label_id(self.label, labels) if self.label is not None else 0 if _regression(model) else None
        where = checked(self.where)
        chosen = plain_tokens(encoding, "TokenLabel(index)") if where is None else positions(where, encoding)
        if self.aggregation is not None:
            model.check_fits(len(encoding))
        if self.aggregation is None:
            read = PREDICTED if index is None else index
            return [Row(encoding, (LogitRef(read, i, other),), i) for i in chosen for other in others]
        predicted = _predicted(encoding, model)
        groups: list[tuple[list[int], int | None]]
        if self.aggregation == "word":
            groups = [
                (group, index if index is not None else predicted[group[0]])
                for whole in spans.word_groups(encoding.texts, encoding.tokens)
                if (group := [i for i in whole if i in set(chosen)])
            ]
        else:
            groups = [(group, None) for group in _entities(chosen, predicted, labels)]
        if not groups:
            raise SaliencyError(
                "the model finds no entity in this text: give TokenLabel() for every token, or leave the text out."
            )
        rows = []
        for (group, class_id), against in itertools.product(groups, others):
            refs = tuple(LogitRef(predicted[i] if class_id is None else class_id, i, against) for i in group)
            first, last = encoding.tokens[group[0]], encoding.tokens[group[-1]]
            text = encoding.texts[first.text_index][first.start : last.end]
            kind = spans.entity_label(labels.get(refs[0].class_id, str(refs[0].class_id)))[1]
            label = f"{_quoted(text)}: {kind}"
            rows.append(Row(encoding, refs, group[0], label=label, mean=True, positions=tuple(group)))
        return rows


def _quoted(text: str) -> str:
    """Put a text that ends with punctuation in quotes, so that no colon follows the punctuation."""
    return f"“{text}”" if unicodedata.category(text[-1])[0] in "PS" else text


def _predicted(encoding: Encoding, model: TextModel) -> list[int]:
    """The most probable label of each token."""
    output = model.run(encoding)
    logits = hooks.tensor(output, "logits", 3, "(batch, tokens, labels)", "load a token classifier.")
    label_ids: list[int] = logits[0].argmax(dim=-1).tolist()
    return label_ids


def _entities(chosen: Sequence[int], predicted: Sequence[int], labels: Mapping[int, str]) -> list[list[int]]:
    """Group the neighbouring tokens of each entity."""
    order = sorted(chosen)
    names = [labels.get(predicted[i], str(predicted[i])) for i in order]
    return [[order[k] for k in group] for group in spans.entities(order, names)]
