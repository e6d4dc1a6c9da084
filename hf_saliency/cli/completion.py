"""Shell completion: the names of methods, marks and targets, from the library's own tables."""

from __future__ import annotations


def methods(incomplete: str) -> list[str]:
    """The methods whose names begin so."""
    from hf_saliency.attribution.registry import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


def marks(incomplete: str) -> list[str]:
    """The marks whose names begin so."""
    from hf_saliency.render.drawing import known

    return [name.lower() for name in known() if name.lower().startswith(incomplete.lower())]


def targets(incomplete: str) -> list[str]:
    """The kinds of targets whose names begin so."""
    from hf_saliency.cli.targets import kinds

    return [name for name in kinds() if name.startswith(incomplete)]
