"""Target: the score to explain. A target lays out the rows of a text and selects the logits to read from the output."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SCALES, ChecksCall, SaliencyError, integer, no_text, one_of, plain
from hf_saliency.targets.readout import Readout

PREDICTED = -1  # as a class id: the most probable class


@dataclass(frozen=True)
class LogitRef:
    """The position of one logit in the model's output.

    Parameters
    ----------
    class_id
        The class: a token id or a label's index. ``PREDICTED`` (-1) stands for the most probable class, which is
        known once the model has run.
    position
        The token's index in the encoding if each token has logits; otherwise the row of logits, 0 if there is only one.
    against_id
        The class whose score is subtracted, if any.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.LogitRef(class_id=7, position=3)
    LogitRef(class_id=7, position=3, against_id=None)
    """

    class_id: int
    position: int = 0
    against_id: int | None = None


@dataclass(frozen=True)
class Row:
    """One target in one text: one row of the model's batch, one row of the map.

    Parameters
    ----------
    encoding
        The whole text.
    refs
        The logits that make the score, at least one: it is their sum, or their mean.
    position
        The target's column in the map; None if it belongs to no token.
    masked
        The tokens that the mask replaces, as indices into the encoding.
    length
        The number of tokens of the last sequence that the score depends on, if the model reads from left to right; None
        for all of them.
    label
        The display name of the target; empty for the name of its class.
    mean
        Whether the logits are averaged.
    positions
        All columns of the target, if there are several.
    against
        The display name of the subtracted class; empty for the class's own name.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> encoding = hs.Explainer(*hs.load_demo()).encode("She drank hot tea.")
    >>> hs.Row(encoding, (hs.LogitRef(class_id=encoding.ids[3], position=3),), position=3).against_itself
    False
    """

    encoding: Encoding
    refs: tuple[LogitRef, ...]
    position: int | None = None
    masked: tuple[int, ...] = ()
    length: int | None = None
    label: str = ""
    mean: bool = False
    positions: tuple[int, ...] = ()
    against: str = ""

    @property
    def against_itself(self) -> bool:
        """Whether the explained class is subtracted from itself."""
        return all(ref.class_id == ref.against_id for ref in self.refs)


class Target(ChecksCall, ABC):
    """The score to explain: the base class of every target, and the type for annotations.

    A target is a frozen dataclass that works for every text. To write your own, subclass it with two methods: ``rows``
    lays out a text, with one :class:`Row` for each row of the map, and ``readout`` defines how the model's output
    becomes scores. If one number per text is enough, :class:`Output` takes a function and needs no class.

    Examples
    --------
    The most probable class at the last word of a text:

    >>> from dataclasses import dataclass
    >>> import hf_saliency as hs
    >>> @dataclass(frozen=True)
    ... class LastWord(hs.Target):
    ...     def rows(self, encoding, model):
    ...         last = max(i for i, token in enumerate(encoding.tokens) if not token.special)
    ...         logit = hs.LogitRef(hs.PREDICTED, position=last)
    ...         return [hs.Row(encoding, (logit,), position=last, masked=(last,))]
    ...
    ...     def readout(self, model, parts=1):
    ...         return hs.Readout(hs.token_logits, unit="log_prob", part=0)
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("the formal study of grammar", target=LastWord())
    >>> heat.targets[0].position, heat.scores.shape
    (5, (1, 7))
    """

    task: ClassVar[tasks.Task | None] = None  # the task that the model's head must have; None for any
    kind: ClassVar[str] = ""  # its name on the command line; a target without one is not offered there
    text_counts: ClassVar[tuple[int, int]] = (1, 1)  # the fewest and the most texts of one explanation

    @abstractmethod
    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        """The rows of a text, at least one: one row of the map each."""

    @abstractmethod
    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        """The readout that turns the model's output into scores, for texts of ``parts`` sequences."""

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        """Encode the tokens that the model reads: those of one text, unless the target takes several texts."""
        return model.encode(only_text(texts, self), overflow)

    def encode_like(self, texts: Any, model: TextModel) -> Encoding:
        """Encode a text that replaces an explained one, such as a baseline, in the same way but with any length."""
        return self.encode(texts, model, "windows")

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        """The tasks that a model's head may have; empty for any."""
        return (cls.task,) if cls.task is not None else ()

    def check(self, model: TextModel) -> None:
        """Refuse a model that this target cannot explain."""
        if self.task is not None:
            tasks.check(model.model, self.task, type(self).__name__)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        """A name for each text, for the map's headings; empty for a single text."""
        return encoding.names

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        """The name of a class."""
        return model.class_name(index)

    def label_of(self, row: Row, classes: str) -> str:
        """The label of a row, given the names of its classes."""
        return row.label or classes


ONE_TOKEN = "give one token, as a string or as a whole number, its id"
# Default names for a pair of texts.
PAIR = ("first text", "second text")


def text_or_pair(texts: Any, target: Target, model: TextModel, overflow: Overflow) -> Encoding:
    """Encode a text as a whole, or a tuple of two texts as one sequence."""
    if isinstance(texts, tuple) and len(texts) == 2:
        return model.encode(texts[0], overflow, pair=texts[1])
    return model.encode(only_text(texts, target), overflow, whole=True)


def only_text(text: Any, target: object) -> str:
    """Return the one text that a target explains; refuse several."""
    if isinstance(text, str):
        return text
    name = type(target).__name__
    if isinstance(text, tuple) and len(text) == 1:
        return only_text(text[0], target)
    if isinstance(text, tuple):
        raise SaliencyError(
            f"{name} explains one text, but a tuple of {len(text)} is for texts that belong together, such as "
            "premise and hypothesis: give a string, or a list for several explanations."
        )
    raise no_text(text)


def settle_strings(target: Any, units: Sequence[str] = SCALES) -> None:
    """Check a frozen target's unit, if it has one, and turn NumPy strings in its fields into plain ones."""
    for field in dataclasses.fields(target):
        object.__setattr__(target, field.name, plain(getattr(target, field.name)))
    if hasattr(target, "unit"):
        one_of(target.unit, units, "unit")


def contrasts(against: Any) -> tuple[Any, ...]:
    """The contrasts as a tuple, one per row: all entries of a tuple, a single contrast, or None."""
    return against if isinstance(against, tuple) else (against,)


def settle_contrasts(target: Any, accepts: Callable[[Any], bool], advice: str) -> None:
    """Check a frozen target's ``against``, and turn a list into a tuple, so that it can be compared and hashed."""
    if isinstance(target.against, list):
        object.__setattr__(target, "against", tuple(target.against))
    if target.against is None:
        return
    known = contrasts(target.against)
    if not known or not all(map(accepts, known)):  # None within a list would be subtracted as the class 0
        raise SaliencyError(f"against={target.against!r}: {advice}; or a list of several, one target each.")


def is_token(value: object) -> bool:
    """Whether a value can name a token or a label: by a string or an id."""
    return isinstance(value, str) or integer(value) is not None


def check_tokens(token: object, predicted: bool) -> None:
    """Refuse a token together with ``predicted``, and anything but a string or an id."""
    if token is not None and not is_token(token):
        raise SaliencyError(f"token={token!r}: give one token, as a string or as a whole number, its id.")
    if predicted and token is not None:
        raise SaliencyError(f"token={token!r} and predicted=True exclude each other: give one of them.")
