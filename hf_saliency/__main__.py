"""``python -m hf_saliency`` is ``hf-saliency``."""

from hf_saliency.cli import main

main()
