"""``hf-saliency doctor`` and ``models``: describe this installation and a model."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from typing import Annotated

import typer

import hf_saliency as hs
from hf_saliency.cli import options
from hf_saliency.cli.arguments import explainer_of
from hf_saliency.cli.outputs import reported
from hf_saliency.render.typeset.characters import printable_line

_PACKAGES = ("torch", "transformers", "captum", "matplotlib", "numpy")
_NOT_FOR_USERS = {"dev", "docs", "release"}
# A font supports a script if it has these letters.
_SCRIPTS = {
    "Latin": "Aéß",
    "Greek": "αβγ",
    "Cyrillic": "Жяё",
    "Arabic": "مرح",
    "Hebrew": "שלם",
    "Devanagari": "नमस",
    "Thai": "สวด",
    "Chinese": "语学",
    "Japanese": "かカ語",
    "Korean": "한국",
    "emoji": "😀",
}


def doctor(debug: options.Debug = False) -> None:
    """Print versions, devices, fonts and extras of this installation.

    For each common writing system, it names a font that can draw it; for each missing extra, the command that installs
    it.
    """
    with reported(debug):
        from hf_saliency.adapter.pretrained import devices
        from hf_saliency.score import products

        versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
        lines = [
            f"hf-saliency {hs.__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"packages  {', '.join(versions)}",
            f"devices   {', '.join(devices())}; --device auto takes the first",
            f"products  fast products on the CPU are {products.described()}",
            *(f"fonts     {name}: {font or 'none; install Noto for this script'}" for name, font in _fonts()),
            *(f"extra     {name}: {state}" for name, state in _extras().items()),
        ]
        _print(lines)


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="The folder of a model, or its name on the Hugging Face Hub."),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Print what a model can explain.

    Prints its default target, the other targets, the maximum number of tokens, and a note on its family if there is
    one. Without MODEL, it describes the bundled model.
    """
    with reported(debug):
        from hf_saliency.adapter import tasks
        from hf_saliency.cli.targets import default_kind, kinds

        text_model = (explainer := explainer_of(model, None, quiet=True, debug=debug)).text_model
        named = tasks.tasks_of(text_model.model)
        offered = {name for name, target in kinds().items() if set(target.heads()) & set(named)}
        default = default_kind(explainer)
        limit = text_model.max_tokens
        caution = text_model.family.caution and text_model.family.caution(text_model.model)
        _print(
            [
                f"model     {model or 'the bundled one'}, {type(text_model.model).__name__}",
                f"task      {', '.join(dict.fromkeys(task.name for task in named))}",
                f"default   --target {default}",
                f"also      {', '.join(sorted(offered - {default})) or 'nothing else'}",
                f"limit     {f'{limit} tokens' if limit else 'none known'}",
                *([f"family    {caution}"] if caution else []),
            ]
        )


def _fonts() -> list[tuple[str, str | None]]:
    from hf_saliency.render.typeset.fonts import base_faces, installed

    faces = [*base_faces("normal"), *installed("normal")]
    return [
        (name, next((face.properties(10).get_name() for face in faces if face.covers(letters)), None))
        for name, letters in _SCRIPTS.items()
    ]


def _extras() -> dict[str, str]:
    """Map each extra to the version of the package that it adds, or to the command that installs it."""
    extras: dict[str, str] = {}
    for requirement in importlib.metadata.requires("hf-saliency") or []:
        match = re.fullmatch(r"([\w.-]+).*;.*extra == ['\"]([\w.-]+)['\"].*", requirement)
        if match is None or match[2] in _NOT_FOR_USERS:
            continue
        try:
            state = f"{match[1]} {importlib.metadata.version(match[1])}"
        except importlib.metadata.PackageNotFoundError:
            state = f"missing: pip install 'hf-saliency[{match[2]}]'"
        extras[match[2]] = state
    return extras


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(printable_line(line))
