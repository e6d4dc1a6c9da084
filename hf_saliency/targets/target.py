"""Target: what is explained. A target lays out the rows of a text and says what is read from the model's output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SCALES, SaliencyError, integer
from hf_saliency.targets.readout import Reading

PREDICTED = -1  # stands for the most probable class among class ids


@dataclass(frozen=True)
class Read:
    """One number that is read from the model's output.

    Parameters
    ----------
    class_id
        Whose score it is; ``PREDICTED`` for the most probable class, known once the model has run.
    position
        Where: a token of the encoding for an output with one row of logits a token; else which of the output's
        rows of logits, 0 where there is but one.
    against_id
        The class whose score is subtracted, if any.
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
    reads
        What is read from the output, at least one; the score is their sum, or their mean.
    position
        The column of the map at which the target stands, or None where it belongs to no token.
    masked
        The tokens that are replaced by the mask.
    length
        How many tokens of the last sequence the score depends on, where the model reads from left to right;
        None for all of them.
    label
        What to show for the target; empty for the name of its class.
    mean
        Whether the reads are averaged.
    positions
        All columns at which the target stands, where there are several.
    against
        What to show for what is subtracted; empty for the name of its class.
    """

    encoding: Encoding
    reads: tuple[Read, ...]
    position: int | None = None
    masked: tuple[int, ...] = ()
    length: int | None = None
    label: str = ""
    mean: bool = False
    positions: tuple[int, ...] = ()
    against: str = ""

    @property
    def against_itself(self) -> bool:
        """Whether what is subtracted is the very class that is explained."""
        return all(read.class_id == read.against_id for read in self.reads)


class Target(ABC):
    """What is explained: the type of every target, for annotations.

    Targets are frozen values; one value serves every text. For heads that no target knows there is
    :class:`Output`, which takes a function.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> isinstance(hs.Label("positive"), hs.Target)
    True
    """

    task: ClassVar[tasks.Task | None] = None  # what the model's head has to be for; None for any
    kind: ClassVar[str] = ""  # its name on the command line; a target without one is not offered there
    text_counts: ClassVar[tuple[int, int]] = (1, 1)  # the fewest and the most texts of one explanation

    @abstractmethod
    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        """The rows of a text, at least one."""

    @abstractmethod
    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        """What is read from the model's output, for texts of so many sequences."""

    def encode(self, given: Any, model: TextModel, overflow: Overflow) -> Encoding:
        """What a user gave as the tokens that the model reads: one text, unless a target says otherwise."""
        return model.encode(only_text(given, self), overflow)

    def reader(self, model: TextModel) -> Callable[[Any], Encoding]:
        """How a text is encoded that stands in the place of an explained one, whatever its length."""
        return lambda given: self.encode(given, model, "windows")

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        """What a model's head may be for; empty for any."""
        return (cls.task,) if cls.task is not None else ()

    def check(self, model: TextModel) -> None:
        """Refuse a model that has no such target."""
        if self.task is not None:
            tasks.check(model.model, self.task, type(self).__name__)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        """What each text is, in the map's headings; empty where there is one text, or nothing is known of them."""
        return ()

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        """What to show for a class."""
        return model.class_name(index)

    def label_of(self, row: Row, classes: str) -> str:
        """What to show for a row whose classes are known."""
        return row.label or classes


# What two texts are of which no more is known.
PAIR = ("first text", "second text")


def text_or_pair(given: Any, target: Target, model: TextModel, overflow: Overflow) -> Encoding:
    """A text that is read whole, or a tuple of two as one sequence."""
    if isinstance(given, tuple) and len(given) == 2:
        return model.encode(given[0], overflow, pair=given[1])
    return model.encode(only_text(given, target), overflow, whole=True)


def only_text(given: Any, target: object) -> str:
    """The one text that a target explains; refuses several."""
    if isinstance(given, str):
        return given
    name = type(target).__name__
    if isinstance(given, tuple) and len(given) == 1:
        return only_text(given[0], target)
    if isinstance(given, tuple):
        raise SaliencyError(
            f"{name} explains one text, but a tuple of {len(given)} stands for texts that belong together, such as "
            "premise and hypothesis: give a string, or a list for several explanations."
        )
    raise SaliencyError(f"a text must be a string, not {type(given).__name__}: explainer('Some text.').")


def check_unit(unit: object) -> None:
    """Refuse a unit that does not exist."""
    if unit not in SCALES:
        raise SaliencyError(f"unit={unit!r}: choose one of {', '.join(map(repr, SCALES))}.")


def check_tokens(token: object, predicted: bool, against: object) -> None:
    """Refuse a token that is given and predicted, and what is neither a string nor an id."""
    for name, value in (("token", token), ("against", against)):
        if not (value is None or isinstance(value, str) or integer(value) is not None):
            raise SaliencyError(
                f"{name}={value!r}: give one token, as a string or as a whole number, its id."
            )
    if predicted and token is not None:
        raise SaliencyError(f"token={token!r} and predicted=True exclude each other: give one of them.")
