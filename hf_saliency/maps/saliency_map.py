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
    """Attribution scores of one explanation: a matrix of targets x tokens and what is needed to read it.

    Made by :class:`hf_saliency.Explainer`; draws with :func:`hf_saliency.figure`. It holds no model and no
    tensor, so it can be kept, saved, sent and drawn again where neither is at hand. It copies its arguments; the
    arrays are read-only. Two maps are equal if all that they hold is equal, NaN to NaN.

    Parameters
    ----------
    texts
        The text explained, or several (sentence pairs).
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
        The method's arguments, as JSON values: a tuple becomes a list, an infinity ``"inf"``.
    signed
        Whether a score's sign has a meaning (evidence for, against). A norm is unsigned.
    convergence_delta
        Array of shape (targets,), float64: by how much the scores of a row miss the sum that the method's
        completeness axiom asks for; None for a method without one.
    provenance
        Model, revision, dtype and library versions.
    text_names
        The role of each text, such as ``("question", "context")``, for the headings of figures; empty where the texts
        have no names.
    missed_sums
        Array of shape (targets,), float64: the sum that a row should have, where its scores fail the method's
        completeness check (``convergence_delta`` says by how much), and NaN where they pass; None if all pass.
        Figures, pages and tables say so.

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
        """What to show for each token: its slice of the text, with signs for white space; its piece without one.

        Of a part of a character, such as one of its bytes, the piece too: ``"é 1/2"``.
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
        """The scores with each row divided by its largest or its summed magnitude; a row of zeros stays.

        Parameters
        ----------
        how
            ``"row_max"``, ``"row_sum"`` or ``"none"``; another word raises :class:`SaliencyError`.
        columns
            Which tokens count: ``"all"``; ``"context"``, all but the target's own; or ``"prompt"``, those of the
            first text, or of a single text those before the target. The others become 0.

        Returns
        -------
        Array of shape (targets, tokens)
            Without unit; signs are kept. A score that is NaN or infinite stays as it is, and the others of its row are
            divided as if it were not there.
        """
        counted = counted_columns(self.tokens, self.targets, columns, self.text_names)
        return normalized(self.scores, how, counted)

    def select(self, *which: int | slice | str) -> SaliencyMap:
        """The map of some targets only, in the order given; those of a slice or word in the matrix's order.

        Parameters
        ----------
        *which
            Row numbers (negative ones count from the end), slices of them, or words of the text: every target
            read inside the word.

        Returns
        -------
        SaliencyMap

        Raises
        ------
        SaliencyError
            If nothing is selected, or a row or word is not there.
        """
        rows = [row for item in which for row in rows_of(self, item)]
        if not rows:
            raise SaliencyError(f"no target is selected; this map has {len(self.targets)}: select(0), say.")
        return self.part(rows, range(len(self.tokens)))

    def drop_special(self) -> SaliencyMap:
        """The map without the columns of special tokens, and without the rows that are read at one."""
        columns = [i for i, token in enumerate(self.tokens) if not token.special]
        rows = [
            i
            for i, t in enumerate(self.targets)
            if t.position is None or not set(columns).isdisjoint(t.positions)
        ]
        return self.part(rows, columns)

    def part(self, rows: Sequence[int], columns: Sequence[int]) -> SaliencyMap:
        """The map of some rows and columns by number; a row whose own column is gone stands at none.

        Parameters
        ----------
        rows
            Numbers of targets from 0, in the order wanted.
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
        """The map with the rows of one group summed into one, as for the tokens of an entity or a word.

        Parameters
        ----------
        by
            ``"entity"`` merges the rows of neighbouring tokens that one entity labels, as
            :class:`hf_saliency.TokenLabel` gives them; a sequence of labels, one a row, merges the rows that have
            equal ones and gives their label to the sum.

        Returns
        -------
        SaliencyMap
            Scores, explained scores and completeness deltas are summed; the groups stand in the order of their first
            rows. A merged row has no predictions.

        Raises
        ------
        SaliencyError
            If there is not one label for each row, no row has an entity for a label, or rows of different units would
            be summed.

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
        """The map with the columns of a word's pieces merged into one; rows stay as they are.

        Words are those of :func:`hf_saliency.maps.spans.words`, and a token that covers several words joins them.
        Special tokens stay alone. A map of words is returned as it is.

        Parameters
        ----------
        reduction
            ``"sum"``, ``"mean"``, ``"norm"`` (the 2-norm; for the gradient norm of order 2 that is the norm of the
            gradient in all pieces at once), ``"norm_1"`` (sum of magnitudes), ``"max"`` (the score of largest
            magnitude, its sign kept) or ``"absmax"`` (that magnitude); another word raises :class:`SaliencyError`.
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
            Where; an existing file is replaced once the new one is complete.
        """
        storage.save(self, path)

    @classmethod
    @checks_call
    def load(cls, path: str | os.PathLike[str]) -> SaliencyMap:
        """Read a map that :meth:`save` wrote; it equals the one saved.

        Parameters
        ----------
        path
            The file; if it is not a map, damaged, or of a newer format, :class:`SaliencyError` says so.

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
        """The map of attributions that another tool computed, such as Captum itself.

        Parameters
        ----------
        attributions
            Tensor or array of shape (tokens,), (tokens, width), (targets, tokens) or (targets, tokens, width), on
            any device and of any precision. NaN is kept.
        encoding
            The tokens of these attributions: what ``explainer.encode(text)`` returns, or ``tokenizer(text)`` of a fast
            tokenizer of transformers, or one element ``batch[i]`` of several texts. Padding is left out, together
            with its attributions.
        text
            The string that was encoded, or a tuple of the two of a pair; only ``explainer.encode`` notes it.
        targets
            What the rows explain: a label for each, or a :class:`TargetRow`, which knows its position, score and
            unit as well. A label alone means a logit whose value is not known (NaN).
        method
            What made the attributions.
        arguments
            With which arguments, as JSON values.
        signed
            Whether a score's sign has a meaning; by default, if any score is below zero.
        reduction
            How a width becomes one number: ``"sum"``, ``"mean"``, ``"norm"``, ``"norm_1"``, ``"max"`` or ``"absmax"``.
        convergence_delta
            One number for each target, or None.
        provenance
            Further facts: model, versions.

        Returns
        -------
        SaliencyMap

        Raises
        ------
        SaliencyError
            If the shapes do not fit, or the tokens cannot be placed in the text.

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
        """The data of one facet for ``textualheatmap.TextualHeatmap.set_data([...])``.

        It needs a complete sweep with an unsigned method: one target at each token that is not special.
        TextualHeatmap puts the data into a script as they are, which a text from a stranger can leave:
        :func:`hf_saliency.show` and :func:`hf_saliency.page` escape them.

        Parameters
        ----------
        top_k
            How many predictions each token's ``meta`` lists, empty strings where there are fewer.

        Returns
        -------
        list of dict
            ``{"token", "meta", "heat"}`` for each token, with the heat divided by the row's maximum, and
            ``{"token", "format": True}`` for the text between two tokens.
        """
        return interop.facet(self, top_k=top_k)

    @checks_call
    def to_dataframe(self) -> pd.DataFrame:
        """One row a (target, token), as :func:`hf_saliency.to_dataframe` describes it for several maps.

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
            How to draw it, such as ``hs.Matrix()``; left out, as :func:`hf_saliency.figure` chooses.
        **options
            As for :func:`hf_saliency.figure`.

        Returns
        -------
        Figure
        """
        from hf_saliency.render.figure import figure

        return figure(self, mark, **options)

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            return attribute(self, "a SaliencyMap", name, MAP)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The scores, for ``np.asarray(heat)``."""
        return np.array(self.scores, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.targets)

    def __bool__(self) -> bool:  # a map without targets is still a map: `if heat` asks for None
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
        """Shows the map where it is the last value of a notebook's cell: static and without a script."""
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
