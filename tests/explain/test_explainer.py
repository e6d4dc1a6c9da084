"""The explainer end to end on tiny models: batches, an unchanged model, bad input."""

from __future__ import annotations

import codecs
import gc
import locale
import threading
import warnings
from typing import Any

import captum.attr
import numpy as np
import pytest
import tiny
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

import hf_saliency as hs
from hf_saliency.explain.batches import sweep

TEXT = "The formal study of grammar is an important part."


@pytest.fixture
def bert() -> tuple[nn.Module, PreTrainedTokenizerFast]:
    return tiny.masked_lm("bert")


@pytest.fixture
def explainer(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> hs.Explainer:
    return hs.Explainer(*bert)


def state(model: nn.Module) -> dict[str, Any]:
    """Everything in a model that an explanation could change."""
    return {
        "training": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad for parameter in model.parameters()],
        "values": [tensor.clone() for tensor in model.state_dict().values()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        "config": model.config.to_dict(),
    }


def assert_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in ("training", "requires_grad", "hooks", "config"):
        assert before[name] == after[name], name
    assert all(a is b for a, b in zip(before["grad"], after["grad"], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before["values"], after["values"], strict=True))


def test_a_string_gives_a_map_and_a_list_gives_a_list(explainer: hs.Explainer) -> None:
    one = explainer(TEXT)
    assert one.scores.shape == (10, 12)
    assert [target.label for target in one.targets[:3]] == ["The", "formal", "study"]
    assert explainer([TEXT]) == [one]
    assert explainer([]) == []


@pytest.mark.parametrize("budget", [1, 13, 24, 40, 10_000])
def test_results_do_not_depend_on_the_budget(explainer: hs.Explainer, budget: int) -> None:
    texts = [TEXT, "the cat", "she ran to the dog and the cat", TEXT]
    expected = [explainer(text) for text in texts]
    packed = hs.Explainer(explainer.text_model.model, explainer.text_model.tokenizer, batch_tokens=budget)(
        texts
    )
    for one, other in zip(packed, expected, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-10, atol=0)
        assert [t.predictions[0].class_id for t in one.targets] == [
            t.predictions[0].class_id for t in other.targets
        ]


def test_a_batch_stays_under_the_budget_of_tokens() -> None:
    lengths = [3, 9, 9, 4, 8, 2, 30]
    batches: list[list[int]] = []
    done = sum(
        len(batch)
        for batch, _ in sweep(
            [(one,) for one in lengths], 20, True, lambda batch, budget: batches.append(batch)
        )
    )
    assert done == len(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 20 for batch in batches)


def test_rows_of_unequal_length_are_kept_apart_where_padding_matters() -> None:
    lengths = [3, 9, 9, 3, 8]
    batches: list[list[int]] = []
    list(sweep([(one,) for one in lengths], 100, False, lambda batch, budget: batches.append(batch)))
    assert all(len({lengths[i] for i in batch}) == 1 for batch in batches)
    assert len(batches) == 3


def test_rows_of_equal_totals_are_kept_apart_where_their_sequences_differ() -> None:
    shapes = [(3, 9), (9, 3), (3, 9), (6, 6)]
    batches: list[list[int]] = []
    list(sweep(shapes, 100, False, lambda batch, budget: batches.append(batch)))
    assert sorted(map(sorted, batches)) == [[0, 2], [1], [3]]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hf_saliency")
    sizes, done = [], []

    def step(batch: list[int], budget: int) -> None:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise error
        done.extend(batch)

    assert sum(len(batch) for batch, _ in sweep([(10,)] * 20, 160, True, step)) == 20
    assert sorted(done) == list(range(20))
    assert sizes[:4] == [16, 8, 4, 2]
    assert [record.name for record in caplog.records] == ["hf_saliency.explain.batches"] * 3
    assert max(sizes[3:]) == 2  # a size that did not fit is not tried again


def test_a_row_that_never_fits_says_so() -> None:
    def step(batch: list[int], budget: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(hs.SaliencyError, match="a single text of 10 tokens does not fit"):
        list(sweep([(10,)] * 4, 160, True, step))


def test_other_errors_are_not_taken_for_memory() -> None:
    def step(batch: list[int], budget: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(sweep([(10,)] * 4, 160, True, step))


def test_memory_runs_out_within_the_model(explainer: hs.Explainer) -> None:
    expected = explainer(TEXT)
    model = explainer.text_model.model

    def full(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if len(arguments[0]) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")

    handle = model.bert.encoder.layer[1].attention.register_forward_pre_hook(full)
    np.testing.assert_allclose(explainer(TEXT).scores, expected.scores, rtol=1e-12)
    handle.remove()


@pytest.mark.parametrize("family", ["bert", "mobilebert", "deberta-v2", "modernbert"])
def test_the_model_is_left_as_it_was(family: str) -> None:
    model, tokenizer = tiny.masked_lm(family)
    expected = hs.Explainer(model, tokenizer)(TEXT)
    model.train()
    model.get_output_embeddings().eval()  # a mix of modes must be restored
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    before = state(model)
    np.testing.assert_allclose(hs.Explainer(model, tokenizer)(TEXT).scores, expected.scores, rtol=1e-10)
    assert_untouched(before, state(model))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, hs.SaliencyError])
def test_the_model_is_left_as_it_was_after_an_error(
    bert: tuple[nn.Module, PreTrainedTokenizerFast], error: type[BaseException]
) -> None:
    model, tokenizer = bert
    model.train()

    def interrupt(module: nn.Module, arguments: object) -> None:
        raise error("stop")

    handle = model.bert.encoder.layer[1].register_forward_pre_hook(interrupt)
    before = state(model)
    with pytest.raises(error, match="stop"):
        hs.Explainer(model, tokenizer)(TEXT)
    assert_untouched(before, state(model))
    handle.remove()


def test_gradients_can_be_switched_off_around_it(explainer: hs.Explainer) -> None:
    expected = explainer(TEXT).scores
    with torch.no_grad():
        assert np.array_equal(explainer(TEXT).scores, expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert np.array_equal(explainer(TEXT).scores, expected)


def test_frozen_and_trainable_parameters_give_the_same(explainer: hs.Explainer) -> None:
    expected = explainer(TEXT).scores
    explainer.text_model.model.requires_grad_(False)
    assert np.array_equal(explainer(TEXT).scores, expected)


def test_the_tokenizer_is_left_as_it_was(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    _, tokenizer = bert
    before = (tokenizer.padding_side, tokenizer.backend_tokenizer.to_str(), repr(tokenizer))
    hs.Explainer(*bert)([TEXT, "the cat"])
    assert (tokenizer.padding_side, tokenizer.backend_tokenizer.to_str(), repr(tokenizer)) == before


def test_threads_share_a_model_without_mixing_up_rows(
    bert: tuple[nn.Module, PreTrainedTokenizerFast],
) -> None:
    model, tokenizer = bert
    model.train()
    texts = ["the cat sat on a mat", "she ran to the dog", "formal education is important", TEXT]
    expected = [hs.Explainer(model, tokenizer)(text) for text in texts]
    found: dict[int, list[hs.SaliencyMap]] = {}

    def work(i: int) -> None:
        explainer = hs.Explainer(model, tokenizer, batch_tokens=20, progress=False)
        found[i] = [explainer(texts[i]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, maps in found.items():
        for saliency_map in maps:
            np.testing.assert_allclose(saliency_map.scores, expected[i].scores, rtol=1e-10)
    assert len(found) == 4
    assert model.training


@pytest.mark.skipif(
    codecs.lookup(locale.getencoding()).name == "ascii",
    reason="torch.compile reads its sources in the locale's encoding",
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_model_is_read_through(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = bert
    expected = hs.Explainer(model, tokenizer)(TEXT)
    assert hs.Explainer(torch.compile(model), tokenizer)(TEXT) == expected


def test_no_graph_outlives_a_call(explainer: hs.Explainer) -> None:
    explainer(TEXT)
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not [o for o in gc.get_objects() if isinstance(o, torch.Tensor) and o.grad_fn is not None]


@pytest.mark.parametrize(
    "method", [captum.attr.InputXGradient, lambda score: captum.attr.InputXGradient(score)]
)
def test_a_captum_class_or_a_function_is_a_method(explainer: hs.Explainer, method: Any) -> None:
    given, named = explainer(TEXT, method=method), explainer(TEXT, method=hs.input_x_gradient())
    np.testing.assert_allclose(given.scores, named.scores, rtol=1e-12)
    assert given.signed
    assert [t.predictions for t in given.targets] == [t.predictions for t in named.targets]


def test_a_layer_method_works_at_the_scores_site(explainer: hs.Explainer) -> None:
    layer = explainer(TEXT, method=captum.attr.LayerGradientXActivation)
    np.testing.assert_allclose(layer.scores, explainer(TEXT, method=hs.input_x_gradient()).scores, rtol=1e-10)


def test_the_norm_in_embedding_space_is_the_norm_of_the_saliency(explainer: hs.Explainer) -> None:
    norm = explainer(TEXT, method=hs.gradient_norm(space="embedding"))
    np.testing.assert_allclose(norm.scores, explainer(TEXT, method=hs.saliency("norm")).scores, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32_scores(
    bert: tuple[nn.Module, PreTrainedTokenizerFast], dtype: torch.dtype
) -> None:
    model, tokenizer = bert
    target = hs.MaskedToken(unit="prob")
    exact = hs.Explainer(model, tokenizer)(TEXT, target=target).scores
    half = hs.Explainer(model.to(dtype), tokenizer)(TEXT, target=target).scores
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, exact, rtol=0.15 if dtype is torch.bfloat16 else 0.03)


def test_the_map_says_where_it_comes_from(explainer: hs.Explainer) -> None:
    provenance = explainer(TEXT).provenance
    assert provenance["class"] == "BertForMaskedLM"
    assert provenance["dtype"] == "float64"
    assert {"torch", "captum", "transformers", "hf-saliency"} <= set(provenance)


def test_nan_gradients_are_named(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = bert
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    with pytest.warns(RuntimeWarning, match=r"scores of 10 targets are not finite \('The', 'formal'"):
        hs.Explainer(model, tokenizer)(TEXT)


LONG = "the cat sat on a mat and " * 8  # 56 tokens and 2 special ones; the model reads 36


def test_a_long_text_is_refused_and_nothing_is_cut_silently(explainer: hs.Explainer) -> None:
    with pytest.raises(
        hs.SaliencyError, match=r"58 tokens.*at most 36.*overflow='truncate'.*overflow='windows'"
    ):
        explainer(LONG)


def test_a_long_text_is_truncated_on_request(explainer: hs.Explainer) -> None:
    heat = explainer(LONG, overflow="truncate")
    assert heat.scores.shape == (34, 36)
    assert LONG.startswith(heat.texts[0])
    np.testing.assert_allclose(heat.scores, explainer(heat.texts[0]).scores, rtol=1e-12)
    assert [token.piece for token in heat.tokens] == [
        token.piece for token in explainer(heat.texts[0]).tokens
    ]


def test_each_target_of_a_long_text_has_a_window_around_it(explainer: hs.Explainer) -> None:
    heat = explainer(LONG, overflow="windows")
    assert heat.scores.shape == (56, 58)
    seen = heat.scores > 0
    assert (seen.sum(axis=1) == 36).all()
    assert seen[:, [0, -1]].all()  # the special tokens are in every window
    middle = heat.targets[30].position
    assert seen[30, middle - 17 : middle + 17].all()
    # The beginning of the text has the same scores as if it were the whole text.
    beginning = explainer(heat.texts[0][: heat.tokens[34].end])
    np.testing.assert_allclose(heat.scores[0, :35], beginning.scores[0, :35], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        (" \n ", "the text is empty"),
        ("[CLS] [SEP]", "special tokens only"),
        (3.5, "must be a string, not float"),
        (3, r"must be a string, not list: .*token ids come with their text, explainer\(\(text, ids\)\)"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_bad_text(explainer: hs.Explainer, text: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer([text])


@pytest.mark.parametrize("texts", [None, 5, b"the cat", {"text": "the cat"}, {"the cat"}])
def test_what_is_no_text_at_all(explainer: hs.Explainer, texts: Any) -> None:
    with pytest.raises(hs.SaliencyError, match="must be a string, not"):
        explainer(texts)


def test_the_encoding_of_a_text_is_read_by_its_ids_not_by_its_keys(explainer: hs.Explainer) -> None:
    heat = explainer(explainer.text_model.tokenizer(TEXT))
    np.testing.assert_array_equal(heat.scores, explainer(TEXT).scores)


def test_a_bad_text_of_a_list_is_numbered(explainer: hs.Explainer) -> None:
    with pytest.raises(hs.SaliencyError, match=r"texts\[2\]: the word 'cat' is not in the text"):
        explainer(["the cat", "cat", "the dog"], target=hs.MaskedToken("cat"))


@pytest.mark.parametrize("batch_tokens", [0, -1, 1.5, "x", True])
def test_a_budget_that_is_no_number_of_tokens(explainer: hs.Explainer, batch_tokens: Any) -> None:
    with pytest.raises(hs.SaliencyError, match=f"batch_tokens={batch_tokens!r}: give"):
        hs.Explainer(explainer.text_model.model, explainer.text_model.tokenizer, batch_tokens=batch_tokens)


def test_an_unknown_word_is_labelled_as_what_is_scored(explainer: hs.Explainer) -> None:
    heat = explainer("the xyzzy sat")
    assert [target.label for target in heat.targets] == ["the", "[UNK]", "sat"]
    assert heat.labels[2] == "xyzzy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "xylophone"}, "the word 'xylophone' is not in the text"),
        ({"method": 3}, "method=3: give a method such as hs.integrated_gradients"),
        (
            {"method": "integrated_gradient"},
            "no method 'integrated_gradient'. Did you mean 'integrated_gradients'",
        ),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_k": 1.5}, "top_k=1.5"),
        ({"top_k": True}, "top_k=True"),
        ({"overflow": "cut"}, "overflow='cut'"),
        ({"method": captum.attr.LRP}, "LRP"),
    ],
)
def test_bad_arguments(explainer: hs.Explainer, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer(TEXT, **arguments)


def added_mask() -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """A model without an embedding row for the mask token, because the token was added to the tokenizer later."""
    tokenizer = tiny.tokenizer.__wrapped__()
    model = tiny.of_class("BertForMaskedLM", vocab_size=len(tokenizer))
    tokenizer.add_special_tokens({"mask_token": "<blank>"})
    return model, tokenizer


def test_a_mask_token_outside_the_models_table() -> None:
    message = (
        r"the token '<blank>' the id \d+, but the model's embedding has \d+ rows.*resize_token_embeddings"
    )
    model, tokenizer = added_mask()
    with pytest.raises(hs.SaliencyError, match=message):
        hs.Explainer(model, tokenizer)(TEXT)
    for method in ("occlusion", hs.integrated_gradients(baseline=hs.mask_embedding)):
        with pytest.raises(hs.SaliencyError, match=message):
            hs.Explainer(model, tokenizer)("the cat", target=hs.UnmaskedToken(), method=method)


def test_a_class_that_the_tokenizer_does_not_know() -> None:
    model = tiny.of_class("BertForMaskedLM", vocab_size=60)
    heat = hs.Explainer(model, tiny.tokenizer())("the cat", target=hs.MaskedToken("cat", token=55), top_k=60)
    assert heat.targets[0].label == "id 55"
    unknown = {one.label for one in heat.targets[0].predictions if one.class_id >= len(tiny.tokenizer())}
    assert unknown == {f"id {i}" for i in range(len(tiny.tokenizer()), 60)}


def test_ids_outside_the_models_table() -> None:
    model, tokenizer = tiny.masked_lm("bert", vocab_size=20)
    with pytest.raises(hs.SaliencyError, match=r"embedding has 20 rows.*resize_token_embeddings"):
        hs.Explainer(model, tokenizer)(TEXT)


def test_a_model_without_a_text_embedding(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    with pytest.raises(hs.SaliencyError, match="has no get_input_embeddings"):
        hs.Explainer(nn.Linear(2, 2), bert[1])
    model, tokenizer = bert
    model.set_input_embeddings(nn.Linear(4, 4))
    with pytest.raises(hs.SaliencyError, match="no text embedding"):
        hs.Explainer(model, tokenizer)


def test_model_and_tokenizer_the_wrong_way_round(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = bert
    with pytest.raises(hs.SaliencyError, match="expected a model and its tokenizer"):
        hs.Explainer(tokenizer, model)


def test_a_model_whose_graph_is_cut_says_so(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    """Kernels without a backward pass cut the graph, for example those of quantised models."""
    model, tokenizer = bert
    model.bert.encoder.layer[0].register_forward_hook(
        lambda module, arguments, output: (
            output.detach() if torch.is_tensor(output) else (output[0].detach(),)
        )
    )
    with pytest.raises(hs.SaliencyError, match="does not depend on the embeddings"):
        hs.Explainer(model, tokenizer)(TEXT)


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_kernels_without_a_backward_pass_are_refused(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = bert
    model = torch.ao.quantization.quantize_dynamic(model.float(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(hs.SaliencyError, match="has no backward pass.*bitsandbytes"):
        hs.Explainer(model, tokenizer)


def test_a_model_with_offloaded_weights_works(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    accelerate = pytest.importorskip("accelerate")
    expected = hs.Explainer(*bert)(TEXT)
    model = accelerate.cpu_offload(bert[0], torch.device("cpu"))
    assert next(model.parameters()).is_meta
    np.testing.assert_allclose(hs.Explainer(model, bert[1])(TEXT).scores, expected.scores, rtol=1e-12)


def test_a_mask_token_that_is_missing() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    with pytest.raises(hs.SaliencyError, match=r"has no mask token.*UnmaskedToken"):
        hs.Explainer(model, tokenizer)(TEXT)
    assert hs.Explainer(model, tokenizer)(TEXT, target=hs.UnmaskedToken()).scores.shape == (10, 12)


def test_an_embedding_that_is_called_twice(bert: tuple[nn.Module, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = bert
    embedding = model.get_input_embeddings()

    class Twice(type(model)):
        def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
            embedding(input_ids)
            return super().forward(input_ids=input_ids, **inputs)

    model.__class__ = Twice
    with pytest.raises(hs.SaliencyError, match="called its text embedding 2 times"):
        hs.Explainer(model, tokenizer)(TEXT)


def test_a_model_that_is_no_masked_language_model() -> None:
    import transformers

    config = transformers.BertConfig(**tiny.SIZES)
    model = transformers.BertForSequenceClassification(config).double()
    with pytest.raises(hs.SaliencyError, match="AutoModelForMaskedLM"):
        hs.Explainer(model, tiny.tokenizer())(TEXT, target=hs.MaskedToken())


def test_a_row_that_padding_makes_nan_is_repeated_alone(explainer: hs.Explainer) -> None:
    expected = explainer("The study.")

    def spoil(module: nn.Module, arguments: Any, inputs: dict[str, Any], output: Any) -> Any:
        padded = (inputs["attention_mask"] == 0).any(dim=1)
        output.logits = torch.where(padded[:, None, None], torch.nan, output.logits)
        return output

    handle = explainer.text_model.model.register_forward_hook(spoil, with_kwargs=True)
    try:
        heat = explainer(["The study.", TEXT])[0]
    finally:
        handle.remove()
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-10)
    np.testing.assert_allclose(heat.targets[0].score, expected.targets[0].score, rtol=1e-10)


def test_a_batch_ends_where_its_padding_costs_more_than_another_batch() -> None:
    shapes = [(length,) for length in range(64, 0, -1)]

    def work(overhead: int) -> int:
        batches = [batch for batch, _ in sweep(shapes, 4096, True, lambda *_: None, overhead=overhead)]
        assert sorted(i for batch in batches for i in batch) == list(range(64))
        return sum(len(batch) * max(shapes[i][0] for i in batch) for batch in batches)

    assert work(10**6) == 64 * 64
    assert work(16) < 1.1 * sum(range(65))
    assert work(0) == sum(range(65))


def test_rows_of_one_text_end_with_a_full_backward_pass() -> None:
    # A causal model of 300,000 weights and 45 tokens; the fixed cost of a pass equals that of 167 tokens.
    lengths, budget = list(range(45, 1, -1)), 1024
    shapes, texts = [(length,) for length in lengths], [0] * len(lengths)
    batches = [batch for batch, _ in sweep(shapes, budget, True, lambda *_: None, texts=texts, overhead=167)]

    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == 2
    assert all(len(batch) * lengths[batch[0]] <= budget for batch in batches)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda bert: hs.Explainer(*bert, batchtokens=8),
            r"Explainer takes no argument 'batchtokens' \(did you mean 'batch_tokens'\?\): it takes model, tokenizer",
        ),
        (
            lambda bert: hs.Explainer(*bert)(TEXT, targets=None),
            r"explainer takes no argument 'targets' \(use target='word', .*: it takes texts, target, method",
        ),
        (
            lambda bert: hs.Explainer(*bert).stream([TEXT], onerror="skip"),
            r"explainer\.stream takes .* \(did you mean 'on_error'\?\)",
        ),
    ],
)
def test_an_unknown_keyword_names_the_nearest(
    bert: tuple[nn.Module, PreTrainedTokenizerFast], call: Any, message: str
) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        call(bert)


class Named(hs.Explainer):
    """A user's subclass."""


def test_an_explainer_prints_its_model_and_what_it_explains() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    tokens = type(tokenizer).__name__
    line = f"<Named: BertForMaskedLM, {tokens}, cpu, float64, target MaskedToken()>"
    assert repr(Named(model, tokenizer)) == str(Named(model, tokenizer)) == line
    encoder = hs.Explainer(model.bert, tokenizer)
    encoder.text_model.streams[0].module.weight = None
    assert repr(encoder).startswith(f"<Explainer: BertModel, {tokens}")
    assert repr(Named.__new__(Named)) == "<Named: no model>"
