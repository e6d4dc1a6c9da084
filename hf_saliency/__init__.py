"""Which tokens did this prediction depend on? Captum attribution for Hugging Face text models."""

from importlib.metadata import version

import lazy_loader

# Each public name is imported from its module on first use; `__init__.pyi` lists them all.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("hf-saliency")
