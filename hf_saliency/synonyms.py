"""Synonyms: the names that other tools use, with the call that does the same here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_METHODS = "explainer(text, method='saliency'), with a name that docs/methods.md lists"

PACKAGE = {
    "adapter": "hs.Explainer(model, tokenizer)",
    "attribution": "hs.Explainer(model, tokenizer)(text)",
    "cli": "the command hf-saliency",
    "corpus": "hs.write_corpus(explainer, texts, 'folder')",
    "demo": "hs.load_demo()",
    "errors": "hs.SaliencyError",
    "explain": "hs.Explainer(model, tokenizer)(text)",
    "list_feature_attribution_methods": _METHODS,
    "list_methods": _METHODS,
    "maps": "a list of maps, hs.figure([heat, another])",
    "methods": _METHODS,
    "metrics": "hs.faithfulness(explainer, texts, methods=['saliency', 'gradient_norm'])",
    "palette": "hs.figure(heat, cmap='Oranges')",
    "progress": "hs.Explainer(model, tokenizer, progress=False)",
    "render": "hs.figure(heat)",
    "score": "heat.targets[0].score",
    "targets": "explainer(text, target=hs.MaskedToken('word'))",
    "attribute": "hs.Explainer(model, tokenizer)(text)",
    "load_model": "hs.Explainer.from_pretrained(name)",
    "heatmap": "hs.figure(heat, hs.Matrix())",
    "plot": "hs.figure(heat)",
    "plots": "hs.show(heat), or hs.figure(heat, hs.Bars())",
    "force_plot": "hs.show(heat)",
    "summary_plot": "hs.figure(hs.summarize(maps, by='word'), hs.Ranking())",
    "plot_attributions": "hs.show(heat)",
    "visualize_text": "hs.show(heat)",
    "maskers": "a method's baseline=, such as hs.integrated_gradients(baseline=hs.pad_embedding)",
    "infidelity": "explainer.captum(text), whose score captum.metrics.infidelity takes",
    "sensitivity_max": "explainer.captum(text), whose score captum.metrics.sensitivity_max takes",
    "FeatureAblation": "hs.leave_one_out()",
    "LayerIntegratedGradients": "hs.integrated_gradients()",
    "NoiseTunnel": "hs.smooth_grad()",
    "PartitionExplainer": "hs.shapley_sampling(feature='word')",
    "ShapleyValues": "hs.shapley_sampling()",
    "ShapleyValueSampling": "hs.shapley_sampling()",
    "TextualHeatmap": "hs.show(heat, viewer='textual_heatmap')",
    "set_theme": "Matplotlib's rcParams, which figures follow",
    "DeepLift": "hs.integrated_gradients(), since the rules of DeepLift do not fit transformers",
    "Explanation": "hs.SaliencyMap.from_attributions(attributions, encoding, model)",
    "FeatureAttributionOutput": "hs.SaliencyMap.load('heat.json')",
    "VisualizationDataRecord": "hs.captum_records(heat)",
    "FacetGrid": "hs.figure([heat, another], ncols=2)",
    "bar": "hs.figure(heat, hs.Bars())",
    "barplot": "hs.figure(heat, hs.Bars())",
    "beeswarm": "hs.figure(hs.summarize(maps, by='word'), hs.Ranking())",
    "clustermap": "hs.figure(heat, hs.Matrix())",
    "color_palette": "hs.figure(heat, cmap='Oranges')",
    "from_pretrained": "hs.Explainer.from_pretrained(name)",
    "initjs": "hs.show(heat), which needs no preparation",
    "load": "hs.SaliencyMap.load('heat.json')",
    "merge_attributions": "a list of maps, hs.figure([heat, another])",
    "pipeline": "hs.Explainer(transformers.pipeline('fill-mask', name))",
    "save": "heat.save('heat.json')",
    "savefig": "hs.figure(heat).savefig('figure.pdf')",
    "set_context": "Matplotlib's rcParams, which figures follow",
    "set_style": "Matplotlib's rcParams, which figures follow",
    "text": "hs.show(heat)",
    "text_plot": "hs.show(heat)",
    "to_html": "hs.page(heat, 'page.html')",
    "waterfall": "hs.figure(heat, hs.Bars())",
}
"""Of the package."""

EXPLAINER = {
    "attribute": "explainer(text)",
    "batch": "explainer([text, another])",
    "device": "explainer.text_model.model.device",
    "expected_value": "heat.targets[0].score - heat.scores[0].sum(), with a method that adds up",
    "explain": "explainer(text)",
    "explain_batch": "explainer([text, another])",
    "forward": "explainer(text)",
    "list_methods": _METHODS,
    "methods": _METHODS,
    "generate": "explainer(text, target=hs.Continuation(max_new_tokens=20))",
    "model": "explainer.text_model.model",
    "plot": "explainer(text).plot()",
    "predict": "explainer(text).targets[0].predictions",
    "predicted_class_name": "explainer(text).targets[0].label",
    "save": "explainer(text).save('heat.json')",
    "shap_values": "explainer(text, method=hs.shapley_sampling())",
    "show": "hs.show(explainer(text))",
    "to": "model.to(device) before hs.Explainer(model, tokenizer)",
    "tokenize": "explainer.encode(text)",
    "tokenizer": "explainer.text_model.tokenizer",
    "visualize": "hs.page(explainer(text), 'page.html')",
    "word_attributions": "explainer(text).words()",
}
"""Of an explainer."""

MAP = {
    "T": "heat.scores.T",
    "abs": "abs(heat.scores)",
    "aggregate": "heat.words()",
    "attribution": "heat.scores",
    "attributions": "heat.scores",
    "bar": "heat.plot(hs.Bars())",
    "barplot": "heat.plot(hs.Bars())",
    "base_values": "heat.targets[0].score - heat.scores[0].sum(), with a method that adds up",
    "copy": "dataclasses.replace(heat)",
    "data": "heat.labels",
    "delta": "heat.convergence_delta",
    "df": "heat.to_dataframe()",
    "display": "hs.show(heat)",
    "feature_names": "heat.labels",
    "filter": "heat.select('word')",
    "heatmap": "heat.plot(hs.Matrix())",
    "html": "hs.page(heat, 'page.html')",
    "latex": "hs.to_latex(heat)",
    "max": "heat.scores.max()",
    "mean": "heat.scores.mean()",
    "normalize": "heat.normalized('row_max')",
    "numpy": "heat.scores",
    "predicted_class_name": "heat.targets[0].label",
    "predictions": "heat.targets[0].predictions",
    "savefig": "heat.plot().savefig('figure.pdf')",
    "sentence": "heat.texts[0]",
    "sentences": "method=hs.leave_one_out(feature='sentence')",
    "shape": "heat.scores.shape",
    "show": "hs.show(heat)",
    "sort": "heat.plot(hs.Bars(sort='size'))",
    "sum": "heat.scores.sum()",
    "target": "heat.targets[0]",
    "text": "heat.texts[0]",
    "to_dict": "heat.to_dataframe().to_dict()",
    "to_html": "hs.page(heat, 'page.html')",
    "to_json": "heat.save('heat.json')",
    "to_latex": "hs.to_latex(heat)",
    "to_numpy": "heat.scores",
    "to_pandas": "heat.to_dataframe()",
    "tolist": "heat.scores.tolist()",
    "top": "heat.plot(hs.Bars(top=10))",
    "values": "heat.scores",
    "visualize": "hs.page(heat, 'page.html')",
    "word_attributions": "list(zip(heat.labels, heat.scores[0]))",
}
"""Of a map."""


ARGUMENTS = {
    "Bars": {
        "max_display": "top=",
        "num_features": "top=",
        "order": "sort='size'",
        "orient": "vertical=True",
    },
    "Matrix": {"annot": "values=True"},
    # What older releases of transformers and other tools take; a model would take it as its own, or ignore it.
    "from_pretrained": {
        "attribution_method": "explainer(text, method='saliency')",
        "load_in_4bit": "quantization_config=transformers.BitsAndBytesConfig(load_in_4bit=True)",
        "load_in_8bit": "quantization_config=transformers.BitsAndBytesConfig(load_in_8bit=True)",
        "quiet": "progress=False",
        "torch_dtype": "dtype='bfloat16'",
        "use_auth_token": "token=",
    },
    "explainer": {
        "additional_forward_args": "hs.Explainer(model, tokenizer, inputs={...})",
        "attributed_fn": "the target's unit=, as in hs.NextToken(unit='prob')",
        "baseline": "method=hs.integrated_gradients(baseline=...)",
        "baselines": "method=hs.integrated_gradients(baseline=...)",
        "batch_size": "hs.Explainer(model, tokenizer, batch_tokens=1024)",
        "class_name": "target=hs.Label('POSITIVE')",
        "context": "a tuple, explainer((question, context))",
        "contrast_targets": "target=hs.Continuation(against='another')",
        "generated_texts": "a tuple, explainer((prompt, continuation))",
        "generation_args": "target=hs.Continuation(max_new_tokens=20)",
        "device": "model.to(device), or hs.Explainer.from_pretrained(name, device='cuda')",
        "granularity": "heat.words(), or method=hs.leave_one_out(feature='word')",
        "index": "target=hs.Label(1)",
        "inference_mode": "the target's unit=, as in hs.Label(unit='prob')",
        "input_ids": "a tuple, explainer((text, ids))",
        "internal_batch_size": "hs.Explainer(model, tokenizer, batch_tokens=1024)",
        "layer": "explainer.captum(text), whose score takes any layer method of Captum",
        "max_evals": "method=hs.shapley_sampling(n_samples=25)",
        "max_length": "overflow='truncate'",
        "max_new_tokens": "target=hs.Continuation(max_new_tokens=20)",
        "n_samples": "method=hs.shapley_sampling(n_samples=25)",
        "output_attentions": "method='attention_rollout'",
        "padding": "explainer([text, another]), which pads where it must",
        "outputs": "target=hs.Label(1)",
        "position": "target=hs.MaskedToken(3)",
        "progress": "hs.Explainer(model, tokenizer, progress=False)",
        "question": "a tuple, explainer((question, context))",
        "return_all_scores": "target=hs.Label(all_labels=True)",
        "return_convergence_delta": "heat.convergence_delta",
        "seed": "the method's seed=, as in method=hs.smooth_grad(seed=0)",
        "show_progress": "hs.Explainer(model, tokenizer, progress=False)",
        "step_scores": "heat.targets[0].score, in the target's unit=",
        "text_pair": "a tuple, explainer((text, text_pair))",
        "truncation": "overflow='truncate'",
    },
    "Explainer": {
        "batch_size": "batch_tokens=1024",
        "device": "model.to(device), or hs.Explainer.from_pretrained(name, device='cuda')",
        "granularity": "heat.words(), or method=hs.leave_one_out(feature='word')",
        "inference_mode": "the target's unit=, as in explainer(text, target=hs.Label(unit='prob'))",
        "masker": "the method's baseline=, as in hs.shapley_sampling(baseline=hs.pad_embedding)",
        "method": "explainer(text, method='saliency')",
        "target": "explainer(text, target=hs.MaskedToken('word'))",
    },
    "figure": {
        "annot": "mark=hs.Matrix(values=True)",
        "aspect": "width= in inches; the height follows",
        "cbar": "legend=False",
        "cbar_kws": "legend='right'",
        "center": "a signed method, whose colours have their centre at 0",
        "col": "a list of maps, figure([heat, another], ncols=2)",
        "col_wrap": "ncols=",
        "color": "cmap=",
        "colors": "cmap=",
        "data": "figure(heat)",
        "dpi": "figure(heat).savefig('figure.png', dpi=300)",
        "figsize": "width= in inches; the height follows",
        "filename": "figure(heat).savefig('figure.pdf')",
        "fontsize": "the mark's, mark=hs.Highlight(fontsize=10)",
        "fmt": "mark=hs.Matrix(values=True)",
        "height": "width= in inches; the height follows",
        "hue": "a list of maps, figure([heat, another])",
        "kind": "mark=, such as hs.Bars()",
        "max_display": "mark=hs.Bars(top=10)",
        "order": "mark=hs.Bars(sort='size')",
        "palette": "cmap=",
        "robust": "limit=",
        "row": "a list of maps, figure([heat, another], ncols=1)",
        "save": "figure(heat).savefig('figure.pdf')",
        "size": "width= in inches; the height follows",
        "style": "Matplotlib's rcParams, which figures follow",
        "top_k": "explainer(text, top_k=5)",
        "vmax": "limit=",
        "vmin": "limit=",
    },
    "integrated_gradients": {
        "method": "quadrature=",
        "multiply_by_inputs": "hs.captum_method(captum.attr.IntegratedGradients, multiply_by_inputs=False)",
        "n_perturbations": "n_steps=",
        "return_convergence_delta": "heat.convergence_delta, which is always there",
    },
    "saliency": {
        "abs": "absolute=",
        "input_x_gradient": "hs.input_x_gradient()",
    },
    "smooth_grad": {
        "nt_type": "hs.smooth_grad_squared() or hs.var_grad()",
        "stdevs": "noise_level=",
    },
}
"""Of the functions, by their names."""

METHOD_ARGUMENTS = {
    "batch_size": "hs.Explainer(model, tokenizer, batch_tokens=1024)",
    "granularity": "feature=",
    "internal_batch_size": "hs.Explainer(model, tokenizer, batch_tokens=1024)",
    "max_evals": "n_samples=",
    "n_perturbations": "n_samples=",
    "perturbations_per_eval": "hs.Explainer(model, tokenizer, batch_tokens=1024)",
}
"""Of every function that returns a method."""

METHODS = {
    "deeplift": "method='integrated_gradients', since the rules of DeepLift do not fit transformers",
    "gradient": "method='saliency'",
    "gradients": "method='saliency'",
    "grad_x_input": "method='input_x_gradient'",
    "layer_gradient_x_activation": "method='input_x_gradient'",
    "partition": "method=hs.shapley_sampling(feature='word')",
    "permutation": "method='shapley_sampling'",
    "shap": "method='shapley_sampling'",
    "sobol": "method='shapley_sampling'",
    "square_grad": "method='smooth_grad_squared'",
    "feature_ablation": "method='leave_one_out'",
    "deep_lift": "method='integrated_gradients', since the rules of DeepLift do not fit transformers",
    "grad": "method='saliency'",
    "gradient_x_input": "method='input_x_gradient'",
    "gradientxinput": "method='input_x_gradient'",
    "ig": "method='integrated_gradients'",
    "lrp": "method='attn_lrp'",
}
"""Of the methods, by their names."""


CALLS = {
    "Explainer": "hs.Explainer(model, tokenizer); the target and the method belong to the call, "
    "explainer(text, target=..., method=...)",
    "Explainer.from_pretrained": "hs.Explainer.from_pretrained('folder-or-name', task='fill-mask')",
    "SaliencyMap.from_attributions": "hs.SaliencyMap.from_attributions(attributions, encoding, model)",
    "SaliencyMap.load": "hs.SaliencyMap.load('heat.json')",
    "SaliencyMap.merge_targets": "heat.merge_targets(by='entity')",
    "SaliencyMap.normalized": "heat.normalized('row_max')",
    "SaliencyMap.plot": "heat.plot(hs.Bars(), width='acl')",
    "SaliencyMap.save": "heat.save('heat.json')",
    "SaliencyMap.to_dataframe": "heat.to_dataframe()",
    "SaliencyMap.to_textual_heatmap": "heat.to_textual_heatmap(top_k=3)",
    "SaliencyMap.words": "heat.words('mean')",
    "animate": "hs.animate(heat, 'heat.gif')",
    "explainer": "explainer(text, method='saliency'). Texts that belong together are a tuple, "
    "explainer((prompt, continuation)); several texts are a list, explainer([text, another])",
    "explainer.stream": "explainer.stream(texts, on_error='skip')",
    "figure": "hs.figure(heat, hs.Matrix(), width='acl'); several maps are a list, hs.figure([heat, another])",
    "page": "hs.page(heat, 'page.html', title='Saliency'); several maps are a list, hs.page([heat, another])",
    "show": "hs.show(heat, viewer='page'); several maps are a list, hs.show([heat, another])",
    "summarize": "hs.summarize(maps, by='word')",
    "to_latex": "hs.to_latex(heat, targets='word')",
    "write_corpus": "hs.write_corpus(explainer, texts, 'folder', engine='local')",
}
"""Of functions whose own arguments do not say it."""


def attribute(owner: object, noun: str, name: str, synonyms: Mapping[str, str]) -> Any:
    """For ``__getattr__``: an attribute that does not exist is refused, and a property that failed says why."""
    if hasattr(type(owner), name):
        return object.__getattribute__(owner, name)
    raise unknown(noun, name, synonyms, dir(type(owner)))


def unknown(owner: str, name: str, synonyms: Mapping[str, str], names: Iterable[str]) -> AttributeError:
    """The error for an attribute that does not exist; it names the call to use, or the nearest name."""
    call = synonyms.get(name)
    if call is None and name.endswith("Explainer"):
        call = "hs.Explainer(model, tokenizer)"
    if call is None:
        plain = {_plain(each): each for each in names if not each.startswith("_")}
        near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
        call = plain[near[0]] if near else None
        return AttributeError(f"{owner} has no attribute {name!r}{f'. Did you mean {call}?' if call else ''}")
    return AttributeError(f"{owner} has no attribute {name!r}: use {call}.")


def _plain(name: str) -> str:
    """A name without its style, so that ``IntegratedGradients`` is ``integrated_gradients``."""
    return name.replace("_", "").lower()
