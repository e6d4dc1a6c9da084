"""Which tokens did this prediction depend on? Captum attribution for Hugging Face text models."""

import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any

import lazy_loader

from hf_saliency.synonyms import PACKAGE, unknown

# Each public name is imported from its module on first use; `__init__.pyi` lists them all.
_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in __all__:
        return _public_name(name)
    raise unknown("hf_saliency", name, PACKAGE, __all__)


class _Room(ModuleType):
    """A module of the package; calling it, as in `hs.explain(text)`, raises an error that names the call to use."""

    def __call__(self, *arguments: Any, **keywords: Any) -> None:
        from hf_saliency.errors import SaliencyError

        name = self.__name__.rpartition(".")[2]
        raise SaliencyError(f"{self.__name__} is a module, not a function: use {PACKAGE[name]}.")


class _Package(ModuleType):
    """The package; each of its modules becomes a ``_Room`` when it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and name in PACKAGE:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

__version__ = version("hf-saliency")
