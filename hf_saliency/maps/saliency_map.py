"""SaliencyMap: what an explanation found, as plain NumPy, apart from any model."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import Reduction, SaliencyError, Unit as Unit
from hf_saliency.maps import document, fields as map_fields, interop, spans
from hf_saliency.maps.fields import Prediction as Prediction, TargetRow as TargetRow
from hf_saliency.maps.spans import Token, word_groups
from hf_saliency.maps.static_html import static_html

Normalization = Literal["row_max", "row_sum", "none"]


def normalized(
    scores: Float[np.ndarray, "targets tokens"], how: Normalization
) -> Float[np.ndarray, "targets tokens"]:
    """A new array, as :meth:`hf_saliency.SaliencyMap.normalized` describes it."""
    if how not in get_args(Normalization):
        raise SaliencyError(f"normalized({how!r}): choose 'row_max', 'row_sum' or 'none'.")
    values = scores.copy()
    finite = np.isfinite(values)
    if how != "none":
        values /= _divisor(np.where(finite, np.abs(values), 0).max(axis=1, initial=0))
    if how == "row_sum":  # of numbers of at most 1, so that no sum overflows
        values /= _divisor(np.where(finite, np.abs(values), 0).sum(axis=1))
    return values


def _divisor(of_row: Float[np.ndarray, " targets"]) -> Float[np.ndarray, "targets 1"]:
    return np.where(of_row == 0, 1, of_row)[:, None]


def rows_of(saliency_map: SaliencyMap, item: int | slice | str) -> list[int]:
    """Row numbers, negative ones too, of what :meth:`hf_saliency.SaliencyMap.select` was given."""
    count = len(saliency_map.targets)
    if isinstance(item, slice):
        return list(range(count))[item]
    if isinstance(item, str):
        return _rows_at(saliency_map, item)
    try:
        row = operator.index(item)
    except TypeError as error:
        raise SaliencyError(
            f"select({item!r}): give row numbers, slices or words one by one, as in select(0, -1, 'word')."
        ) from error
    if not -count <= row < count:
        raise SaliencyError(f"there is no target {row}: this map has {count}, counted from 0.")
    return [row]


def _rows_at(saliency_map: SaliencyMap, word: str) -> list[int]:
    """The targets that are read inside a word."""
    columns: set[int] = set()
    for number, text in enumerate(saliency_map.texts):
        own = [(t.start, t.end) if t.text_index == number else (0, 0) for t in saliency_map.tokens]
        for start, end in spans.occurrences(text, word):
            columns.update(spans.overlapping(own, start, end))
    rows = [i for i, target in enumerate(saliency_map.targets) if not columns.isdisjoint(target.positions)]
    if not rows:
        named = [repr(target.label) for target in saliency_map.targets]
        there = ", ".join(named[:20]) + (", ..." if len(named) > 20 else "")
        raise SaliencyError(f"no target stands at the word {word!r}; the targets are {there or 'none'}.")
    return rows


WordReduction = Literal["sum", "mean", "max", "norm"]

_REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda columns: columns.sum(axis=1),
    "mean": lambda columns: columns.mean(axis=1),
    "max": lambda columns: np.take_along_axis(columns, np.abs(columns).argmax(axis=1)[:, None], axis=1)[:, 0],
    "norm": lambda columns: np.hypot.reduce(columns, axis=1),  # squares could leave the range
}


def check_reduction(reduction: str) -> None:
    """Refuse a reduction that does not exist."""
    if reduction not in _REDUCTIONS:
        raise SaliencyError(f"words({reduction!r}): choose one of {', '.join(map(repr, _REDUCTIONS))}.")


def merged(texts: Sequence[str], pieces: Sequence[Token]) -> Token:
    """The token that stands for several, named by what it covers."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    start, end = min(token.start for token in pieces), max(token.end for token in pieces)
    return dataclasses.replace(first, piece=texts[first.text_index][start:end], start=start, end=end)


def reduced(
    scores: Float[np.ndarray, "targets tokens"], columns: Sequence[Sequence[int]], reduction: WordReduction
) -> Float[np.ndarray, "targets words"]:
    """One column for each group, in the scores' own dtype; the arithmetic is float64's."""
    exact = scores.astype(np.float64)
    found = np.empty((len(scores), len(columns)), scores.dtype)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which is what is known of it
        for i, group in enumerate(columns):
            found[:, i] = _REDUCTIONS[reduction](exact[:, group])
    return found


_WIDTH = 80


def summary(saliency_map: SaliencyMap) -> str:
    """Shape, text, method, what is explained and by which model; no line is longer than 80 characters."""
    m = saliency_map
    units = " ".join(sorted({target.unit for target in m.targets})) or "no unit"
    sign = "signed" if m.signed else "unsigned"
    shape = f"{_count(len(m.targets), 'target')} x {_count(len(m.tokens), 'token')}"
    details = ", ".join(f"{key}={value!r}" for key, value in m.arguments.items())
    lines = [
        f"SaliencyMap: {shape}, {units}, {sign} {m.scores.dtype}",
        f"  text     {' | '.join(map(repr, m.texts))}",
        f"  targets  {', '.join(repr(target.label) for target in m.targets[:20]) or 'none'}",
        f"  method   {m.method}({details})",
    ]
    bad = int(np.sum(~np.isfinite(m.scores)))
    if bad:
        lines.append(f"  scores   {bad} of {m.scores.size} not finite")
    if m.convergence_delta is not None and m.convergence_delta.size:
        lines.append(f"  delta    {np.abs(m.convergence_delta).max():.2e} (largest of a row)")
    if "model" in m.provenance:
        lines.append(f"  model    {m.provenance['model']}")
    return "\n".join(_short(line) for line in lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(line: str) -> str:
    line = " ".join(line.splitlines())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."


@dataclass(frozen=True, eq=False, repr=False)
class SaliencyMap:
    """Attribution scores of one explanation: a matrix of targets x tokens and what is needed to read it.

    Made by :class:`hf_saliency.Explainer`; draws with :func:`hf_saliency.figure`. It holds no model and no
    tensor, so it can be kept, saved, sent and drawn anew where neither is at hand. What is given is copied;
    the arrays are read-only. Two maps are equal if all that they hold is equal, NaN to NaN.

    Parameters
    ----------
    texts
        The text explained, or several (sentence pairs).
    tokens
        The columns, special tokens included.
    targets
        The rows.
    scores
        Array of shape (targets, tokens), raw: never normalised. Float64 for a float64 model, else float32;
        lower precision becomes float32.
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
        What each text is, such as ``("question", "context")``, for the headings of figures; empty where the texts
        have no names.

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

    def __post_init__(self) -> None:
        fields = {
            "texts": map_fields.tuple_of(str, self.texts, "texts"),
            "tokens": map_fields.tuple_of(Token, self.tokens, "tokens"),
            "targets": map_fields.tuple_of(TargetRow, self.targets, "targets"),
            "scores": map_fields.frozen_scores(self.scores),
            "method": map_fields.string(self.method, "method"),
            "arguments": map_fields.json_object(self.arguments, "arguments"),
            "signed": bool(self.signed),
            "convergence_delta": map_fields.frozen_delta(self.convergence_delta),
            "provenance": map_fields.json_object(self.provenance, "provenance"),
            "text_names": map_fields.tuple_of(str, self.text_names, "text_names"),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        map_fields.check_names(self.text_names, self.texts)
        map_fields.check_places(self.texts, self.tokens, self.targets)
        map_fields.check_shapes(self.scores, self.convergence_delta, len(self.targets), len(self.tokens))

    @property
    def labels(self) -> tuple[str, ...]:
        """What to show for each token: its slice of the text, with signs for white space; its piece without one."""
        slices = [self.texts[token.text_index][token.start : token.end] for token in self.tokens]
        return tuple(
            text if text.strip() else spans.signs(text) or token.piece
            for text, token in zip(slices, self.tokens, strict=True)
        )

    def normalized(self, how: Normalization = "row_max") -> Float[np.ndarray, "targets tokens"]:
        """The scores with each row divided by its largest or its summed magnitude; a row of zeros stays.

        Parameters
        ----------
        how
            ``"row_max"``, ``"row_sum"`` or ``"none"``; another word raises :class:`SaliencyError`.

        Returns
        -------
        Array of shape (targets, tokens)
            Without unit; signs are kept. A score that is NaN or infinite stays what it is, and the others of
            its row are divided as if it were not there.
        """
        return normalized(self.scores, how)

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
        )

    def words(self, reduction: WordReduction = "sum") -> SaliencyMap:
        """The map with the columns of a word's pieces merged into one; rows stay as they are.

        A word is what :func:`hf_saliency.maps.spans.words` says, and a token that covers several words joins them.
        Special tokens stay alone. A map of words is returned as it is.

        Parameters
        ----------
        reduction
            ``"sum"``, ``"mean"``, ``"max"`` (the score of largest magnitude, its sign kept) or ``"norm"``
            (the 2-norm, unsigned; for the gradient norm of order 2 that is the norm of the gradient in all
            pieces at once); another word raises :class:`SaliencyError`. A NaN makes its word's score NaN.

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
            signed=self.signed and reduction != "norm",
        )

    def save(self, path: str | Path) -> None:
        """Write the map to one JSON file; a path that cannot be written raises :class:`SaliencyError`.

        Parameters
        ----------
        path
            Where; an existing file is replaced once the new one is complete.
        """
        document.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> SaliencyMap:
        """Read a map that :meth:`save` wrote; it equals the one saved.

        Parameters
        ----------
        path
            The file; if it is no map, damaged, or of a newer format, :class:`SaliencyError` says so.

        Returns
        -------
        SaliencyMap
        """
        return document.load(path, cls)

    @classmethod
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
        """The map of attributions that were computed elsewhere, by Captum itself, say.

        Parameters
        ----------
        attributions
            Tensor or array of shape (tokens,), (tokens, width), (targets, tokens) or (targets, tokens, width), on
            any device and of any precision. NaN is kept.
        encoding
            Which tokens these are: what ``explainer.encode(text)`` returns, or ``tokenizer(text)`` of a fast
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
            Whether a score's sign has a meaning; None for whether there are scores below zero.
        reduction
            How a width becomes one number: ``"sum"``, ``"mean"``, ``"norm"``, ``"norm_1"``, ``"max"`` or ``"absmax"``.
        convergence_delta
            One number for each target, or None.
        provenance
            What else is known: model, versions.

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
        found = interop.fields(
            attributions,
            encoding,
            text=text,
            targets=targets,
            signed=signed,
            reduction=reduction,
            convergence_delta=convergence_delta,
        )
        return cls(**found, method=method, arguments=arguments or {}, provenance=provenance or {})

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

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        """Shows the map where it is the last value of a notebook's cell: static and without a script."""
        return static_html(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SaliencyMap):
            return NotImplemented
        return (
            document.head(self) == document.head(other)
            and map_fields.same_array(self.scores, other.scores)
            and map_fields.same_array(self.convergence_delta, other.convergence_delta)
        )

    def __hash__(self) -> int:
        return hash((self.texts, self.tokens, self.method, self.scores.shape))

    def __reduce__(self) -> tuple[type[SaliencyMap], tuple[Any, ...]]:
        # Through the constructor, so that the arrays of a copy are read-only too.
        return type(self), tuple(getattr(self, f.name) for f in dataclasses.fields(self))
