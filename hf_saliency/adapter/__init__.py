import hf_saliency.progress  # noqa: F401  # before transformers imports the bars
