"""First guesses of users of other tools: each call works, or its error names the call that does."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pytest
import tiny
import transformers

import hf_saliency as hs
from hf_saliency import synonyms
from hf_saliency.attribution.registry import METHODS
from hf_saliency.render.files import SaliencyFigure


@functools.cache
def names() -> dict[str, Any]:
    """Return the names that the calls below may use: small models, their maps, and the packages."""
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
        "folder": Path(hs.__file__).parent / "demo",
        "transformers": transformers,
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


# A call, and a part of its error that helps the user, or None if the call works.
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
    ("hs.Explainer('bert-base-uncased')", r"Explainer.from_pretrained\('bert-base-uncased'\)"),
    ("hs.Explainer.from_pretrained(model)", r"hs.Explainer\(model, tokenizer\)"),
    ("clf(text, text_pair='a dog')", "takes no argument 'text_pair'"),
    ("lm('the cat', target=hs.Continuation(max_new_tokens=2))", None),
    ("hs.Explainer.from_pretrained(folder, device_map='auto', progress=False)", None),
    ("hs.Explainer(transformers.pipeline('fill-mask', model=model, tokenizer=tokenizer))", None),
    ("hs.Explainer(model)", r"Explainer\(AutoModelForMaskedLM.from_pretrained\(name\), AutoTokenizer"),
    ("hs.Explainer(model, tokenizer, device='cpu')", r"use model.to\(device\)"),
    ("explainer([text], batch_size=8)", "batch_tokens=1024"),
    ("explainer(question='who sat', context=text)", r"explainer\(\(question, context\)\)"),
    ("explainer.to('cpu')", r"use model.to\(device\)"),
    ("explainer(text, target='cat', top_k=5)", None),
    # Captum
    ("explainer(text, method=captum.attr.InputXGradient)", None),
    ("explainer(text, method='IntegratedGradients')", "Did you mean 'integrated_gradients'"),
    ("explainer(text, method=captum.attr.Saliency(model))", "give the class, method=Saliency"),
    ("explainer(text, method=captum.attr.Occlusion)", r"hs.captum_method\(Occlusion, sliding_window_shapes"),
    ("explainer(text, n_steps=20)", r"use method=hs.integrated_gradients\(n_steps=20\)"),
    ("explainer(text, baselines=0)", "takes no argument 'baselines'"),
    ("hs.integrated_gradients(20, baselines=0)", "did you mean 'baseline'"),
    ("hs.integrated_gradients(20, internal_batch_size=4)", "it takes n_steps, baseline"),
    ("explainer(text, method=hs.integrated_gradients(20, baseline='pad'))", "hs.mask_embedding"),
    ("explainer(text, target=(4, 12))", r"hs.MaskedToken\("),
    ("explainer.captum(text)", None),
    ("hs.captum_records(heat)", None),
    ("explainer.attribute(text)", r"use explainer\(text\)"),
    ("explainer(text, method=captum.attr.LayerIntegratedGradients, target='cat')", None),
    ("explainer(text, return_convergence_delta=True)", "use heat.convergence_delta"),
    ("explainer(text, internal_batch_size=4)", "batch_tokens=1024"),
    ("hs.IntegratedGradients(model)", "Did you mean integrated_gradients"),
    ("hs.LayerIntegratedGradients(model, model.get_input_embeddings())", "use hs.integrated_gradients"),
    ("hs.integrated_gradients(20, method='gausslegendre')", "use quadrature="),
    ("hs.smooth_grad(nt_type='smoothgrad_sq')", r"use hs.smooth_grad_squared\(\)"),
    # inseq
    ("lm('the cat', ' sat')", r"explainer\(\(prompt, continuation\)\)"),
    ("lm('the cat', method='input_x_gradient')", None),
    ("lm('the cat', method='attention')", "Did you mean 'attention_rollout'"),
    ("lm('the cat', method='layer_integrated_gradients')", "Did you mean 'integrated_gradients'"),
    ("lm('the cat', method='value_zeroing')", None),
    ("lm('the cat', method='attn_lrp')", None),
    ("lm('the cat', attributed_fn='probability')", "takes no argument 'attributed_fn'"),
    ("hs.NextToken(unit='probability')", "choose one of 'logit', 'log_prob', 'prob' .*did you mean 'prob'"),
    ("lm('the cat', step_scores=['probability'])", "takes no argument 'step_scores'"),
    ("lm(('the cat', ' sat'), target=hs.Continuation(against='dog'))", None),
    ("heat.words('mean')", None),
    ("lm(text, target=hs.NextToken('sat'))", None),
    ("hs.load_model('gpt2', 'saliency')", r"use hs.Explainer.from_pretrained\(name\)"),
    ("lm.attribute('the cat')", r"use explainer\(text\)"),
    ("heat.show()", r"use hs.show\(heat\)"),
    ("heat.aggregate()", r"use heat.words\(\)"),
    ("lm('the cat', generation_args={'max_new_tokens': 2})", r"use target=hs.Continuation\(max_new_tokens"),
    ("lm('the cat', contrast_targets='dog')", r"use target=hs.Continuation\(against="),
    ("lm('the cat', show_progress=False)", r"progress=False\)"),
    ("lm('the cat', method='deeplift')", "method='integrated_gradients'"),
    # shap and transformers-interpret
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
    ("label.values", "use heat.scores"),
    ("np.asarray(label)", None),
    ("hs.plots.text(label)", r"use hs.show\(heat\)"),
    ("clf.shap_values(text)", r"method=hs.shapley_sampling\(\)"),
    ("clf(text, max_evals=100)", r"method=hs.shapley_sampling\(n_samples=25\)"),
    ("clf(text, class_name='POSITIVE')", r"use target=hs.Label\('POSITIVE'\)"),
    ("clf.predicted_class_name", r"use explainer\(text\).targets\[0\].label"),
    ("label.word_attributions", r"use list\(zip\(heat.labels, heat.scores\[0\]\)\)"),
    # seaborn and interpreto
    ("hs.figure(heat, palette='viridis')", "use cmap="),
    ("hs.figure(heat, targets='cat', cmap='viridis')", None),
    ("hs.figure(heat, cmap='jet')", "Choose a sequential colormap such as 'Oranges'"),
    ("hs.figure(heat, vmax=1)", "use limit="),
    ("hs.figure(heat, limit=-1)", r"figure\(..., limit=3.25\)"),
    ("hs.figure(heat, figsize=(4, 3))", "use width="),
    ("hs.figure(heat, col_wrap=2)", "use ncols="),
    ("hs.figure(heat, legend=None)", "choose one of True, False"),
    ("hs.figure(heat, width='chi')", r"width=3.25\), or one of 'aaai'"),
    ("hs.figure(heat.scores)", r"figure\(Explainer\(model, tokenizer\)\(text\)\)"),
    ("hs.figure(heat, targets='dog')", "no target is at the word 'dog'; the targets are 'the'"),
    ("hs.heatmap(heat)", r"use hs.figure\(heat, hs.Matrix\(\)\)"),
    ("hs.figure(heat, 'heatmap')", r"Matrix\(\)"),
    ("hs.figure(heat, annot=True)", r"use mark=hs.Matrix\(values=True\)"),
    ("hs.figure(heat, cbar=False)", "use legend=False"),
    ("clf.explain(text)", r"use explainer\(text\)"),
    ("clf(text, granularity='word')", r"use heat.words\(\)"),
    ("hs.Explainer(model, tokenizer, 'saliency')", r"explainer\(text, target=..., method=...\)"),
    ("clf(text, method='sobol')", "Use method='shapley_sampling'"),
    ("heat.normalized('minmax')", "choose one of 'row_max', 'row_sum', 'none'"),
]


FURTHER: list[tuple[str, str | None]] = [
    ("heat.heatmap()", r"use heat.plot\(hs.Matrix\(\)\)"),
    ("heat.to_pandas()", r"use heat.to_dataframe\(\)"),
    ("heat.to_json()", r"use heat.save\('heat.json'\)"),
    ("heat.predictions", r"use heat.targets\[0\].predictions"),
    ("heat.text", r"use heat.texts\[0\]"),
    ("heat.barplot()", r"use heat.plot\(hs.Bars\(\)\)"),
    ("hs.text_plot(heat)", r"use hs.show\(heat\)"),
    ("hs.waterfall(label)", r"use hs.figure\(heat, hs.Bars\(\)\)"),
    ("hs.load('heat.json')", r"use hs.SaliencyMap.load\('heat.json'\)"),
    ("hs.from_pretrained('gpt2')", r"use hs.Explainer.from_pretrained\(name\)"),
    ("hs.pipeline('fill-mask')", r"use hs.Explainer\(transformers.pipeline"),
    ("hs.VisualizationDataRecord(heat)", r"use hs.captum_records\(heat\)"),
    ("hs.DeepLift(model)", r"use hs.integrated_gradients\(\)"),
    ("hs.FeatureAttributionOutput.load('heat.json')", r"use hs.SaliencyMap.load"),
    ("clf.predict(text)", r"use explainer\(text\).targets\[0\].predictions"),
    ("clf.plot(text)", r"use explainer\(text\).plot\(\)"),
    ("explainer(text, method='ig')", "Use method='integrated_gradients'"),
    ("explainer(text, method='lrp')", "Use method='attn_lrp'"),
    ("explainer(text, device='cpu')", r"use model.to\(device\)"),
    ("hs.figure(heat, filename='heat.png')", r"use figure\(heat\).savefig"),
    ("explainer(text, against='dog')", r"target=hs.MaskedToken\(against='dog'\)"),
    ("clf(text, target=1)", r"hs.Label\(1\)"),
    ("explainer.score_masked(text, np.ones((1, 8), bool))", r"explainer.score_masked\(text, keep=array\)"),
    ("hs.NextToken(contrast='dog')", "NextToken takes no argument 'contrast': it takes where, token"),
    ("hs.MaskedToken(againts='dog')", "did you mean 'against'"),
    ("hs.figure(heat, kind='bar')", "use mark="),
    ("hs.figure(heat, targets='cat').show()", "fig.savefig"),
    ("hs.page(heat, viewer='terminal')", "page takes no argument 'viewer'"),
    ("explainer(text, absolute=True)", r"use method=hs.saliency\(absolute=True\)"),
    ("hs.explain(model, text)", r"a module, not a function: use hs.Explainer\(model, tokenizer\)\(text\)"),
    ("hs.show(heat, 'html')", r"viewer, .* by name: hs.show\(heat, viewer='page'\)"),
    ("hs.show()", "show needs maps: hs.show"),
    ("heat.save()", r"SaliencyMap.save needs path: heat.save\('heat.json'\)"),
    ("heat.save('heat.json', 'json')", r"SaliencyMap.save takes only path: heat.save\('heat.json'\)"),
    ("hs.SaliencyMap.load()", r"load needs path: hs.SaliencyMap.load\('heat.json'\)"),
    (
        "heat.plot('bars', 3)",
        r"takes only mark by position, and other arguments by name: heat.plot\(hs.Bars\(\), width='acl'\)",
    ),
    ("explainer()", r"explainer needs texts: explainer\(text, method='saliency'\)"),
    ("explainer(text, 'cat', 'saliency')", r"takes target, method, .* by name: explainer\(text, method="),
    ("hs.Explainer()", r"Explainer needs model: hs.Explainer\(model, tokenizer\)"),
    ("hs.Explainer.from_pretrained()", r"needs name_or_path: hs.Explainer.from_pretrained\('folder"),
    ("hs.Explainer.from_pretrained(folder, tokenizer)", r"task=\w+\(.{,60}\.\.\.: choose one of 'fill-mask'"),
    ("hs.figure()", "figure needs maps: hs.figure"),
    (
        "hs.figure(heat, hs.Matrix(), 'acl')",
        r"takes width, .* by name: hs.figure\(heat, hs.Matrix\(\), width=",
    ),
    ("hs.figure(heat, heat)", r"pass several maps as a list, figure\(\[heat, another\]\)"),
    ("hs.figure(heat, maps=heat)", "figure is given maps twice, by position and by name: hs.figure"),
    ("hs.page(heat, 'page.html', 'Title')", r"takes title, .* by name: hs.page\(heat, 'page.html', title="),
    ("hs.load_demo('bert')", r"load_demo takes no arguments: hs.load_demo\(\)"),
    ("hs.faithfulness(explainer, [text])", r"needs methods: hs.faithfulness\(explainer, texts, methods="),
    ("hs.agreement(heat)", r"agreement needs other: hs.agreement\(heat, other\)"),
    (
        "hs.saliency(model)",
        r"takes no model: .* hs.Explainer\(model, tokenizer\)\(text, method=",
    ),
    ("hs.MaskedToken(*'abcdefg')", r"MaskedToken takes only where, token, .*: hs.MaskedToken\(where\)"),
    ("hs.captum_method('IntegratedGradients')", "give a class such as captum.attr.IntegratedGradients"),
    ("explainer(text, method=model)", r"method=BertForMaskedLM.*: give a method such as hs.integrated"),
    ("explainer(text=text)", r"use a text in the first place, explainer\('Some text.'\)"),
    ("explainer(text, return_tensors='pt')", "which tokenizes the text itself"),
    ("explainer(text, add_special_tokens=False)", r"explainer\(\(text, ids\)\)"),
    ("explainer(text, word='cat')", "use target='word'"),
    ("explainer(text, targets='cat')", "use target='word'"),
    ("explainer.cuda()", r"use model.to\('cuda'\) before hs.Explainer"),
    ("explainer.eval()", "it runs the model in eval mode"),
    ("explainer.config", "use explainer.text_model.model.config"),
    ("explainer.save_pretrained('folder')", r"explainer.text_model.model.save_pretrained\(folder\)"),
    ("hs.AutoModel.from_pretrained('gpt2')", r"use hs.Explainer.from_pretrained\(name\)"),
    (
        "explainer.captum(text, baselines=0)",
        r"takes no argument 'baselines' \(use baseline=hs.mask_embedding\)",
    ),
    ("hs.TokenReferenceBase()", "baseline=hs.pad_embedding"),
    ("hs.configure_interpretable_embedding_layer(model, 'bert')", "which finds the embeddings"),
    ("hs.visualization.visualize_text([heat])", r"use hs.show\(heat\), or hs.captum_records\(heat\)"),
    ("hs.LayerConductance(model, None)", "whose score takes any layer method of Captum"),
    ("hs.lime(n_perturb_samples=20)", "did you mean 'n_samples'"),
    ("lm('the cat', attr_pos_start=2)", r"use target=hs.Continuation\(where='word'\)"),
    ("lm('the cat', contrast_sources='dog')", r"use target=hs.Continuation\(against='another'\)"),
    ("lm('the cat', 'saliency')", r"explainer\(text, method='saliency'\)"),
    ("hs.show_attributions(heat)", r"use hs.show\(heat\)"),
    ("hs.list_step_functions()", r"as in hs.NextToken\(unit='prob'\)"),
    ("heat.source_attributions", "use heat.scores, whose columns are heat.labels"),
    ("heat.get_scores_dicts()", r"use heat.to_dataframe\(\)"),
    ("hs.decision_plot(label)", r"use hs.figure\(heat, hs.Bars\(\)\)"),
    ("label.cohorts(2)", r"use hs.summarize\(maps, by='word'\)"),
    ("clf(text, silent=True)", "progress=False"),
    ("clf(text, embedding_type=0)", r"embedding=model.get_input_embeddings\(\)"),
    ("clf.predicted_class_index", r"targets\[0\].class_id"),
    ("clf.pred_probs", r"targets\[0\].predictions"),
    ("hs.figure(heat, x='token', y='score')", r"use mark=hs.Bars\(\)"),
    ("hs.figure(heat, xticklabels=['the'])", r"use mark=hs.Matrix\(\)"),
    ("hs.figure(heat).save('figure.pdf')", r"use fig.savefig\('figure.pdf'\)"),
    ("hs.catplot(heat)", r"use hs.figure\(\[heat, another\], hs.Bars\(\), ncols=2\)"),
    ("hs.despine()", "Matplotlib's rcParams"),
    ("hs.Granularity.WORD", r"use heat.words\(\)"),
    ("hs.InferenceModes.SOFTMAX", r"as in hs.Label\(unit='prob'\)"),
    ("hs.leave_one_out('word')", r"takes baseline, feature by name: hs.leave_one_out\(feature='word'\)"),
    ("label.elements", "use heat.labels"),
    ("hs.Sobol(model, tokenizer)", r"use hs.shapley_sampling\(\)"),
    ("hs.compare([heat])", r"use hs.agreement\(heat, another\)"),
    ("heat.to_csv('heat.csv')", r"use heat.to_dataframe\(\).to_csv\('heat.csv'\)"),
    ("heat.top_k(5)", r"use heat.plot\(hs.Bars\(top=10\)\)"),
    ("hs.list_methods()", r"use explainer\(text, method='saliency'\), with a name that docs/methods.md"),
    ("hs.methods", "docs/methods.md"),
    ("explainer.methods", "docs/methods.md"),
    ("explainer(text, padding=True)", r"use explainer\(\[text, another\]\)"),
    ("heat.sort()", r"use heat.plot\(hs.Bars\(sort='size'\)\)"),
    ("heat.filter('cat')", r"use heat.select\('word'\)"),
    ("heat.sentences()", r"use method=hs.leave_one_out\(feature='sentence'\)"),
]


@pytest.mark.parametrize(
    ("call", "help_"), [*GUESSES, *FURTHER], ids=[call for call, _ in [*GUESSES, *FURTHER]]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_first_guesses(call: str, help_: str | None) -> None:
    if help_ is None:
        assert eval(call, names()) is not None
        return
    with pytest.raises((hs.SaliencyError, AttributeError), match=help_):
        eval(call, names())


def test_five_communities_have_twenty_guesses_each() -> None:
    assert len(GUESSES) == len({call for call, _ in GUESSES}) == 100


@pytest.mark.parametrize("path", [each for each in Path(hs.__file__).parent.iterdir() if each.name[0] != "_"])
def test_a_module_that_is_called_names_the_call(path: Path) -> None:
    if path.stem == "synonyms" or path.suffix not in ("", ".py"):
        return
    module: Any = importlib.import_module(f"hf_saliency.{path.stem}")
    assert getattr(hs, path.stem) is module
    with pytest.raises(
        hs.SaliencyError, match=rf"hf_saliency.{path.stem} is a module, not a function: use .+\."
    ):
        module("the cat sat")


# The package itself calls these, as Captum calls its classes.
CALLED_INSIDE = {name for name in hs.__all__ if name.endswith(("_embedding", "_logits"))}


@pytest.mark.parametrize(
    "name", [each for each in hs.__all__ if each.islower() and each not in CALLED_INSIDE]
)
def test_a_function_names_the_call_that_fits(name: str) -> None:
    function = getattr(hs, name)
    parameters = inspect.signature(function).parameters.values()
    places = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    with pytest.raises(hs.SaliencyError, match=rf"{name} takes .*: hs\.{name}\("):
        function(*[0] * (len(places) + 1))
    refusal = (
        "attribution=0: give a class" if name == "captum_method" else f"{name} takes no argument 'nonsense'"
    )
    with pytest.raises(hs.SaliencyError, match=refusal):
        function(*[0] * len(places), nonsense=1)
    missing = [each.name for each in parameters if each.default is each.empty and each.name != "arguments"]
    if missing:
        with pytest.raises(hs.SaliencyError, match=rf"{name} needs {', '.join(missing)}: hs\.{name}\("):
            function()


def test_a_synonym_names_no_argument_that_there_is() -> None:
    """A synonym is no existing name either: a name that works needs no hint."""
    assert not set(synonyms.PACKAGE) & {*hs.__all__, *dir(hs)}
    assert not set(synonyms.EXPLAINER) & {*dir(hs.Explainer)}
    assert not set(synonyms.FIGURE) & {*dir(SaliencyFigure)}
    assert not set(synonyms.MAP) & {*dir(hs.SaliencyMap), *hs.SaliencyMap.__dataclass_fields__}
    functions: dict[str, Any] = {
        "explainer": hs.Explainer.__call__,
        "explainer.captum": hs.Explainer.captum,
        "from_pretrained": hs.Explainer.from_pretrained,
    }
    for name, arguments in synonyms.ARGUMENTS.items():
        function = functions.get(name) or getattr(hs, name)
        assert not set(arguments) & {*inspect.signature(function).parameters}
    assert not set(synonyms.METHODS) & {*METHODS}
    for make in METHODS.values():
        assert not set(synonyms.METHOD_ARGUMENTS) & {*inspect.signature(make).parameters}


def test_the_calls_that_synonyms_name_are_there() -> None:
    """Check every ``hs.`` name in the text of the hints, and its keywords."""
    tables = [
        synonyms.PACKAGE,
        synonyms.EXPLAINER,
        synonyms.MAP,
        synonyms.FIGURE,
        synonyms.METHODS,
        synonyms.METHOD_ARGUMENTS,
    ]
    tables += [synonyms.CALLS, *synonyms.ARGUMENTS.values()]
    hints = " ".join(hint for table in tables for hint in table.values())
    calls = re.findall(r"hs\.(\w+)(?:\(([^()]*)\))?", hints)
    assert len(calls) > 50
    for name, arguments in calls:
        assert name in hs.__all__, name
        keywords = set(re.findall(r"(\w+)=", arguments)) if name != "captum_method" else set()
        assert keywords <= {*inspect.signature(getattr(hs, name)).parameters}, (name, keywords)
    for method in re.findall(r"method='(\w+)'", hints):
        assert method in METHODS
