"""What the package index shows: README with absolute addresses, and links to the repository and the site.

The release workflow names the repository in ``HF_SALIENCY_REPOSITORY``, such as ``https://github.com/owner/hf-saliency``.
Without it, README stays as it is in the checkout, where relative links work.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # a test reads the functions below without the build system
    MetadataHookInterface = object

VARIABLE = "HF_SALIENCY_REPOSITORY"


def absolute(readme: str, repository: str, version: str) -> str:
    """README with the addresses of the files of this version in place of relative ones."""
    files, raw = f"{repository}/blob/v{version}", f"{repository}/raw/v{version}"
    readme = re.sub(r"(!\[[^]]*\]\()(?!https?:|#)", rf"\g<1>{raw}/", readme)
    return re.sub(r"((?<!!)\[[^]!]*\]\()(?!https?:|#)", rf"\g<1>{files}/", readme)


def addresses(repository: str) -> dict[str, str]:
    """The project's links; the site is what ``.github/workflows/site.yml`` publishes."""
    host, owner, name = repository.rsplit("/", 2)
    links = {"Source": repository, "Changelog": f"{repository}/blob/main/CHANGELOG.md"}
    if host == "https://github.com":
        links["Documentation"] = f"https://{owner.lower()}.github.io/{name}"
    return links


class Metadata(MetadataHookInterface):  # type: ignore[misc]
    """The parts of the metadata that depend on where the project is published."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` and ``urls``."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = os.environ.get(VARIABLE, "").rstrip("/")
        if repository:
            text = absolute(text, repository, metadata["version"])
            metadata["urls"] = addresses(repository)
        else:
            metadata["urls"] = {}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
