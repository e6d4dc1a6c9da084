"""The bundled masked language model, so that examples, figures and tests run offline; README.md is its card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from hf_saliency.errors import SaliencyError

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, BertTokenizer

_FOLDER = Path(__file__).parent

# SHA-256 of each data file: damage to weights or vocabulary would otherwise show as odd predictions only.
_SHA256 = {
    "config.json": "e51e96721e1e5c89b173ea70e5e9f1183f67b45bbf45f7ca72783ba4b39fde4d",
    "model.safetensors": "a961a917a0d97b0a84b1263dd6284a3996b34ec0150916292e03925e9b14ff5c",
    "tokenizer.json": "c17b2d4f565e951c262d648c305f366178a9f229aa99cec25717fcc4cce3f9f6",
    "tokenizer_config.json": "ca3b851a364f83484f6de04f2bb124560061f969ab72ff14740a6e481c241a09",
}


def load_demo() -> tuple[BertForMaskedLM, BertTokenizer]:
    """Load the small English masked language model that ships with the package.

    It is for demonstrations and tests, not for research results. Nothing is downloaded or printed, and neither
    the random number generator nor the logging of Transformers is touched.

    Returns
    -------
    tuple of BertForMaskedLM and BertTokenizer
        The model, in float32 on the CPU in evaluation mode, and its tokenizer: uncased, 12,000 pieces.

    Raises
    ------
    SaliencyError
        A data file of the package is missing or damaged.

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
        _check(_FOLDER / name, digest)
    from transformers import BertTokenizer

    return _model(), BertTokenizer.from_pretrained(_FOLDER, local_files_only=True)


def _model() -> BertForMaskedLM:
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig.from_pretrained(_FOLDER, local_files_only=True)
    config.dtype = torch.float32
    config.name_or_path = "hf_saliency.demo"  # what a result names as its model, wherever the package lies
    # Built here and filled: `from_pretrained` shows a progress bar that only a global switch turns off.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = BertForMaskedLM(config).float()
    # The decoder is not in the file: its weight is the embedding's, its bias the head's.
    model.load_state_dict(load_file(_FOLDER / "model.safetensors"), strict=False)
    return model.eval()


def _check(path: Path, digest: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SaliencyError(f"The demo model's {path.name} cannot be read: {error}. {_REINSTALL}") from error
    if found != digest:
        raise SaliencyError(
            f"The demo model's {path.name} is damaged: {path} is not the file that the package came with. "
            f"{_REINSTALL}"
        )


_REINSTALL = "Reinstall it: pip install --force-reinstall --no-deps hf-saliency."
