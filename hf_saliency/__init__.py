"""Which tokens did this prediction depend on? Captum attribution for Hugging Face text models."""

from importlib.metadata import version

import lazy_loader

from hf_saliency.synonyms import PACKAGE, unknown

# Each public name is imported from its module on first use; `__init__.pyi` lists them all.
_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in __all__:
        return _public_name(name)
    raise unknown("hf_saliency", name, PACKAGE, __all__)


__version__ = version("hf-saliency")
