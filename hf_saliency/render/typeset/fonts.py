"""Fallback: the face for each character of a figure, even if the fonts of rcParams have no glyph for it."""

from __future__ import annotations

import functools
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib as mpl
import numpy as np
from fontTools import unicodedata as scripts
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font, LoadFlags

from hf_saliency.errors import check_call, warn
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.render.typeset.characters import BIDI_CONTROLS, graphemes, signs

_WEIGHT = {"normal": 400, "bold": 700}
_GENERIC = frozenset(("serif", "sans-serif", "cursive", "fantasy", "monospace"))
_BLANK_BRAILLE = "\u2800"


@dataclass(frozen=True)
class Face:
    """One font file, or one font of a collection."""

    path: str
    index: int  # of the font in the file
    family: str | None  # its name for Matplotlib; None for the first of rcParams["font.family"]
    weight: int | str

    def properties(self, size: float) -> FontProperties:
        """Return the properties to pass to Matplotlib, with a size in points."""
        return FontProperties(family=[self.family] if self.family else None, size=size, weight=self.weight)

    @property
    def font(self) -> FT2Font:
        return _open(self.path, self.index)

    @property
    def truetype(self) -> bool:
        """Whether its outlines are TrueType (not CFF), so that a PDF can embed it as type 42."""
        return _character_map(self.path, self.index)[2]

    def covers(self, characters: Iterable[str]) -> bool:
        """Whether it can draw all of the given characters."""
        return all(_draws(self.path, self.index, character) for character in characters)

    def among(self, codes: np.ndarray) -> np.ndarray:
        """Return a bool for each of some sorted code points: whether its character map has it."""
        first, last, _ = _character_map(self.path, self.index)
        place = np.searchsorted(first, codes, side="right") - 1
        return (place >= 0) & (codes <= last[place])


def is_truetype(properties: FontProperties) -> bool:
    """Whether the face that Matplotlib chooses for the given properties has TrueType outlines."""
    with _quiet():
        path = findfont(properties)
    return _character_map(str(path), getattr(path, "face_index", 0))[2]


def base_faces(weight: str) -> tuple[Face, ...]:
    """The faces of the installed families that rcParams name, in order."""
    settings = cast(Mapping[str, Sequence[str]], mpl.rcParams)
    families: list[str] = []
    for name in settings["font.family"]:
        families += settings[f"font.{name}"] if name in _GENERIC else [name]
    return _base_faces(tuple(families), weight)


@functools.lru_cache(maxsize=64)
def _base_faces(families: tuple[str, ...], weight: str) -> tuple[Face, ...]:
    with _quiet():
        first = findfont(FontProperties(family=list(families), weight=weight))
        faces = [Face(str(first), getattr(first, "face_index", 0), None, weight)]
        for family in families:
            try:
                path = findfont(FontProperties(family=[family], weight=weight), fallback_to_default=False)
            except ValueError:  # not installed
                continue
            face = Face(str(path), getattr(path, "face_index", 0), family, weight)
            if (face.path, face.index) != (faces[0].path, faces[0].index):
                faces.append(face)
    return tuple(faces)


def installed(weight: str) -> list[Face]:
    """One upright face of each family that Matplotlib lists, the nearest in weight, sorted by name."""
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
    """Add fonts to Matplotlib's list, which it caches on disk, if they were installed after the list was made."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(font_manager.findSystemFonts()):
        if path not in known:
            with _quiet():
                try:
                    fontManager.addfont(path)
                except (OSError, RuntimeError, ValueError):  # a bitmap font, or no font at all
                    continue


@functools.lru_cache(maxsize=48)
def _open(path: str, index: int) -> FT2Font:
    # Not Matplotlib's cached font, since loading glyphs and setting sizes here must not disturb a renderer.
    font = FT2Font(path, face_index=index)
    font.set_size(100, 72)
    return font


@functools.cache
def _character_map(path: str, index: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """First and last code points of each range that a font has, and whether its outlines are TrueType."""
    font = FT2Font(path, face_index=index)
    charmap = font.get_charmap()
    codes = np.sort(np.fromiter(charmap, dtype=np.int64, count=len(charmap))) if charmap else np.array([-1])
    gaps = np.flatnonzero(np.diff(codes) > 1)
    table = font.get_sfnt_table("maxp")
    truetype = table is not None and table["version"][0] >= 1
    return codes[np.r_[0, gaps + 1]], codes[np.r_[gaps, len(codes) - 1]], truetype


@functools.lru_cache(maxsize=1 << 16)
def _draws(path: str, index: int, character: str) -> bool:
    font = _open(path, index)
    glyph = font.get_char_index(ord(character))
    if not glyph:
        return False
    if character.isspace() or character == _BLANK_BRAILLE:
        return True
    advance = font.load_glyph(glyph, flags=LoadFlags.NO_HINTING).linearHoriAdvance
    if unicodedata.category(character) == "Co" and not advance:
        return False  # a part of a syllable that a font keeps as a private character: no room to colour
    return len(font.get_path()[0]) > 0  # a colour font may have empty outlines


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log messages of the font manager about families that it does not find."""
    log: Any = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


_SHOWN = 12
_CJK = ("Noto Sans CJK", "fonts-noto-cjk", "font-noto-sans-cjk")
_CORE = "fonts-noto-core"
_BY_SCRIPT = dict.fromkeys(("Hani", "Hira", "Kana", "Hang", "Bopo"), _CJK)
_PICTURES = ("Noto Emoji or Symbola", "fonts-symbola", "font-noto-emoji")


def advice(characters: Iterable[str], stand_in: str) -> str:
    """Return one message for all characters that no font has: their code points, and how to get a font for them.

    ``stand_in`` is drawn instead of them.
    """
    distinct = sorted(set(characters))
    named = ", ".join(f"{c} (U+{ord(c):04X})" for c in distinct[:_SHOWN])
    if len(distinct) > _SHOWN:
        named += f" and {len(distinct) - _SHOWN} more"
    fonts = sorted({_font(c) for c in distinct})
    families = " and ".join(dict.fromkeys(family for family, _, _ in fonts))
    debian = " ".join(sorted({package for _, package, _ in fonts}))
    brew = " ".join(sorted({cask for _, _, cask in fonts}))
    hint = (
        f"brew install --cask {brew}"
        if sys.platform == "darwin"
        else f"Debian and Ubuntu: apt install {debian}"
    )
    return (
        f"no installed font that Matplotlib can draw has a glyph for {named}; {stand_in} is drawn instead. "
        f"Install {families} ({hint}), or name a font that has them in rcParams['font.family']."
    )


def _font(character: str) -> tuple[str, str, str]:
    """Family, Debian package and Homebrew cask of a font that has a character."""
    script = scripts.script(character)
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if (
        0x3000 <= ord(character) <= 0x33FF
        or 0xFE30 <= ord(character) <= 0xFE6F
        or 0xFF00 <= ord(character) <= 0xFFEF
    ):
        return _CJK
    if script in ("Zyyy", "Zinh", "Zzzz"):
        return _PICTURES
    name = scripts.script_name(script, default="").replace("_", " ").title()
    return f"Noto Sans {name}", _CORE, f"font-noto-sans-{name.lower().replace(' ', '-')}"


MISSING = "□"  # drawn instead of a character that no font has

_P = ParamSpec("_P")
_R = TypeVar("_R")


class MissingGlyphs(UserWarning):
    """Characters of a figure that no installed font can draw."""


@dataclass(frozen=True)
class Fonts:
    """The faces of a figure, in one weight."""

    base: tuple[Face, ...]  # from rcParams
    # Scripts that the base cannot write in full: all their letters use the fallback.
    moved: frozenset[str]
    fallback: tuple[Face, ...]  # as few faces as possible for the rest, TrueType before others

    def face(self, cluster: str) -> Face | None:
        """The face for a letter with its marks; None if no font has it."""
        seen = [c for c in cluster if not ignorable(c)]
        moved = any(_scripts(c) & self.moved for c in seen)
        order = self.fallback + self.base if moved else self.base + self.fallback
        # If a font lacks the mark, shaping uses the composed letter.
        composed = unicodedata.normalize("NFC", "".join(seen))
        return next((face for face in order if face.covers(seen) or face.covers(composed)), None)


@dataclass
class FigureFonts:
    """Characters that one figure draws, those that no font has, and the finished layouts of its text."""

    wanted: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    missing: set[str] = field(default_factory=set)
    layouts: dict[tuple[Any, ...], Any] = field(default_factory=dict)


_current: ContextVar[FigureFonts | None] = ContextVar("figure_fonts", default=None)


def fonts(text: str, weight: str) -> Fonts:
    """Return the faces for a text, consistent with all other text of the figure that is being drawn."""
    base = base_faces(weight)
    figure = _current.get()
    figure_characters = frozenset() if figure is None else figure.wanted
    beyond = frozenset() if text.isascii() else _unusual(text) - figure_characters
    return _fonts(figure_characters | beyond if beyond else figure_characters, weight, base)


def once(key: tuple[Any, ...], lay_out: Callable[[], _R]) -> _R:
    """Return a layout, made only once for each key in the figure that is being drawn, so that text is measured once."""
    figure = _current.get()
    if figure is None:
        return lay_out()
    if key not in figure.layouts:
        figure.layouts[key] = lay_out()
    layout: _R = figure.layouts[key]
    return layout


def drawn_clusters() -> frozenset[str]:
    """Letters with marks, and other letters beyond ASCII, in the figure that is being drawn."""
    figure = _current.get()
    return frozenset() if figure is None else figure.clusters


def missed(characters: Iterable[str]) -> None:
    """Record characters that no font has; each figure names them in one warning."""
    distinct = set(characters)
    figure = _current.get()
    if figure is not None:
        figure.missing |= distinct
    elif distinct:
        warn(advice(distinct, MISSING), MissingGlyphs)


def share_fonts(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function that draws maps: it chooses fonts once, and warns once, for everything that it draws."""

    @functools.wraps(draw)
    def drawing(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        check_call(draw, args, kwargs, draw.__name__)
        with _drawing([*args, *kwargs.values()]) as figure:
            result = draw(*args, **kwargs)
        if figure.missing and _current.get() is None:
            warn(advice(figure.missing, MISSING), MissingGlyphs)
        return result

    return drawing


@contextmanager
def _drawing(values: Sequence[Any]) -> Iterator[FigureFonts]:
    outer = _current.get()
    if outer is not None:  # drawn as part of another figure
        yield outer
        return
    text = "\n".join(string for string in _strings(values) if not string.isascii())
    shown = "".join(signs(text))
    clusters = frozenset(shown[a:b] for a, b in graphemes(shown))
    unusual = frozenset(
        c for c in clusters if not c.isascii() and (len(c) > 1 or unicodedata.category(c)[0] != "P")
    )
    token = _current.set(FigureFonts(frozenset(shown), unusual))
    try:
        yield _current.get() or FigureFonts()
    finally:
        _current.reset(token)


def _strings(values: Iterable[Any]) -> Iterator[str]:
    """Yield every string that a figure of the given arguments may have to draw."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _strings(value)
        elif isinstance(value, Table):
            yield value.measure
            yield from (
                str(each) for column in value.columns.values() if column.dtype.kind == "U" for each in column
            )
        elif isinstance(value, SaliencyMap):
            yield from value.texts
            yield from value.text_names
            yield from (token.piece for token in value.tokens)
            for target in value.targets:
                yield target.label
                yield target.against or ""
                yield from (each.label for each in target.predictions)


@functools.lru_cache(maxsize=256)
def _unusual(text: str) -> frozenset[str]:
    return frozenset(c for c in text if not c.isascii())


@functools.lru_cache(maxsize=256)
def _fonts(characters: frozenset[str], weight: str, base: tuple[Face, ...]) -> Fonts:
    seen = frozenset(c for c in characters if not ignorable(c) and not c.isspace())
    uncovered = {c for c in seen if not any(face.covers(c) for face in base)}
    if not uncovered:
        return Fonts(base, frozenset(), ())
    moved = frozenset(s for c in uncovered for s in [scripts.script(c)] if s not in ("Zyyy", "Zinh", "Zzzz"))
    required = uncovered | {c for c in seen if _scripts(c) & moved}
    fallback, left = _cover(required, weight, base[0])
    if left & uncovered:
        register_new()
        fallback, left = _cover(required, weight, base[0])
    return Fonts(base, moved, tuple(fallback))


def _cover(required: Iterable[str], weight: str, base: Face) -> tuple[list[Face], set[str]]:
    """Choose faces greedily, TrueType faces first; ties go to the better rank. Return also the uncovered characters."""
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
    """Sort key of a face: plain families of the base's kind come before others."""
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
