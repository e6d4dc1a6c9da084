"""Sentence models: explanations of a tiny SentenceTransformer match the embeddings of its ``encode``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

PAIR = ("the cat sat on a mat", "a dog ran")
OTHER = ("it was music", "the formal study of grammar is an important part")
METHODS = ["gradient_norm", "input_x_gradient", "integrated_gradients", "leave_one_out", "smooth_grad"]


def layers() -> Any:
    """The layers of sentence_transformers, imported late, because the import takes seconds."""
    from sentence_transformers.sentence_transformer import modules

    return modules


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function that saves a tiny model of a class, with its tokenizer, for a Transformer layer to load."""

    @functools.cache
    def save(name: str) -> str:
        folder = str(tmp_path_factory.mktemp(name))
        tiny.of_class(name, pad_token_id=0).save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def build(saved: Callable[[str], str]) -> Callable[..., Any]:
    """Return a function that builds a float64 SentenceTransformer: a tiny model, a pooling and further layers."""

    def built(pooling: Any = "mean", *more: nn.Module, name: str = "BertModel", **options: Any) -> Any:
        from sentence_transformers import SentenceTransformer

        first = layers().Transformer(saved(name))
        own = [first, layers().Pooling(16, pooling), *more]
        return SentenceTransformer(modules=own, device="cpu", **options).double()

    return built


def dense_layer() -> nn.Module:
    torch.manual_seed(1)
    return layers().Dense(16, 12)


STACKS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda build: build(),
    "cls": lambda build: build("cls"),
    "max": lambda build: build("max"),
    "last": lambda build: build("lasttoken"),
    "weighted": lambda build: build("weightedmean"),
    "two poolings": lambda build: build(("cls", "mean")),
    "normalized": lambda build: build("mean", layers().Normalize()),
    "dense": lambda build: build("mean", dense_layer()),
    "dense, normalized": lambda build: build("max", dense_layer(), layers().Normalize()),
    "truncated": lambda build: build("mean", dense_layer(), truncate_dim=5),
    "T5": lambda build: build(name="T5EncoderModel"),
    "RoBERTa": lambda build: build(name="RobertaModel"),
}


def embedded(model: Any, text: str) -> Tensor:
    """The output of ``encode``, with a graph for gradients."""
    return model(model.preprocess([text]))["sentence_embedding"][0, : model.truncate_dim]


def similar(first: Tensor, second: Tensor, metric: str | None) -> Tensor:
    product = (first * second).sum()
    return product if metric == "dot" else product / first.norm() / second.norm()


@pytest.mark.parametrize("metric", [None, "dot"])
@pytest.mark.parametrize("name", STACKS)
def test_the_similarity_is_that_of_what_encode_gives(name: str, metric: Any, build: Any) -> None:
    model = STACKS[name](build)
    given = torch.stack([torch.as_tensor(model.encode(text)) for text in PAIR])
    heat = hs.Explainer(model)(PAIR, target=hs.Similarity(metric=metric))
    if metric is None:
        assert heat.targets[0].score == pytest.approx(model.similarity(*given).item(), rel=1e-10)
    assert heat.targets[0].score == pytest.approx(similar(*given, metric).item(), rel=1e-10)
    module = model[0].auto_model.get_input_embeddings()
    if name == "T5":
        module = model[0].auto_model.encoder.get_input_embeddings()
    expected = [
        reference.dense(
            [(module, model.tokenizer(text)["input_ids"])],
            lambda text=text, fixed=fixed: similar(embedded(model, text), fixed, metric),
        )
        for text, fixed in zip(PAIR, given.flip(0), strict=True)
    ]
    assert (np.concatenate(expected) != 0).any()
    np.testing.assert_allclose(heat.scores[0], np.concatenate(expected), rtol=1e-9, atol=1e-15)
    assert heat.provenance["class"] == "SentenceTransformer"


@pytest.mark.filterwarnings("ignore:integrated_gradients")  # a maximum is not smooth
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["mean", "max", "dense, normalized", "T5"])
def test_pairs_in_a_batch_equal_single_ones(name: str, method: str, build: Any) -> None:
    on = hs.Explainer(STACKS[name](build))
    for one, heat in zip((PAIR, OTHER), on([PAIR, OTHER], method=method), strict=True):
        assert (heat.scores != 0).any()
        np.testing.assert_allclose(heat.scores, on(one, method=method).scores, rtol=1e-7, atol=1e-9)


def test_integrated_gradients_complete(build: Any) -> None:
    on = hs.Explainer(STACKS["dense"](build))
    target = hs.Similarity(metric="dot")
    heat = on(PAIR, target=target, method=hs.integrated_gradients(n_steps=200, baseline=hs.zero_embedding))
    assert heat.convergence_delta is not None
    assert abs(heat.convergence_delta[0]) < 1e-3 * np.abs(heat.scores).sum()


class Unmasked(nn.Module):
    """A layer that treats padding as text."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, "sentence_embedding": features["token_embeddings"].mean(dim=1)}


@pytest.mark.parametrize("method", ["gradient_norm", "leave_one_out"])
def test_rows_are_not_padded_for_a_layer_of_which_nothing_is_known(method: str, build: Any) -> None:
    on = hs.Explainer(build("mean", Unmasked()))
    for one, heat in zip((PAIR, OTHER), on([PAIR, OTHER], method=method), strict=True):
        np.testing.assert_allclose(heat.scores, on(one, method=method).scores, rtol=1e-9)


def test_texts_as_baselines_have_the_prompt_too(build: Any) -> None:
    model = build(prompts={"query": "it is music , "}, default_prompt_name="query")
    texts = ("he ran it the to an", "she , it")
    heat = hs.Explainer(model)(PAIR, method=hs.integrated_gradients(baseline=texts, tolerance=1e-4))
    ends = [model.similarity(*torch.as_tensor(model.encode(list(pair)))).item() for pair in (PAIR, texts)]
    assert heat.scores.sum() == pytest.approx(ends[0] - ends[1], rel=1e-3)
    assert (heat.scores[0, 1:5] == 0).all()
    assert (heat.scores[0, 5:11] != 0).all()


@pytest.mark.filterwarnings("ignore:integrated_gradients")
def test_the_model_is_left_as_it_was(build: Any) -> None:
    model = build("mean", layers().Normalize())
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    own = set(vars(model))
    hs.Explainer(model)([PAIR, OTHER], method="integrated_gradients")
    assert all(module.training for module in model.modules())
    assert all(one.grad is None and one.requires_grad for one in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (set(vars(model)), model._similarity_fn_name) == (own, None)


def test_a_compiled_model_and_one_of_another_tokenizer_object(build: Any) -> None:
    model = build()
    scores = hs.Explainer(model)(PAIR).scores
    np.testing.assert_array_equal(hs.Explainer(model, tiny.tokenizer())(PAIR).scores, scores)
    model.compile(backend="eager")
    np.testing.assert_allclose(hs.Explainer(model)(PAIR).scores, scores, rtol=1e-12)


@pytest.mark.parametrize("included", [True, False])
def test_the_default_prompt_is_read_before_each_text(included: bool, build: Any) -> None:
    model = build(prompts={"query": "it is music , "}, default_prompt_name="query")
    model.set_pooling_include_prompt(included)
    heat = hs.Explainer(model)(PAIR)
    first, second = (torch.as_tensor(model.encode(text)) for text in PAIR)
    assert heat.targets[0].score == pytest.approx(model.similarity(first, second).item(), rel=1e-12)
    assert heat.texts == tuple("it is music , " + text for text in PAIR)
    bare = torch.as_tensor(model.encode(list(PAIR), prompt=""))
    assert heat.targets[0].score != pytest.approx(model.similarity(*bare).item(), rel=1e-6)


def test_a_prompt_that_changes_later_is_noticed(build: Any) -> None:
    model = build(prompts={"query": "it is music , "})
    on = hs.Explainer(model)
    on(PAIR)
    model.default_prompt_name = "query"
    with pytest.raises(hs.SaliencyError, match=r"encode reads '\[CLS\] it is music"):
        on(PAIR)


def test_long_texts_are_cut_as_encode_cuts_them(build: Any) -> None:
    model = build()
    model.max_seq_length = 7
    on = hs.Explainer(model)
    with pytest.raises(hs.SaliencyError, match="reads at most 7"):
        on(PAIR)
    heat = on(PAIR, overflow="truncate")
    given = torch.as_tensor(model.encode(list(PAIR)))
    assert heat.targets[0].score == pytest.approx(model.similarity(*given).item(), rel=1e-12)
    assert heat.texts[0] == "the cat sat on a"


def test_a_pooling_of_ones_own_and_other_numbers(build: Any) -> None:
    model = build("mean", dense_layer())
    on = hs.Explainer(model)
    mine = on(PAIR, target=hs.Similarity(lambda output, inputs: output["token_embeddings"][:, 0]))
    bare = hs.Explainer(model[0].auto_model, model.tokenizer)
    np.testing.assert_allclose(mine.scores, bare(PAIR, target=hs.Similarity("first")).scores, rtol=1e-10)
    with pytest.raises(
        hs.SaliencyError, match="pooling='mean': SentenceTransformer has a pooling of its own"
    ):
        on(PAIR, target=hs.Similarity("mean"))
    first = on(PAIR[0], target=hs.Output(lambda output, inputs: output["sentence_embedding"][:, 0]))
    assert first.targets[0].score == pytest.approx(float(model.encode(PAIR[0])[0]), rel=1e-12)


def test_the_metric_is_the_models_own(build: Any) -> None:
    dot = hs.Explainer(build(similarity_fn_name="dot"))
    np.testing.assert_array_equal(dot(PAIR).scores, dot(PAIR, target=hs.Similarity(metric="dot")).scores)
    far = hs.Explainer(build(similarity_fn_name="euclidean"))
    with pytest.raises(hs.SaliencyError, match="compares texts by 'euclidean'"):
        far(PAIR)
    far(PAIR, target=hs.Similarity(metric="cosine"))


def test_targets_of_other_heads_are_refused(build: Any) -> None:
    on = hs.Explainer(build())
    for target in (hs.Label(), hs.MaskedToken("cat")):
        with pytest.raises(hs.SaliencyError, match="but SentenceTransformer embeds a text"):
            on(PAIR[0], target=target)
    with pytest.raises(hs.SaliencyError, match="explains two texts"):
        on(PAIR[0])


def test_what_embeds_otherwise_is_refused(build: Any, saved: Any) -> None:
    import sentence_transformers as package

    modules = layers()
    model = build()
    static = modules.StaticEmbedding(tiny.tokenizer(), embedding_dim=4)
    weights = modules.WordWeights(list(tiny.tokenizer().get_vocab()), {"cat": 2.0})
    routes = modules.Router.for_query_document(query_modules=list(model), document_modules=list(model))
    for own, message in [
        ([static], r"its first layer is StaticEmbedding"),
        (
            [model[0], weights, model[1]],
            r"\(WordWeights\) cannot be explained: it weights tokens by their ids",
        ),
        ([routes], r"\(Router\) cannot be explained: it chooses layers by the task"),
    ]:
        with pytest.raises(hs.SaliencyError, match=message):
            hs.Explainer(package.SentenceTransformer(modules=own, device="cpu"))
    sparse = package.SparseEncoder(
        modules=[
            package.sparse_encoder.modules.MLMTransformer(saved("BertForMaskedLM")),
            package.sparse_encoder.modules.SpladePooling(),
        ],
        device="cpu",
    )
    with pytest.raises(hs.SaliencyError, match=r"SparseEncoder cannot be explained as it is"):
        hs.Explainer(sparse)


def test_the_classifier_in_a_cross_encoder(saved: Any) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(saved("BertForSequenceClassification"), device="cpu")
    with pytest.raises(hs.SaliencyError, match=r"hs\.Explainer\(model\.model, model\.tokenizer\)"):
        hs.Explainer(model)
    heat = hs.Explainer(model.model, model.tokenizer)(PAIR, target=hs.Label(1))
    logits = model.predict([PAIR], activation_fn=nn.Identity())[0]
    assert heat.targets[0].score == pytest.approx(float(logits[1]), rel=1e-6)  # predict returns float32
    assert heat.texts == PAIR


def test_a_version_without_preprocess(build: Any) -> None:
    model = build(prompts={"query": "it is music , "}, default_prompt_name="query")
    heat = hs.Explainer(model)(PAIR)

    class Older(type(model)):  # type: ignore[misc]
        @property
        def preprocess(self) -> None:
            raise AttributeError("preprocess")

        def tokenize(self, texts: list[str], **kwargs: Any) -> Any:
            return {name: one for name, one in self[0].preprocess(texts).items() if name != "modality"}

    model.__class__ = Older
    np.testing.assert_array_equal(hs.Explainer(model)(PAIR).scores, heat.scores)
    model.set_pooling_include_prompt(False)
    with pytest.raises(hs.SaliencyError, match="leaves its prompt out of the embedding"):
        hs.Explainer(model)
