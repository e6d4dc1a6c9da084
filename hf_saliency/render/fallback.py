"""Fallback: which face draws each character of a figure where the fonts of rcParams have no glyph for it."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ParamSpec, TypeVar

import numpy as np
from fontTools import unicodedata as scripts

from hf_saliency.render.advice import advice
from hf_saliency.render.faces import Face, base_faces, installed, register_new
from hf_saliency.render.signs import BIDI_CONTROLS, signs
from hf_saliency.saliency_map import SaliencyMap

MISSING = "□"  # stands for a character that no font has

_P = ParamSpec("_P")
_R = TypeVar("_R")


class MissingGlyphs(UserWarning):
    """Characters of a figure that no installed font can draw."""


@dataclass(frozen=True)
class Fonts:
    """The faces of a figure, in one weight.

    Parameters
    ----------
    base
        What rcParams name.
    moved
        Scripts that the base cannot write in full: all their letters go to the same fallback.
    fallback
        The fewest faces that together have the rest, TrueType before others.
    """

    base: tuple[Face, ...]
    moved: frozenset[str]
    fallback: tuple[Face, ...]

    def face(self, cluster: str) -> Face | None:
        """The face for a letter with its marks; None if no font has it."""
        seen = [c for c in cluster if not ignorable(c)]
        moved = any(_scripts(c) & self.moved for c in seen)
        order = self.fallback + self.base if moved else self.base + self.fallback
        composed = unicodedata.normalize("NFC", "".join(seen))  # as it is shaped where a font has no mark
        return next((face for face in order if face.covers(seen) or face.covers(composed)), None)


@dataclass
class Sheet:
    """What one figure is about to draw, and what it could not."""

    wanted: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    missing: set[str] = field(default_factory=set)


_sheet: ContextVar[Sheet | None] = ContextVar("sheet", default=None)


def fonts(text: str, weight: str) -> Fonts:
    """Faces for a text, in keeping with all other text of the figure that is being drawn."""
    base = base_faces(weight)
    sheet = _sheet.get()
    wanted = frozenset() if sheet is None else sheet.wanted
    beyond = frozenset(c for c in text if c not in wanted and not c.isascii())
    return _fonts(wanted | beyond if beyond else wanted, weight, base)


def drawn_clusters() -> frozenset[str]:
    """Letters with marks, and letters of fallback faces, in the figure that is being drawn."""
    sheet = _sheet.get()
    return frozenset() if sheet is None else sheet.clusters


def missed(characters: Iterable[str]) -> None:
    """Note characters that no font has; they are named in one warning for each figure."""
    found = set(characters)
    sheet = _sheet.get()
    if sheet is not None:
        sheet.missing |= found
    elif found:
        warnings.warn(advice(found, MISSING), MissingGlyphs, stacklevel=4)


def one_sheet(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """For a function that draws maps: one choice of fonts, and one warning, for all that it draws."""

    @functools.wraps(draw)
    def drawing(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _drawing([*args, *kwargs.values()]) as sheet:
            result = draw(*args, **kwargs)
        if sheet.missing and _sheet.get() is None:
            warnings.warn(advice(sheet.missing, MISSING), MissingGlyphs, stacklevel=2)
        return result

    return drawing


@contextmanager
def _drawing(values: Sequence[Any]) -> Iterator[Sheet]:
    outer = _sheet.get()
    if outer is not None:  # drawn as part of another figure
        yield outer
        return
    text = "\n".join(each for each in _strings(values) if not each.isascii())
    shown = "".join(signs(text))
    clusters = frozenset(shown[a:b] for a, b in clusters_of(shown))
    unusual = frozenset(
        c for c in clusters if not c.isascii() and (len(c) > 1 or unicodedata.category(c)[0] != "P")
    )
    token = _sheet.set(Sheet(frozenset(shown), unusual))
    try:
        yield _sheet.get() or Sheet()
    finally:
        _sheet.reset(token)


def _strings(values: Iterable[Any]) -> Iterator[str]:
    """All that a figure of some arguments may have to write."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _strings(value)
        elif isinstance(value, SaliencyMap):
            yield from value.texts
            yield from value.text_names
            yield from (token.piece for token in value.tokens)
            for target in value.targets:
                yield target.label
                yield target.against or ""
                yield from (each.label for each in target.predictions)


@functools.lru_cache(maxsize=256)
def _fonts(wanted: frozenset[str], weight: str, base: tuple[Face, ...]) -> Fonts:
    seen = frozenset(c for c in wanted if not ignorable(c) and not c.isspace())
    uncovered = {c for c in seen if not any(face.covers(c) for face in base)}
    if not uncovered:
        return Fonts(base, frozenset(), ())
    moved = frozenset(s for c in uncovered for s in [scripts.script(c)] if s not in ("Zyyy", "Zinh", "Zzzz"))
    required = uncovered | {c for c in seen if _scripts(c) & moved}
    found, left = _cover(required, weight, base[0])
    if left & uncovered:
        register_new()
        found, left = _cover(required, weight, base[0])
    return Fonts(base, moved, tuple(found))


def _cover(required: Iterable[str], weight: str, base: Face) -> tuple[list[Face], set[str]]:
    """Greedy cover: first by TrueType faces, then by any; ties go to the face that comes first in rank."""
    left = np.array(sorted(map(ord, required)))
    faces = sorted(installed(weight), key=lambda face: _rank(face, base, left))
    chosen: list[Face] = []
    for candidates in ([face for face in faces if face.truetype], faces):
        while len(left) and candidates:
            counts = [int(np.count_nonzero(face.among(left))) for face in candidates]
            best = counts.index(max(counts))
            if not counts[best]:
                break
            face = candidates.pop(best)
            drawn = [bool(has) and face.covers(chr(c)) for c, has in zip(left, face.among(left), strict=True)]
            if any(drawn):
                chosen.append(face)
                left = left[~np.array(drawn)]
    return chosen, set(map(chr, left.tolist()))


def _rank(face: Face, base: Face, codes: np.ndarray) -> tuple[bool, bool, bool, bool, bool, int, str]:
    """Plain families of the base's kind before others."""
    family = face.family or ""
    serif = "Serif" in base.font.family_name
    special = any(
        word in family for word in ("Mono", "Condensed", "Display", "UI", "Kufi", "Nastaliq", "Looped")
    )
    local = {"JP": (0x3040, 0x30FF), "KR": (0xAC00, 0xD7A3), "TC": (0x3100, 0x312F)}
    used = next((end for end, (a, b) in local.items() if ((codes >= a) & (codes <= b)).any()), "SC")
    regional = "CJK" in family and not family.endswith(used)
    noto = not family.startswith("Noto")
    return special, regional, ("Serif" in family) != serif, noto, "Sans" not in family, len(family), family


@functools.lru_cache(maxsize=1 << 14)
def _scripts(character: str) -> frozenset[str]:
    return frozenset(scripts.script_extension(character)) - {"Zyyy", "Zinh", "Zzzz"}


@functools.lru_cache(maxsize=1 << 14)
def ignorable(character: str) -> bool:
    """Whether a character is never drawn itself, so that a font need not have it."""
    return character in BIDI_CONTROLS or unicodedata.category(character) == "Cf" or _selector(ord(character))


def _selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F or code == 0x34F


def clusters_of(text: str) -> list[tuple[int, int]]:
    """Visible characters: letters with their marks, emoji with what joins and colours them, jamo of a syllable."""
    starts = [i for i in range(len(text)) if i == 0 or not _continues(text[i - 1], text[i])]
    return list(pairwise([*starts, len(text)]))


def _continues(before: str, character: str) -> bool:
    if character.isascii():
        return False
    code = ord(character)
    jamo = 0x1160 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF
    mark = unicodedata.category(character)[0] == "M" or 0x1F3FB <= code <= 0x1F3FF
    joins = character in "\u200c\u200d" or 0xE0020 <= code <= 0xE007F
    return before != "\n" and (jamo or mark or joins or before == "\u200d")
