"""The bundled masked language model, for examples, figures and tests without a network. README.md is its card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import hf_saliency.progress  # noqa: F401  # before transformers imports the bars
from hf_saliency.errors import SaliencyError, checks_call

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, BertTokenizer

_FOLDER = Path(__file__).parent

# SHA-256 of each data file. Damage to weights or vocabulary would otherwise only show as odd predictions.
_SHA256 = {
    "config.json": "e51e96721e1e5c89b173ea70e5e9f1183f67b45bbf45f7ca72783ba4b39fde4d",
    "model.safetensors": "a961a917a0d97b0a84b1263dd6284a3996b34ec0150916292e03925e9b14ff5c",
    "tokenizer.json": "c17b2d4f565e951c262d648c305f366178a9f229aa99cec25717fcc4cce3f9f6",
    "tokenizer_config.json": "ca3b851a364f83484f6de04f2bb124560061f969ab72ff14740a6e481c241a09",
}

_REINSTALL = "Reinstall it: pip install --force-reinstall --no-deps hf-saliency."


@checks_call
def load_demo() -> tuple[BertForMaskedLM, BertTokenizer]:
    """Load the small English masked language model that ships with the package.

    The model is for demonstrations and tests, not for research results. The function downloads and prints nothing,
    and leaves PyTorch's random state and the logging of Transformers unchanged.

    Returns
    -------
    tuple of BertForMaskedLM and BertTokenizer
        The model, in float32 on the CPU and in evaluation mode, and its uncased tokenizer of 12,000 pieces.

    Raises
    ------
    SaliencyError
        If a data file of the package is missing or damaged.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> model, tokenizer = hs.load_demo()
    >>> encoding = tokenizer("Paris is the capital of [MASK].", return_tensors="pt")
    >>> logits = model(**encoding).logits[0, encoding.input_ids[0] == tokenizer.mask_token_id]
    >>> tokenizer.convert_ids_to_tokens(logits.topk(3).indices[0])
    ['paris', 'france', 'london']
    """
    for name, digest in _SHA256.items():
        path = _FOLDER / name
        try:
            intact = hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError as error:
            raise SaliencyError(f"The demo model's {name} cannot be read: {error}. {_REINSTALL}") from error
        if not intact:
            raise SaliencyError(
                f"The demo model's {name} is damaged: {path} is not the published file. {_REINSTALL}"
            )
    from transformers import BertTokenizer

    return _model(), BertTokenizer.from_pretrained(_FOLDER, local_files_only=True)


def _model() -> BertForMaskedLM:
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig.from_pretrained(_FOLDER, local_files_only=True)
    config.dtype = torch.float32
    config.name_or_path = "hf_saliency.demo"  # the name in results, wherever the package is installed
    weights = load_file(_FOLDER / "model.safetensors")
    # The file stores tied weights once. All weights are loaded by name, so that an unknown name is an error.
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"]
    weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]
    # Built here, since `from_pretrained` shows a progress bar that only a global switch turns off.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = BertForMaskedLM(config)
    torch.nn.Module.to(model, torch.float32).load_state_dict(weights)
    model.train(False)
    return model
