"""Faces: the fonts that Matplotlib knows, and which characters each can draw."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font, LoadFlags

_WEIGHT = {"normal": 400, "bold": 700}
_GENERIC = frozenset(("serif", "sans-serif", "cursive", "fantasy", "monospace"))
_BLANK_BRAILLE = "\u2800"


@dataclass(frozen=True)
class Face:
    """One font file, or one font of a collection.

    Parameters
    ----------
    path, index
        The file, and the number of the font in it.
    family, weight
        By these Matplotlib finds it again; no family means the first of ``rcParams["font.family"]``.
    """

    path: str
    index: int
    family: str | None
    weight: int | str

    def properties(self, size: float) -> FontProperties:
        """What to hand to Matplotlib, with a size in points."""
        return FontProperties(family=[self.family] if self.family else None, size=size, weight=self.weight)

    @property
    def font(self) -> FT2Font:
        return _open(self.path, self.index)

    @property
    def truetype(self) -> bool:
        """Whether its outlines are TrueType's, so that a PDF can hold it as type 42 (CFF's are not)."""
        return _character_map(self.path, self.index)[2]

    def covers(self, characters: Iterable[str]) -> bool:
        """Whether it can draw all of some characters."""
        return all(_draws(self.path, self.index, character) for character in characters)

    def among(self, codes: np.ndarray) -> np.ndarray:
        """Which of some sorted code points its character map names, as booleans."""
        first, last, _ = _character_map(self.path, self.index)
        place = np.searchsorted(first, codes, side="right") - 1
        return (place >= 0) & (codes <= last[place])


def base_faces(weight: str) -> tuple[Face, ...]:
    """The families that rcParams name and that are installed, in their order."""
    settings = cast(Mapping[str, Sequence[str]], mpl.rcParams)
    families: list[str] = []
    for name in settings["font.family"]:
        families += settings[f"font.{name}"] if name in _GENERIC else [name]
    return _base_faces(tuple(families), weight)


@functools.lru_cache(maxsize=64)
def _base_faces(families: tuple[str, ...], weight: str) -> tuple[Face, ...]:
    with _quiet():
        first = findfont(FontProperties(family=list(families), weight=weight))
        found = [Face(str(first), getattr(first, "face_index", 0), None, weight)]
        for family in families:
            try:
                path = findfont(FontProperties(family=[family], weight=weight), fallback_to_default=False)
            except ValueError:  # not installed
                continue
            face = Face(str(path), getattr(path, "face_index", 0), family, weight)
            if (face.path, face.index) != (found[0].path, found[0].index):
                found.append(face)
    return tuple(found)


def installed(weight: str) -> list[Face]:
    """One upright face of each family that Matplotlib lists, the nearest in weight, in order of name."""
    families: dict[str, FontEntry] = {}

    def distance(entry: FontEntry) -> tuple[int, str, int]:
        heavy = entry.weight if isinstance(entry.weight, int) else _WEIGHT.get(entry.weight, 400)
        return abs(heavy - _WEIGHT[weight]), entry.fname, getattr(entry, "index", 0)

    for entry in fontManager.ttflist:
        upright = entry.style == "normal" and entry.variant == "normal"
        if upright and (entry.name not in families or distance(entry) < distance(families[entry.name])):
            families[entry.name] = entry
    return [
        Face(entry.fname, getattr(entry, "index", 0), name, entry.weight)
        for name, entry in sorted(families.items())
        if not name.startswith("Last Resort")
    ]


@functools.lru_cache(maxsize=1)
def register_new() -> None:
    """Add to Matplotlib's list, which it keeps on disk, the fonts that were installed after it was made."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(font_manager.findSystemFonts()):
        if path not in known:
            with _quiet():
                try:
                    fontManager.addfont(path)
                except (OSError, RuntimeError, ValueError):  # a bitmap font, or none at all
                    continue


@functools.lru_cache(maxsize=48)
def _open(path: str, index: int) -> FT2Font:
    # Not Matplotlib's cached font: what is loaded and sized here must not disturb a renderer.
    font = FT2Font(path, **_numbered(index))
    font.set_size(100, 72)
    return font


@functools.cache
def _character_map(path: str, index: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """First and last code points of the stretches that a font has, and whether its outlines are TrueType's."""
    font = FT2Font(path, **_numbered(index))
    charmap = font.get_charmap()
    codes = np.sort(np.fromiter(charmap, dtype=np.int64, count=len(charmap))) if charmap else np.array([-1])
    gaps = np.flatnonzero(np.diff(codes) > 1)
    table = font.get_sfnt_table("maxp")
    truetype = table is not None and table["version"][0] >= 1
    return codes[np.r_[0, gaps + 1]], codes[np.r_[gaps, len(codes) - 1]], truetype


def _numbered(index: int) -> dict[str, Any]:
    return (
        {"face_index": index} if index else {}
    )  # Matplotlib before 3.11 knows the first font of a file only


@functools.lru_cache(maxsize=1 << 16)
def _draws(path: str, index: int, character: str) -> bool:
    font = _open(path, index)
    glyph = font.get_char_index(ord(character))
    if not glyph:
        return False
    if character.isspace() or character == _BLANK_BRAILLE:
        return True
    font.load_glyph(glyph, flags=LoadFlags.NO_HINTING)
    return len(font.get_path()[0]) > 0  # a colour font may have empty outlines


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the font manager logs about a family that it does not find."""
    log: Any = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
