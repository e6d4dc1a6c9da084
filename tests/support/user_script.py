"""A user's script that strict type checkers accept: every call that README shows first, with its types."""

# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import assert_type

import hf_saliency as hs

model, tokenizer = hs.load_demo()
explainer = hs.Explainer(model, tokenizer)
assert_type(explainer, hs.Explainer)

heat = explainer("She drank tea.", target=hs.MaskedToken("tea"), method=hs.integrated_gradients(n_steps=5))
assert_type(heat, hs.SaliencyMap)
assert_type(heat.targets[0], hs.TargetRow)
assert_type(heat.tokens, tuple[hs.Token, ...])

maps = explainer(["She drank tea.", "Paris is in France."])
assert_type(maps, hs.SaliencyMaps)
assert_type(maps[0], hs.SaliencyMap)

drawing = hs.figure(heat, hs.Highlight(), width="acl")
drawing.savefig("figure.pdf")
assert_type(hs.to_latex(heat), str)
assert_type(hs.summarize(maps, by="word"), hs.Table)
assert_type(hs.agreement(heat, maps[0]), hs.Agreement)
