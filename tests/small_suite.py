"""A suite on the demo that trains in seconds."""

from __future__ import annotations

SUITE = """
title = "A small one"
dataset = ["demo"]
folds = 2
naive = ["pair mean"]

[spec]
backbone = "Mixed"
config = {draws = 4}

[[arms]]
name = "nothing"
spec.config.knowledge = "none"

[[arms]]
name = "panel"
profiles = ["reference-panel"]

[[arms]]
name = "shuffled"
profiles = ["reference-panel"]
draws = 2
spec.align.vectors = "shuffled"

[[claims]]
text = "the panel helps"
arm = "panel"
over = ["nothing", "shuffled", "pair mean"]
"""
