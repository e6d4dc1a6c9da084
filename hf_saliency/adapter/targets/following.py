"""What targets of next tokens share: a token is read at the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.layouts import Layout
from hf_saliency.adapter.rows import PREDICTED, Read, Row
from hf_saliency.adapter.targets.places import one_token, own_text, settle_where
from hf_saliency.adapter.targets.target import check_tokens, check_unit
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError

if TYPE_CHECKING:
    from hf_saliency.adapter.targets.continuation import Continuation
    from hf_saliency.adapter.targets.next_token import NextToken


def prepare(target: NextToken | Continuation) -> None:
    check_unit(target.unit)
    check_tokens(target.token, target.predicted, target.against)
    settle_where(target)


def following_rows(
    target: NextToken | Continuation,
    chosen: Sequence[int],
    encoding: Encoding,
    model: TextModel,
    layout: Layout,
) -> list[Row]:
    """A row for each chosen token, read at the token before it; or one for all of them."""
    begin = encoding.starts[-1]
    if not chosen:
        raise SaliencyError(
            f"the text {encoding.texts[-1]!r} has only special tokens and a first one to explain: give a longer "
            "text, or where= for one of the special tokens."
        )
    if begin in chosen:
        raise SaliencyError(
            f"{encoding.tokens[begin].piece!r} is the first token that the model reads, so nothing predicts it: "
            "explain a later one."
        )
    left_to_right = model.trims(encoding, layout)
    reads = []
    for i in chosen:
        class_id = encoding.ids[i]
        before = encoding.texts[0] if encoding.tokens[i].text and len(encoding.starts) == 1 else ""
        if target.token is not None:
            class_id = one_token(target.token, "token", encoding, i, model, before)
        elif target.predicted:
            class_id = PREDICTED
        against = None
        if target.against is not None:
            against = one_token(target.against, "against", encoding, i, model, before)
        reads.append(Read(class_id, i - 1, against))
    if target.total:
        length = max(chosen) - begin if left_to_right else None
        label = encoding.texts[-1][encoding.tokens[chosen[0]].start : encoding.tokens[chosen[-1]].end]
        model.check_fits(len(encoding))
        return [Row(encoding, tuple(reads), None, length=length, label=label.strip())]
    return [
        Row(
            encoding,
            (read,),
            i,
            length=i - begin if left_to_right else None,
            label=own_text(encoding, i, read.class_id, model),
        )
        for i, read in zip(chosen, reads, strict=True)
    ]
