"""Captum by hand, and the article's loop, in this package's own environment."""

from __future__ import annotations

from typing import Any

import captum.attr
import masked_sweep
import numpy as np
import torch
import unmasked_sweep
from works import FIRST, LABEL, MEAN, NORM, ONE_HOT, PATH_PROB, STEPS, Case, Way

ROWS = 16  # rows of a batch


def masked(case: Case) -> masked_sweep.Case:
    """The case in the form of the benchmark of masked sweeps."""
    ids = case.tokenizer(case.text)["input_ids"]
    return masked_sweep.Case(case.model, case.tokenizer, case.text, ids, case.some, case.all)


def masked_loop(case: Case, warm: bool) -> Any:
    """The article's loop over masked positions."""
    return masked_sweep.article_loop(masked(case), case.some[: 1 if warm else None])


def masked_rows(rows: int) -> Any:
    """Captum's layer method with ``rows`` masked rows at once."""

    def run(case: Case, warm: bool) -> Any:
        positions = case.some if rows == 1 else case.all
        return masked_sweep.captum(masked(case), positions[: 1 if warm else None], rows)

    return run


def unmasked(case: Case, targets: list[tuple[int, int]]) -> unmasked_sweep.Case:
    """The case in the form of the benchmark of unmasked sweeps."""
    ids = torch.tensor(case.tokenizer(case.text)["input_ids"])
    return unmasked_sweep.Case("", case.model, case.tokenizer, case.text, ids, targets)


def causal(case: Case, count: int | None) -> unmasked_sweep.Case:
    """The next token at each of the first ``count`` positions."""
    ids = case.tokenizer(case.text)["input_ids"]
    return unmasked(case, [(at - 1, ids[at]) for at in case.some[:count]])


def labels(case: Case, count: int | None) -> unmasked_sweep.Case:
    """The predicted labels at the first ``count`` positions; the prediction is made once."""
    best = case.once("best", lambda: predicted(case))
    return unmasked(case, [(at, best[at]) for at in case.some[:count]])


@torch.no_grad()
def predicted(case: Case) -> list[int]:
    """The most probable label at each position."""
    batch = case.tokenizer(case.text, return_tensors="pt")
    labels: list[int] = case.model(batch["input_ids"]).logits[0].argmax(dim=-1).tolist()
    return labels


def sweep(of: Any, rows: int) -> Any:
    """Captum's layer method with ``rows`` copies of the text at once."""
    return lambda case, warm: unmasked_sweep.captum(of(case, 1 if warm else None), rows)


def llm(case: Case, warm: bool) -> Any:
    """Captum's class for language models; only scores of the first token are returned, which all targets share."""
    ids = case.tokenizer(case.text, return_tensors="pt")["input_ids"][0]
    first, last = min(case.all), max(case.all) + 1
    method = captum.attr.LLMGradientAttribution(
        captum.attr.LayerGradientXActivation(case.model, case.model.get_input_embeddings()), case.tokenizer
    )
    prompt = captum.attr.TextTokenInput(case.tokenizer.decode(ids[:first]), case.tokenizer)
    found = method.attribute(prompt, target=ids[first : first + 1 if warm else last])
    return found.token_attr[:, :1] if warm else case.in_order(found.token_attr[:, :1].numpy())


def integrated_gradients(size: int) -> Any:
    """Integrated gradients of a probability, from a text of padding."""

    def run(case: Case, warm: bool) -> Any:
        batch = case.tokenizer(case.text, return_tensors="pt")
        ids = batch["input_ids"]
        baseline = torch.full_like(ids, case.tokenizer.pad_token_id)
        baseline[:, [0, -1]] = ids[:, [0, -1]]

        def probability(ids: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = case.model(ids).logits
            return logits.softmax(dim=-1)

        method = captum.attr.LayerIntegratedGradients(probability, case.model.get_input_embeddings())
        steps = 2 if warm else STEPS
        values = method.attribute(ids, baseline, target=LABEL, n_steps=steps, internal_batch_size=size)
        return values.sum(dim=-1).detach()

    return run


def saliency(case: Case, texts: list[str]) -> torch.Tensor:
    """Mean magnitudes of the gradient for a padded batch of texts."""
    batch = case.tokenizer(texts, return_tensors="pt", padding=True)
    embeds = case.model.get_input_embeddings()(batch["input_ids"]).detach()

    def logits(embeds: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = case.model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).logits
        return values

    return captum.attr.Saliency(logits).attribute(embeds, target=LABEL)


def texts(case: Case, warm: bool) -> Any:
    """Padded batches of texts of similar length; the rows are returned in the order of the texts."""
    lengths = [len(ids) for ids in case.tokenizer(list(case.work.texts))["input_ids"]]
    order = np.argsort(lengths, kind="stable")[: ROWS if warm else None]
    found: list[Any] = [None] * len(lengths)
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        rows = saliency(case, [case.work.texts[at] for at in part]).mean(dim=-1)
        for at, row in zip(part, rows, strict=True):
            found[at] = row[: lengths[at]].numpy()
    return [row for row in found if row is not None]


WAYS = {
    **{
        f"masked-{tokens}": {
            "the article's loop": Way(masked_loop, ONE_HOT),
            "Captum, one row": Way(masked_rows(1), ONE_HOT),
            f"Captum, {ROWS} rows": Way(masked_rows(ROWS), ONE_HOT),
        }
        for tokens in (38, 128, 512)
    },
    **{
        f"causal-{tokens}": {
            "Captum, one row": Way(sweep(causal, 1), ONE_HOT),
            f"Captum, {ROWS} rows": Way(sweep(causal, ROWS), ONE_HOT),
            "Captum, LLMGradientAttribution": Way(llm, FIRST),
        }
        for tokens in (64, 256)
    },
    "gradients": {
        f"Captum, internal_batch_size={size}": Way(integrated_gradients(size), PATH_PROB) for size in (5, 25)
    },
    "texts": {f"Captum, {ROWS} padded rows": Way(texts, MEAN)},
    "labels": {
        "Captum, one row": Way(sweep(labels, 1), ONE_HOT),
        f"Captum, {ROWS} rows": Way(sweep(labels, ROWS), ONE_HOT),
    },
    "tiny": {"Captum": Way(lambda case, warm: saliency(case, [case.text]).norm(dim=-1), NORM)},
}
