"""A SaliencyMap in the data format of TextualHeatmap, as the notebook of Madsen's article builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hf_saliency.errors import SaliencyError

if TYPE_CHECKING:
    from hf_saliency.saliency_map import SaliencyMap
    from hf_saliency.spans import Token


def facet(saliency_map: SaliencyMap, *, top_k: int = 3) -> list[dict[str, Any]]:
    """One facet: every token's row of heat and predictions, and the text between tokens.

    Tokens and gaps together spell the texts; only a space beside a token without text (``[CLS]``) is added
    where the text has none. Tokens that share characters, as the byte pieces of an emoji do, each show them.
    """
    if top_k < 0:
        raise SaliencyError(f"top_k={top_k}: give the number of predictions to list, 0 or more.")
    _check_scores(saliency_map)
    rows = _rows_by_token(saliency_map)
    heat = saliency_map.normalized("row_max")
    data: list[dict[str, Any]] = []
    *gaps, rest = _gaps(saliency_map)
    for i, (label, gap) in enumerate(zip(saliency_map.labels, gaps, strict=True)):
        if gap:
            data.append({"token": gap, "format": True})
        if i in rows:
            predictions = saliency_map.targets[rows[i]].predictions[:top_k]
            meta = [prediction.label for prediction in predictions]
            row = [float(value) for value in heat[rows[i]]]
        else:  # a special token was no target: it depends on itself
            meta, row = [], [float(j == i) for j in range(len(saliency_map.tokens))]
        data.append({"token": label, "meta": meta + [""] * (top_k - len(meta)), "heat": row})
    return [*data, {"token": rest, "format": True}] if rest else data


def _check_scores(saliency_map: SaliencyMap) -> None:
    if saliency_map.signed:
        raise SaliencyError(
            "TextualHeatmap shows heat from 0 to 1, but this map is signed: draw it with hs.figure(...), or "
            "explain with an unsigned method such as hs.gradient_norm()."
        )
    if not np.isfinite(saliency_map.scores).all():
        raise SaliencyError("TextualHeatmap has no colour for NaN or infinity, which these scores contain.")
    if np.any(saliency_map.scores < 0):
        raise SaliencyError(
            "TextualHeatmap has no colour for scores below 0, which this unsigned map contains."
        )


def _rows_by_token(saliency_map: SaliencyMap) -> dict[int, int]:
    """The row of each token that has one; every token that is not special must have exactly one."""
    rows: dict[int, int] = {}
    labels = saliency_map.labels
    for row, target in enumerate(saliency_map.targets):
        if target.position is None:
            raise SaliencyError(f"TextualHeatmap needs targets at tokens, but {target.label!r} is at none.")
        if target.position in rows:
            raise SaliencyError(
                f"TextualHeatmap needs one target a token: {labels[target.position]!r} has two."
            )
        rows[target.position] = row
    missing = [
        labels[i] for i, token in enumerate(saliency_map.tokens) if not token.special and i not in rows
    ]
    if missing:
        named = ", ".join(repr(label) for label in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise SaliencyError(
            f"TextualHeatmap needs a complete sweep, but {len(missing)} tokens are no target: {named}. "
            "Explain the text with the default target: explainer(text)."
        )
    return rows


def _gaps(saliency_map: SaliencyMap) -> list[str]:
    """The text that no token covers: before each token, and after the last one."""
    texts, tokens = saliency_map.texts, saliency_map.tokens
    last = {token.text: i for i, token in enumerate(tokens) if token.start < token.end}
    reached = [0] * len(texts)

    def up_to(text: int, end: int) -> str:
        gap = texts[text][reached[text] : end]
        reached[text] = max(reached[text], end)
        return gap

    gaps = []
    for i, token in enumerate(tokens):
        before = tokens[max(i - 1, 0)]
        ended = _added(token) and i > last.get(token.text, -1)
        gap = up_to(before.text, len(texts[before.text])) if before.text != token.text else ""
        gap += up_to(token.text, len(texts[token.text]) if ended else token.start)
        reached[token.text] = max(reached[token.text], token.end)
        apart = i > 0 and (_added(before) or _added(token) or before.text != token.text)
        gaps.append(gap or " " * apart)
    return [*gaps, up_to(tokens[-1].text, len(texts[tokens[-1].text])) if tokens else ""]


def _added(token: Token) -> bool:
    """Whether the tokenizer added the token, so that it has no text."""
    return token.special and token.start == token.end
