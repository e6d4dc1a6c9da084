"""Marks: the ways in which a map can be drawn, one file each."""

from hf_saliency.render.marks.arcs import Arcs
from hf_saliency.render.marks.bars import Bars
from hf_saliency.render.marks.highlight import Highlight
from hf_saliency.render.marks.mark import Divisible, Mark, Strip
from hf_saliency.render.marks.matrix import Matrix

__all__ = ["Arcs", "Bars", "Divisible", "Highlight", "Mark", "Matrix", "Strip"]
