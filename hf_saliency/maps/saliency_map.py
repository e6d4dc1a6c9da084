"""SaliencyMap: the scores of one explanation as plain NumPy, without a model."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import UNSIGNED_REDUCTIONS, Reduction, SaliencyError, check_reduction, checks_call
from hf_saliency.maps import fields, interop, spans, storage
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import Columns, Normalization, counted_columns, merged, normalized, reduced
from hf_saliency.maps.selection import merged_target, rows_of, target_groups
from hf_saliency.maps.spans import Token, word_groups
from hf_saliency.maps.static_html import static_html
from hf_saliency.maps.table import dataframe, score_columns
from hf_saliency.maps.wording import summary
from hf_saliency.synonyms import MAP, attribute

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class SaliencyMap:
    """Attribution scores of one explanation: a matrix of targets x tokens, with the data needed to read it.

    :class:`hf_saliency.Explainer` makes it, and :func:`hf_saliency.figure` draws it. It holds no model and no
    tensor, so it can be kept, saved, sent and drawn again without either. It copies its arguments, and its arrays
    are read-only. Two maps are equal if all their fields are equal; NaN equals NaN.

    Parameters
    ----------
    texts
        The explained text, or several (sentence pairs).
    tokens
        The columns, special tokens included.
    targets
        The rows.
    scores
        Array of shape (targets, tokens), raw: never normalised. Float64 for a float64 model, otherwise float32; lower
        precision becomes float32.
    method
        Name of the attribution method, such as ``"gradient_norm"``.
    arguments
        The method's arguments, as JSON values: a tuple becomes a list, and infinity becomes ``"inf"``.
    signed
        Whether a score's sign has a meaning (evidence for or against). A norm is unsigned.
    convergence_delta
        Array of shape (targets,), float64: by how much the scores of a row miss the sum that the method's
        completeness axiom requires; None for a method without this axiom.
    provenance
        Model, revision, dtype and library versions.
    text_names
        The role of each text, such as ``("question", "context")``, for the headings of figures; empty if the texts
        have no names.
    missed_sums
        Array of shape (targets,), float64: the sum that a row should have if its scores fail the method's
        completeness check (``convergence_delta`` is the error), and NaN if they pass; None if all rows pass.
        Figures, pages and tables show the rows that fail.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> heat.scores.shape
    (7, 9)
    >>> heat.labels[:3]
    ('[CLS]', 'Paris', 'is')
    """

    texts: tuple[str, ...]
    tokens: tuple[Token, ...]
    targets: tuple[TargetRow, ...]
    scores: Float[np.ndarray, "targets tokens"]
    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False
    convergence_delta: Float[np.ndarray, " targets"] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    text_names: tuple[str, ...] = ()
    missed_sums: Float[np.ndarray, " targets"] | None = None

    def __post_init__(self) -> None:
        values = {
            "texts": fields.tuple_of(str, self.texts, "texts"),
            "tokens": fields.tuple_of(Token, self.tokens, "tokens"),
            "targets": fields.tuple_of(TargetRow, self.targets, "targets"),
            "scores": fields.frozen_scores(self.scores),
            "method": fields.string(self.method, "method"),
            "arguments": fields.json_object(self.arguments, "arguments"),
            "signed": bool(self.signed),
            "convergence_delta": fields.frozen_delta(self.convergence_delta),
            "provenance": fields.json_object(self.provenance, "provenance"),
            "text_names": fields.tuple_of(str, self.text_names, "text_names"),
            "missed_sums": fields.frozen_sums(self.missed_sums),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        fields.check_names(self.text_names, self.texts)
        fields.check_places(self.texts, self.tokens, self.targets)
        fields.check_shapes(
            self.scores, self.convergence_delta, self.missed_sums, len(self.targets), len(self.tokens)
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The display name of each token: its slice of the text, with signs for white space.

        A token without text shows its piece, and so does a part of a character, such as one of its bytes: ``"é 1/2"``.
        """
        return tuple(spans.label(self.texts[token.text_index], token) for token in self.tokens)

    @property
    def incomplete(self) -> tuple[int, ...]:
        """The rows whose scores fail the method's completeness check."""
        return () if self.missed_sums is None else tuple(np.flatnonzero(~np.isnan(self.missed_sums)).tolist())

    @checks_call
    def normalized(
        self, how: Normalization = "row_max", *, columns: Columns = "all"
    ) -> Float[np.ndarray, "targets tokens"]:
        """Divide each row of the scores by its largest or its summed magnitude; a row of zeros does not change.

        Parameters
        ----------
        how
            ``"row_max"``, ``"row_sum"`` or ``"none"``; another word raises :class:`SaliencyError`.
        columns
            Which tokens count: ``"all"``; ``"context"``, all except the target's own; or ``"prompt"``, those of the
            first text, or those before the target if there is only one text. The others become 0.

        Returns
        -------
        Array of shape (targets, tokens)
            Without a unit; signs are kept. A score that is NaN or infinite does not change and is ignored when the rest
            of its row is divided.
        """
        counted = counted_columns(self.tokens, self.targets, columns, self.text_names)
        return normalized(self.scores, how, counted)

    def select(self, *which: int | slice | str) -> SaliencyMap:
        """Select some targets, in the given order; those of one slice or word are in the order of the matrix.

        Parameters
        ----------
        *which
            Row numbers (negative ones count from the end), slices of them, or words of the text: a word selects every
            target inside it.

        Returns
        -------
        SaliencyMap

        Raises
        ------
        SaliencyError
            If nothing is selected, or a row or word does not exist.
        """
        rows = [row for item in which for row in rows_of(self, item)]
        if not rows:
            raise SaliencyError(
                f"no target is selected: select at least one of the {len(self)}, such as select(0)."
            )
        return self.part(rows, range(len(self.tokens)))

    def drop_special(self) -> SaliencyMap:
        """Leave out the columns of special tokens, and the rows whose target is a special token."""
        columns = [i for i, token in enumerate(self.tokens) if not token.special]
        rows = [
            i
            for i, t in enumerate(self.targets)
            if t.position is None or not set(columns).isdisjoint(t.positions)
        ]
        return self.part(rows, columns)

    def part(self, rows: Sequence[int], columns: Sequence[int]) -> SaliencyMap:
        """Select rows and columns by number; a row whose own column is left out keeps no position.

        Parameters
        ----------
        rows
            Numbers of targets from 0, in the desired order.
        columns
            Numbers of tokens.

        Returns
        -------
        SaliencyMap
        """
        new = {old: i for i, old in enumerate(columns)}
        return dataclasses.replace(
            self,
            tokens=tuple(self.tokens[i] for i in columns),
            targets=tuple(self.targets[i].moved(new) for i in rows),
            scores=self.scores[np.ix_(rows, columns)],
            convergence_delta=None if self.convergence_delta is None else self.convergence_delta[list(rows)],
            missed_sums=None if self.missed_sums is None else self.missed_sums[list(rows)],
        )

    @checks_call
    def merge_targets(self, by: str | Sequence[str] = "entity") -> SaliencyMap:
        """Sum each group of rows into one, such as the rows of the tokens of an entity or a word.

        Parameters
        ----------
        by
            ``"entity"`` merges the rows of neighbouring tokens with the same entity label, as
            :class:`hf_saliency.TokenLabel` makes them. A sequence of one label per row merges the rows with equal
            labels; their sum gets that label.

        Returns
        -------
        SaliencyMap
            Scores, explained scores and completeness deltas are summed; the groups are in the order of their first
            rows. A merged row has no predictions.

        Raises
        ------
        SaliencyError
            If there is not one label for each row, no row has an entity label, or rows of different units would be
            summed.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> heat = hs.Explainer(*hs.load_demo())("She drank tea.", target=hs.MaskedToken([1, 2, 3]))
        >>> heat.merge_targets(["verb phrase", "verb phrase", "object"]).scores.shape
        (2, 8)
        """
        groups = target_groups(self, by)
        sums = reduced(self.scores.T, [rows for _, rows in groups], "sum").T
        deltas, missed = self.convergence_delta, self.missed_sums
        return dataclasses.replace(
            self,
            targets=tuple(merged_target([self.targets[i] for i in rows], label) for label, rows in groups),
            scores=sums,
            convergence_delta=None
            if deltas is None
            else np.array([deltas[rows].sum() for _, rows in groups]),
            missed_sums=None if missed is None else np.array([missed[rows].sum() for _, rows in groups]),
        )

    @checks_call
    def words(self, reduction: Reduction = "sum") -> SaliencyMap:
        """Merge the columns of each word's pieces into one; the rows do not change.

        Words are those of :func:`hf_saliency.maps.spans.words`, and a token that covers several words joins them.
        Special tokens are never merged. A map of words is returned unchanged.

        Parameters
        ----------
        reduction
            ``"sum"``, ``"mean"``, ``"norm"`` (the 2-norm; for the gradient norm of order 2 that is the norm of the
            gradient in all pieces together), ``"norm_1"`` (sum of magnitudes), ``"max"`` (the score of largest
            magnitude, with its sign) or ``"absmax"`` (that magnitude); another word raises :class:`SaliencyError`.
            A NaN makes its word's score NaN.

        Returns
        -------
        SaliencyMap
        """
        check_reduction(reduction)
        if "words" in self.arguments:
            return self
        groups = word_groups(self.texts, self.tokens)
        new = {old: i for i, group in enumerate(groups) for old in group}
        return dataclasses.replace(
            self,
            tokens=tuple(merged(self.texts, [self.tokens[i] for i in group]) for group in groups),
            targets=tuple(target.moved(new) for target in self.targets),
            scores=reduced(self.scores, groups, reduction),
            arguments={**self.arguments, "words": reduction},
            signed=self.signed and reduction not in UNSIGNED_REDUCTIONS,
        )

    @checks_call
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map to one JSON file; a path that cannot be written raises :class:`SaliencyError`.

        Parameters
        ----------
        path
            Where to write; an existing file is replaced once the new one is complete.
        """
        storage.save(self, path)

    @classmethod
    @checks_call
    def load(cls, path: str | os.PathLike[str]) -> SaliencyMap:
        """Read a map that :meth:`save` wrote; it equals the one saved.

        Parameters
        ----------
        path
            The file; if it is not a map, is damaged, or has a newer format, :class:`SaliencyError` is raised.

        Returns
        -------
        SaliencyMap
        """
        return storage.load(path, cls)

    @classmethod
    @checks_call
    def from_attributions(
        cls,
        attributions: Any,
        encoding: Any,
        *,
        text: str | tuple[str, str] | None = None,
        targets: str | TargetRow | Sequence[str | TargetRow] | None = None,
        method: str = "attributions",
        arguments: Mapping[str, Any] | None = None,
        signed: bool | None = None,
        reduction: Reduction = "sum",
        convergence_delta: Any = None,
        provenance: Mapping[str, str] | None = None,
    ) -> SaliencyMap:
        """Make a map from attributions that another tool computed, such as Captum itself.

        Parameters
        ----------
        attributions
            Tensor or array of shape (tokens,), (tokens, width), (targets, tokens) or (targets, tokens, width), on
            any device and of any precision. NaN is kept.
        encoding
            The tokens of these attributions: the result of ``explainer.encode(text)``, or of ``tokenizer(text)`` with a
            fast tokenizer of transformers, or one element ``batch[i]`` of several texts. Padding is left out, together
            with its attributions.
        text
            The string that was encoded, or a tuple of the two strings of a pair; not needed with ``explainer.encode``.
        targets
            The target of each row: a label, or a :class:`TargetRow`, which also holds its position, score and unit. A
            label alone means a logit whose value is not known (NaN).
        method
            Name of the method that computed the attributions.
        arguments
            The arguments of that method, as JSON values.
        signed
            Whether a score's sign has a meaning; by default True if any score is below zero.
        reduction
            How a width becomes one number: ``"sum"``, ``"mean"``, ``"norm"``, ``"norm_1"``, ``"max"`` or ``"absmax"``.
        convergence_delta
            One number for each target, or None.
        provenance
            Further facts, such as the model and versions.

        Returns
        -------
        SaliencyMap

        Raises
        ------
        SaliencyError
            If the shapes do not match, or the tokens cannot be placed in the text.

        Examples
        --------
        >>> import captum.attr
        >>> import hf_saliency as hs
        >>> explainer, text = hs.Explainer(*hs.load_demo()), "She drank hot tea."
        >>> score, arguments = explainer.captum(text, target=hs.MaskedToken("tea"))
        >>> found = captum.attr.InputXGradient(score).attribute(**arguments)
        >>> hs.SaliencyMap.from_attributions(found, explainer.encode(text), targets="tea").scores.shape
        (1, 9)
        """
        fields = interop.fields(
            attributions,
            encoding,
            text=text,
            targets=targets,
            signed=signed,
            reduction=reduction,
            convergence_delta=convergence_delta,
        )
        return cls(**fields, method=method, arguments=arguments or {}, provenance=provenance or {})

    @checks_call
    def to_textual_heatmap(self, *, top_k: int = 3) -> list[dict[str, Any]]:
        """Return the data of one facet for ``textualheatmap.TextualHeatmap.set_data([...])``.

        It needs a complete sweep with an unsigned method: one target at each token that is not special. TextualHeatmap
        puts the data into a script without escaping them, so an untrusted text could inject code;
        :func:`hf_saliency.show` and :func:`hf_saliency.page` escape them.

        Parameters
        ----------
        top_k
            The number of predictions in each token's ``meta``; if there are fewer, empty strings fill the list.

        Returns
        -------
        list of dict
            ``{"token", "meta", "heat"}`` for each token, with the heat divided by the row's maximum, and
            ``{"token", "format": True}`` for the text between two tokens.
        """
        return interop.facet(self, top_k=top_k)

    @checks_call
    def to_dataframe(self) -> pd.DataFrame:
        """Return a table of one row per target and token, as :func:`hf_saliency.to_dataframe` does for several maps.

        Returns
        -------
        pandas.DataFrame

        Examples
        --------
        >>> import hf_saliency as hs
        >>> explainer = hs.Explainer(*hs.load_demo())
        >>> explainer("She drank hot tea.", target=hs.MaskedToken("tea")).to_dataframe().shape  # doctest: +SKIP
        (9, 17)
        """
        return dataframe(score_columns([self]))

    @checks_call
    def plot(self, mark: Any = None, **options: Any) -> Any:
        """Draw the map: ``heat.plot(mark, width=3.25)`` is ``hs.figure(heat, mark, width=3.25)``.

        Parameters
        ----------
        mark
            How to draw it, such as ``hs.Matrix()``; by default :func:`hf_saliency.figure` chooses.
        **options
            As for :func:`hf_saliency.figure`.

        Returns
        -------
        Figure
        """
        from hf_saliency.render.figure import figure

        return figure(self, mark, **options)

    if not TYPE_CHECKING:  # otherwise a type checker would accept any attribute

        def __getattr__(self, name: str) -> Any:
            return attribute(self, "a SaliencyMap", name, MAP)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The scores, for ``np.asarray(heat)``."""
        return np.array(self.scores, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.targets)

    def __bool__(self) -> bool:  # `if heat` tests for None: a map without targets is still a map
        return True

    def __getitem__(self, item: int | slice | str) -> SaliencyMap:
        if isinstance(item, slice):
            return self.part(range(len(self))[item], range(len(self.tokens)))
        try:
            row = operator.index(item)  # type: ignore[arg-type]
        except TypeError:
            return self.select(item)
        if not -len(self) <= row < len(self):
            raise IndexError(f"there is no target {row}: this map has {len(self)}, counted from 0.")
        return self.select(row)

    def __iter__(self) -> Iterator[SaliencyMap]:
        return (self.select(row) for row in range(len(self)))

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        """Static HTML without a script, which notebooks display when the map is the last value of a cell."""
        return static_html(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SaliencyMap):
            return NotImplemented
        return (
            storage.head(self) == storage.head(other)
            and fields.same_array(self.scores, other.scores)
            and fields.same_array(self.convergence_delta, other.convergence_delta)
            and fields.same_array(self.missed_sums, other.missed_sums)
        )

    def __hash__(self) -> int:
        return hash((self.texts, self.tokens, self.method, self.scores.shape))

    def __reduce__(self) -> tuple[type[SaliencyMap], tuple[Any, ...]]:
        # Through the constructor, so that the arrays of a copy are read-only too.
        return type(self), tuple(getattr(self, f.name) for f in dataclasses.fields(self))
