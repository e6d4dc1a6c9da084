"""What users of other tools type first works, or the error names the call that does."""

from __future__ import annotations

import functools
from typing import Any

import captum.attr
import numpy as np
import pytest
import tiny

import hf_saliency as hs


@functools.cache
def names() -> dict[str, Any]:
    """What the calls below may take for given: small models, their maps, and the packages."""
    masked, tokenizer = tiny.masked_lm("bert")
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    explainer = hs.Explainer(masked, tokenizer, progress=False)
    lm = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tokenizer, progress=False)
    classifier = tiny.of_class("BertForSequenceClassification", id2label=labels)
    clf = hs.Explainer(classifier, tokenizer, progress=False)
    text = "the cat sat on a mat"
    return {
        "hs": hs,
        "np": np,
        "captum": captum,
        "model": masked,
        "tokenizer": tokenizer,
        "explainer": explainer,
        "lm": lm,
        "clf": clf,
        "text": text,
        "heat": explainer(text),
        "label": clf(text, method="input_x_gradient"),
        "maps": explainer([text, "a dog ran"]),
    }


# The call, and a part of the error that helps; None where the call works.
GUESSES: list[tuple[str, str | None]] = [
    # transformers
    ("explainer(text, truncation=True)", "it takes texts, target, method, top_k, overflow"),
    ("explainer(**tokenizer(text))", "takes no argument 'input_ids'"),
    ("explainer(tokenizer(text, return_tensors='pt'))", None),
    ("explainer(tokenizer(text)['input_ids'])", r"explainer\('Some text.'\)"),
    ("explainer('the cat [MASK] on a mat')", None),
    ("explainer([text, ''])", r"texts\[1\]: the text is empty"),
    ("explainer(np.array([text]))", None),
    ("explainer(None)", "must be a string, not NoneType"),
    ("hs.Explainer('bert-base-uncased')", "expected a model and its tokenizer"),
    ("hs.Explainer.from_pretrained(model)", r"hs.Explainer\(model, tokenizer\)"),
    ("clf(text, text_pair='a dog')", "takes no argument 'text_pair'"),
    ("lm('the cat', target=hs.Continuation(max_new_tokens=2))", None),
    # Captum
    ("explainer(text, method=captum.attr.InputXGradient)", None),
    ("explainer(text, method='IntegratedGradients')", "Did you mean 'integrated_gradients'"),
    ("explainer(text, method=captum.attr.Saliency(model))", "give the class, method=Saliency"),
    ("explainer(text, method=captum.attr.Occlusion)", r"hs.captum_method\(Occlusion, sliding_window_shapes"),
    ("explainer(text, n_steps=20)", "takes no argument 'n_steps'"),
    ("explainer(text, baselines=0)", "takes no argument 'baselines'"),
    ("hs.integrated_gradients(20, baselines=0)", "did you mean 'baseline'"),
    ("hs.integrated_gradients(20, internal_batch_size=4)", "it takes n_steps, baseline"),
    ("explainer(text, method=hs.integrated_gradients(20, baseline='pad'))", "hs.mask_embedding"),
    ("explainer(text, target=(4, 12))", r"hs.MaskedToken\("),
    ("explainer.captum(text)", None),
    ("hs.captum_records(heat)", None),
    # inseq
    ("lm('the cat', ' sat')", r"explainer\(\(prompt, continuation\)\)"),
    ("lm('the cat', method='input_x_gradient')", None),
    ("lm('the cat', method='attention')", "Did you mean 'attention_rollout'"),
    ("lm('the cat', method='layer_integrated_gradients')", "Did you mean 'integrated_gradients'"),
    ("lm('the cat', method='value_zeroing')", None),
    ("lm('the cat', method='attn_lrp')", None),
    ("lm('the cat', attributed_fn='probability')", "takes no argument 'attributed_fn'"),
    ("hs.NextToken(unit='probability')", "choose one of 'logit', 'log_prob', 'prob'"),
    ("lm('the cat', step_scores=['probability'])", "takes no argument 'step_scores'"),
    ("lm(('the cat', ' sat'), target=hs.Continuation(against='dog'))", None),
    ("heat.words('mean')", None),
    ("lm(text, target=hs.NextToken('sat'))", None),
    # shap
    ("label[0]", None),
    ("label['POSITIVE' if label.targets[0].label == 'POSITIVE' else 'NEGATIVE']", None),
    ("label['joy']", "the targets are '"),
    ("label[:, 'cat']", r"as in select\(0, -1, 'word'\)"),
    ("hs.figure(label, 'bar')", r"Bars\(\)"),
    ("hs.figure(label, hs.Bars())", None),
    ("clf(text, target=hs.Label('positive'))", None),
    ("clf(text, target=hs.Label('joy'))", "It has 0: 'NEGATIVE', 1: 'POSITIVE'"),
    ("clf(text, method='shap')", "There are gradient_norm"),
    ("hs.kernel_shap(nsamples=30)", "did you mean 'n_samples'"),
    ("hs.shapley_sampling(max_evals=30)", "it takes n_samples"),
    ("hs.summarize(maps, by='words')", "did you mean 'word'"),
    # seaborn
    ("hs.figure(heat, palette='viridis')", "it takes .*cmap"),
    ("hs.figure(heat, targets='cat', cmap='viridis')", None),
    ("hs.figure(heat, cmap='jet')", "Choose a sequential colormap such as 'Oranges'"),
    ("hs.figure(heat, vmax=1)", "it takes .*limit"),
    ("hs.figure(heat, limit=-1)", r"figure\(..., limit=3.25\)"),
    ("hs.figure(heat, figsize=(4, 3))", "it takes .*width"),
    ("hs.figure(heat, col_wrap=2)", "it takes .*ncols"),
    ("hs.figure(heat, legend=None)", "choose one of True, False"),
    ("hs.figure(heat, width='chi')", r"width=3.25\), or one of 'aaai'"),
    ("hs.figure(heat.scores)", r"figure\(Explainer\(model, tokenizer\)\(text\)\)"),
    ("hs.figure(heat, targets='dog')", "no target stands at the word 'dog'; the targets are 'the'"),
    ("heat.normalized('minmax')", "choose one of 'row_max', 'row_sum', 'none'"),
]


@pytest.mark.parametrize(("call", "help_"), GUESSES, ids=[call for call, _ in GUESSES])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_first_guesses(call: str, help_: str | None) -> None:
    if help_ is None:
        assert eval(call, names()) is not None
        return
    with pytest.raises(hs.SaliencyError, match=help_):
        eval(call, names())


def test_five_communities_have_twelve_guesses_each() -> None:
    assert len(GUESSES) == 60
