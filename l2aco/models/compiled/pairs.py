"""The symmetric pair head over triples, in one pass forward and one back; `heads.PairHead` says what it computes.

No intermediate of a triple is stored: the backward pass computes it again from the tables, which stay in the cache.
`drugs` (Nd, 5h) and `cells` (Nc, 3h) are the mapped tables, `context` (Nc, h) is tanh of the last h of `cells`, `out`
(2h) the weights of the logit; `drawn` holds a random byte for each hidden unit (B or 1, 2h), those below `cut` drop it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.models.compiled.compile import compiled


@compiled
def pair_logits(
    drugs: Any, cells: Any, context: Any, out: Any, a: Any, b: Any, c: Any, drawn: Any, cut: int, logits: Any
) -> bool:
    """Write the logits (B) of rows a, b, c (B); False where a row is outside its table."""
    zero, half, one = out.dtype.type(0), out.dtype.type(0.5), out.dtype.type(1)
    width = context.shape[1]
    for triple in range(len(a)):
        lowest, drug = min(a[triple], b[triple], c[triple]), max(a[triple], b[triple])
        if lowest < 0 or drug >= len(drugs) or c[triple] >= len(cells):
            return False
        u, v, line, tanh = drugs[a[triple]], drugs[b[triple]], cells[c[triple]], context[c[triple]]
        noise = drawn[triple if len(drawn) > 1 else 0]
        logit = zero
        for j in range(width):
            gates = max(u[j] + v[2 * width + j] + line[j], zero) + max(v[j] + u[2 * width + j] + line[j], zero)
            skips = u[width + j] + u[3 * width + j] + v[width + j] + v[3 * width + j] + 2 * line[width + j]
            logit += half * (gates + skips) * (out[j] if noise[j] >= cut else zero)
        for j in range(width):
            joint = u[4 * width + j] * v[4 * width + j] * (one + tanh[j])
            logit += joint * (out[width + j] if noise[width + j] >= cut else zero)
        logits[triple] = logit
    return True


@compiled
def pair_gradients(
    drugs: Any,
    cells: Any,
    context: Any,
    out: Any,
    a: Any,
    b: Any,
    c: Any,
    drawn: Any,
    cut: int,
    grad: Any,
    to_drugs: Any,
    to_cells: Any,
    to_out: Any,
) -> None:
    """Add to the gradients of `drugs`, `cells` and `out` what the gradient (B) of the logits sends back."""
    zero, half, one = out.dtype.type(0), out.dtype.type(0.5), out.dtype.type(1)
    width = context.shape[1]
    # what one triple sends back; apart from the tables, so that the loops that compute it run as vector code
    first, second, both = np.empty(width, out.dtype), np.empty(width, out.dtype), np.empty(width, out.dtype)
    for triple in range(len(a)):
        u, v, line, tanh = drugs[a[triple]], drugs[b[triple]], cells[c[triple]], context[c[triple]]
        to_u, to_v, to_line = to_drugs[a[triple]], to_drugs[b[triple]], to_cells[c[triple]]
        noise = drawn[triple if len(drawn) > 1 else 0]
        for j in range(width):
            kept = half * (grad[triple] if noise[j] >= cut else zero)
            one_way, other_way = u[j] + v[2 * width + j] + line[j], v[j] + u[2 * width + j] + line[j]
            skips = u[width + j] + u[3 * width + j] + v[width + j] + v[3 * width + j] + 2 * line[width + j]
            to_out[j] += kept * (max(one_way, zero) + max(other_way, zero) + skips)
            both[j] = kept * out[j]
            first[j] = both[j] if one_way > zero else zero
            second[j] = both[j] if other_way > zero else zero
        for j in range(width):
            to_u[j] += first[j]
            to_u[2 * width + j] += second[j]
        for j in range(width):
            to_v[j] += second[j]
            to_v[2 * width + j] += first[j]
        for j in range(width):
            to_u[width + j] += both[j]
            to_u[3 * width + j] += both[j]
        for j in range(width):
            to_v[width + j] += both[j]
            to_v[3 * width + j] += both[j]
        for j in range(width):
            to_line[j] += first[j] + second[j]
            to_line[width + j] += 2 * both[j]
        for j in range(width):
            kept = grad[triple] if noise[width + j] >= cut else zero
            x, y, factor = u[4 * width + j], v[4 * width + j], one + tanh[j]
            to_out[width + j] += kept * x * y * factor
            kept *= out[width + j]
            first[j], second[j] = kept * y * factor, kept * x * factor
            both[j] = kept * x * y * (one - tanh[j] * tanh[j])
        for j in range(width):
            to_u[4 * width + j] += first[j]
        for j in range(width):
            to_v[4 * width + j] += second[j]
        for j in range(width):
            to_line[2 * width + j] += both[j]
