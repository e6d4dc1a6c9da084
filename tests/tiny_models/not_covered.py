"""Text models of transformers that the matrix leaves out, by model type or by head and model type, and why."""

from __future__ import annotations

_IMAGES = "made for images beside text"
_SPEECH = "made for speech or music"
_ASSISTANT = "drafts tokens for another model, from that model's states"

NOT_COVERED: dict[str, str] = {
    "audioflamingo3": _SPEECH,
    "bros": "needs a box around each token beside the text",
    "cpmant": "puts its own prompt before the text",
    "causal-xlnet": "refused, where XLNet's classifiers are not",
    "dbrx": "its configuration does not build in this release of transformers",
    "dots3_note": _IMAGES,
    "dots3_note_text": "no tiny configuration found",
    "encoder-decoder": "any two models of this table, put together",
    "fuyu": _IMAGES,
    "gemma3": _IMAGES,
    "gemma4_assistant": _ASSISTANT,
    "gemma4_unified": _IMAGES,
    "gemma4_unified_assistant": _ASSISTANT,
    "git": _IMAGES,
    "glmasr": _SPEECH,
    "got_ocr2": _IMAGES,
    "granite_speech": _SPEECH,
    "granite_speech_plus": _SPEECH,
    "layoutlmv2": _IMAGES,
    "layoutlmv3": _IMAGES,
    "lxmert": _IMAGES,
    "mimo_v2_flash": "no tiny configuration found",
    "modernvbert": _IMAGES,
    "moshi": _SPEECH,
    "moss_transcribe_diarize": _SPEECH,
    "multiple_choice-longformer": "wants three separators, which the tiny tokenizer does not put between two texts",
    "musicflamingo": _SPEECH,
    "musicgen": _SPEECH,
    "musicgen_melody": _SPEECH,
    "nemo_speechlm": _SPEECH,
    "phi4_multimodal": _IMAGES,
    "question_answering-longformer": "wants three separators, which the tiny tokenizer does not put between two texts",
    "qwen2_audio": _SPEECH,
    "qwen3_5": _IMAGES,
    "qwen3_asr": _SPEECH,
    "seamless_m4t": _SPEECH,
    "seamless_m4t_v2": _SPEECH,
    "splinter": "wants its own question token in the text",
    "t5gemma": "no tiny configuration found",
    "t5gemma2": _IMAGES,
    "ultravbert": _IMAGES,
    "vibevoice_asr": _SPEECH,
    "voxtral": _SPEECH,
    "voxtral_realtime": _SPEECH,
}
