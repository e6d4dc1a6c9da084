"""Rows: one target in one text, as the place and class at which a model's output is read."""

from __future__ import annotations

from dataclasses import dataclass

from hf_saliency.adapter.encoding import Encoding

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
