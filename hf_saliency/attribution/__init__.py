import hf_saliency.progress  # noqa: F401  # before Captum imports the bars
