"""inseq: generative language models, one target at a time, with the prefix that the target depends on."""

from __future__ import annotations

import logging
from typing import Any

import inseq
import torch
from works import NORM, Case, Way

logging.disable(logging.WARNING)


def model(case: Case) -> Any:
    """The model with inseq's hooks, made once."""
    return case.once("model", lambda: inseq.load_model(case.model, "saliency", tokenizer=case.tokenizer))


def saliency(case: Case, source: str, target: str, **options: Any) -> Any:
    """Gradients of logits, in every dimension of the embeddings."""
    return (
        model(case)
        .attribute(
            source, target, attributed_fn="logit", show_progress=False, pretty_progress=False, **options
        )
        .sequence_attributions[0]
    )


def causal(case: Case, warm: bool) -> Any:
    """Next tokens; the score of a token that a target does not depend on stays 0."""
    pieces = case.text.split()
    first, last = min(case.all), max(case.all) + 1
    found = saliency(case, " ".join(pieces[:first]), " ".join(pieces[: first + 1 if warm else last]))
    norms = found.target_attributions.norm(dim=-1).nan_to_num().T  # targets x tokens
    rows = torch.zeros(len(norms), len(pieces))
    rows[:, : norms.shape[1]] = norms
    return rows if warm else case.in_order(rows)


def translation(case: Case, warm: bool) -> Any:
    """Tokens of the target except its end token; columns are the source, then the decoder's input."""
    source, target = case.work.texts
    end = 2 if warm else len(target.split())
    found = saliency(case, source, target, attribute_target=True, attr_pos_end=end)
    rows = torch.cat([found.source_attributions, found.target_attributions]).norm(dim=-1).nan_to_num().T
    columns = len(source.split()) + 1 + len(target.split()) + 2  # each with an end token; a start token
    return torch.nn.functional.pad(rows, (0, columns - rows.shape[1]))


WAYS = {
    "causal-64": {"inseq": Way(causal, NORM)},
    "causal-256": {"inseq": Way(causal, NORM)},
    "translation": {"inseq": Way(translation, NORM)},
}
