"""Marks: the ways in which a map can be drawn, one file each."""

from hf_saliency.render.marks.agreements import Agreements
from hf_saliency.render.marks.arcs import Arcs
from hf_saliency.render.marks.bars import Bars
from hf_saliency.render.marks.bipartite import Bipartite
from hf_saliency.render.marks.curves import Curves, Profile
from hf_saliency.render.marks.difference import Difference
from hf_saliency.render.marks.dots import Dots
from hf_saliency.render.marks.highlight import Highlight
from hf_saliency.render.marks.mark import Divisible, Mark, Strip
from hf_saliency.render.marks.matrix import Matrix
from hf_saliency.render.marks.ranking import Ranking

__all__ = [
    "Agreements",
    "Arcs",
    "Bars",
    "Bipartite",
    "Curves",
    "Difference",
    "Divisible",
    "Dots",
    "Highlight",
    "Mark",
    "Matrix",
    "Profile",
    "Ranking",
    "Strip",
]
