"""Traits of model types: the precision of their results, and the effect of padding."""

from __future__ import annotations

# Models whose hidden states pass through float32 whatever the type of their weights: in a softmax, an RMSNorm, rotary
# angles or a router. Their results agree to float32's rounding, 1e-5, those of the others to float64's, 1e-10.
FLOAT32 = frozenset(
    """
    afmoe apertus arcee aria_text axk1 axk2 bailing_hybrid bamba beam bitnet bloom codegen cohere
    cohere2 cohere2_moe cohere_compass_text cwm deberta deepseek_v2 deepseek_v3 deepseek_v32 diffllama
    doge dots1 emu3 ernie4_5 ernie4_5_moe eurobert exaone4 exaone_moe falcon_h1 falcon_mamba flaubert
    flex_olmo flint fsmt funnel gemma gemma2 gemma3_text gemma4_unified_text glm glm4 glm4_moe
    glm4_moe_lite glm_moe_dsa gpt_neo gpt_oss gptj granite granite_swa granitemoe granitemoe_swa
    granitemoehybrid granitemoeshared helium hrm_text hunyuan_v1_dense hunyuan_v1_moe hy_v3 hy_v4
    hyperclovax inkling2_text inkling_text jamba jetmoe kimi_linear kolibri1 laguna led lfm2 lfm2_moe
    lfm3 llama llama4_text longcat_flash longformer longt5 mamba mamba2 markuplm mellum minicpm3 minimax
    minimax_m2 minimax_m3_vl_text ministral ministral3 mistral mistral4 mixtral mllama modernbert
    modernbert-decoder mpt mra mt5 nanochat nemotron_h nllb-moe olmo olmo2 olmo3 olmo_hybrid olmoe
    openai_privacy_filter phi3 qwen2 qwen2_moe qwen3 qwen3_5_moe_text qwen3_5_text qwen3_moe
    qwen3_next recurrent_gemma rwkv seed_oss smollm3 solar_open switch_transformers t5 ultrabert umt5
    vaultgemma xglm xlm xlstm youtu zamba zamba2 zaya
    """.split()
)

# Causal language models that read a text differently with padding before it. The reasons: learned positions that
# count padding, states that padding enters, or (in float64) rows that see no token at all.
NO_LEFT_PADDING = frozenset(
    """
    bart bigbird_pegasus blenderbot blenderbot-small bloom gemma2 granite_swa granitemoe_swa marian mbart mpt mvp
    pegasus plbart recurrent_gemma roformer rwkv trocr vaultgemma whisper xlm xlstm
    """.split()
)

# Models whose score does not depend on some tokens that it could depend on: ESM zeroes a masked token's embedding,
# Longformer's windows are narrower here than the text, MRA computes nothing without its kernel for GPUs.
LOCAL = frozenset({"esm", "longformer", "mra"})

# YOSO's backward pass is an estimate by its authors, not the derivative of its forward pass.
ESTIMATED = frozenset({"yoso"})
