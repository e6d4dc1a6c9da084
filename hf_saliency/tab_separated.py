"""A map's predictions as a table for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_saliency.saliency_map import SaliencyMap


def tab_separated(saliency_map: SaliencyMap) -> str:
    """The targets' predictions as a table for other programs; probabilities are parts of 1."""
    most = max((len(target.predictions) for target in saliency_map.targets), default=0)
    heads = [f"{name}_{rank}" for rank in range(1, most + 1) for name in ("prediction", "probability")]
    rows = [["position", "target", saliency_map.targets[0].unit, "rank", *heads]]
    for target in saliency_map.targets:
        ids = [each.index for each in target.predictions]
        rank = str(ids.index(target.index) + 1) if target.index in ids else ""
        answers = [cell for each in target.predictions for cell in (each.label, f"{each.probability:.6g}")]
        rows.append([str(target.position), target.label, f"{target.score:.6g}", rank, *answers])
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)
