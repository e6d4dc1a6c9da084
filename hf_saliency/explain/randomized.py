"""Randomized: a copy of a model whose weights become random, stage by stage, from the head down."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from hf_saliency.explain.explainer import Explainer


def stages(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of the head, of each layer from the top down, and of the embeddings.

    A layer is an element of a list of modules. Other parameters belong to the embeddings where they are registered
    before the first layer, and to the head otherwise. A head tied to the embeddings stays until their turn.
    """
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) > 1
    ]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    embeddings: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        owner = next((path for path in outer if name.startswith(f"{path}.")), None)
        if owner is not None:
            number = name[len(owner) + 1 :].split(".")[0]
            layers.setdefault(f"{owner}.{number}", []).append(parameter)
        else:
            (head if layers else embeddings).append(parameter)
    order = {"head": head, **dict(reversed(layers.items())), "embeddings": embeddings}
    return {name: parameters for name, parameters in order.items() if parameters}


def randomized(explainer: Explainer, seed: int) -> Iterator[tuple[str, Explainer]]:
    """Yield each stage's name and an explainer of the copy with that stage and those before it random.

    Each parameter is drawn from a normal distribution with its own mean and standard deviation, so that activations
    keep their scale.
    """
    text_model = explainer.text_model
    model = copy.deepcopy(text_model.model)
    inputs = {
        name: value for name, value in text_model.inputs.items() if name != "use_cache"
    }  # which the explainer adds itself
    generator = torch.Generator().manual_seed(seed)
    for name, parameters in stages(model).items():
        for parameter in parameters:
            if parameter.is_floating_point():
                _redraw(parameter, generator)
        yield (
            name,
            Explainer(
                model,
                text_model.tokenizer,
                inputs=inputs,
                batch_tokens=explainer.batch_tokens,
                fast_products=explainer.fast_products,
                progress=False,
            ),
        )


def _redraw(parameter: nn.Parameter, generator: torch.Generator) -> None:
    with torch.no_grad():
        values = parameter.double()
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(values)
        parameter.copy_(values.mean() + values.std(correction=0) * drawn)
