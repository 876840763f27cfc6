"""A mixed-effects model of synergy scores: random effects of pair, drug, cell line, drug x line and pair x line, where
lines (and drugs) share what they do through kernels of what is known of them.

Numpy and scipy over plain arrays; docs/design/mixed.md says why it is made so. What others use:

    lines = Entities(n, {"panel": Knowledge(values), "profile": Knowledge(vectors, "rows")})     state
    state = fit(a, b, c, drugs=drugs, lines=lines, score=score, label=label, target="score")     model
    mean = score(state, a, b, c, drugs=drugs, lines=lines)                                        model
    found = predict(state, draw_posterior(state), a, b, c, drugs=drugs, lines=lines)              posterior
    state, drugs, lines = update(state, a, b, c, drugs=drugs, lines=lines, score=score)           update
    numpy.savez(path, **state.arrays()); state = State.of(numpy.load(path))                       state

Below them: `target` (what is modelled), `kernels` (features to factors), `terms` (the variance components),
`covariance` (their sum as an operator), `solve` (conjugate gradients), `select` (variances and kernel weights by
restricted maximum likelihood), `says` (what effects say of any triples).
"""
