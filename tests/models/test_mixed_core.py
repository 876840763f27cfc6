"""The mixed model's core against what is known: planted effects, an exact Gaussian process, itself."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from small_data import CELLS, small_data
from small_data import DRUGS as SMALL

from l2aco.data.features.table import FeatureTable
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.mixed import covariance as covariance_module
from l2aco.models.mixed.kernels import RANK
from l2aco.models.mixed.model import fit, score
from l2aco.models.mixed.posterior import Prediction, draw_posterior, predict
from l2aco.models.mixed.state import Entities, Knowledge, State
from l2aco.models.mixed.target import fit_cut, probability_above
from l2aco.models.mixed.terms import Term, default_terms
from l2aco.models.mixed.update import update

DRUGS, LINES = 9, 14
TERMS = (
    *default_terms(["panel", "text"], ["fingerprint", "words"]),
    Term("drug:fingerprint", "panel"),
    Term("partner:fingerprint", "own"),
)
VARIANCES = {str(term): 0.05 + 0.02 * place for place, term in enumerate(TERMS)} | {"noise": 0.5}


def world(seed=0, drugs=DRUGS, lines=LINES, rows=300):
    """Triples with both orders of pairs, features with gaps, and scores of no particular structure."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, drugs, rows), rng.integers(0, drugs - 1, rows), rng.integers(0, lines - 2, rows)
    b = np.where(b >= a, b + 1, b)
    panel = rng.standard_normal((lines, 5))
    panel[rng.random(panel.shape) < 0.1] = np.nan
    about = {
        "drugs": Entities(
            drugs, {name: Knowledge(rng.standard_normal((drugs, 4))) for name in ("fingerprint", "words")}
        ),
        "lines": Entities(
            lines, {"panel": Knowledge(panel), "text": Knowledge(rng.standard_normal((lines, 30)), "none")}
        ),
    }
    return a, b, c, rng.standard_normal(rows) * 4, about


def dense_kernel(state, one, two, drugs, lines):
    """The prior covariance between two sets of triples, written out from the definition."""
    a, b, c = one
    e, f, g = two
    right = {"one": np.ones((lines.size, lines.size)), "own": np.eye(lines.size)}
    for name, fitted in state.line_maps.items():
        right[name] = inner(fitted, lines.kernels[name].values)
    left = {name: inner(fitted, drugs.kernels[name].values) for name, fitted in state.drug_maps.items()}
    left[""] = np.eye(drugs.size)
    total = np.zeros((len(a), len(e)))
    for term in state.terms:
        kind, _, kernel = term.left.partition(":")
        if kind == "all":
            part = np.ones_like(total)
        elif kind == "pair":
            part = ((a[:, None] == e) & (b[:, None] == f)) | ((a[:, None] == f) & (b[:, None] == e))
        elif kind == "drug":
            k = left[kernel]
            part = k[np.ix_(a, e)] + k[np.ix_(a, f)] + k[np.ix_(b, e)] + k[np.ix_(b, f)]
        else:
            k, same = left[kernel], left[""]
            ends = [(a, b), (b, a)]
            part = sum(
                same[np.ix_(own, other)] * k[np.ix_(mate, others_mate)]
                for own, mate in ends
                for other, others_mate in [(e, f), (f, e)]
            )
        total += state.variances[str(term)] * part * right[term.right][np.ix_(c, g)]
    return total


def inner(fitted, values):
    """K of the map, from the definition: a Gaussian kernel, centred on the training entities."""
    scaled = np.nan_to_num((values - fitted.centre) / fitted.scale)
    everybody = np.concatenate([fitted.landmarks[: fitted.count], scaled])
    raw = np.exp(-np.square(everybody[:, None] - everybody).sum(axis=-1) / fitted.width)
    train = raw[:, : fitted.count].mean(axis=1)
    whole = train[: fitted.count].mean()
    return ((raw - train[:, None] - train + whole) / (1 - whole))[fitted.count :, fitted.count :]


def exact(state, seen, y, asked, drugs, lines):
    """Mean and variance of measurements by dense linear algebra."""
    noise = state.variances["noise"]
    v = dense_kernel(state, seen, seen, drugs, lines) + noise * np.eye(len(y))
    cross = dense_kernel(state, asked, seen, drugs, lines)
    prior = np.diag(dense_kernel(state, asked, asked, drugs, lines))
    return cross @ np.linalg.solve(v, y), prior - np.sum(cross * np.linalg.solve(v, cross.T).T, axis=1) + noise


def all_triples(drugs, lines):
    one, two = np.triu_indices(drugs, 1)
    return np.repeat(one, lines), np.repeat(two, lines), np.tile(np.arange(lines), len(one))


@pytest.mark.parametrize("largest", [20_000_000, 10], ids=["table of pairs", "rows of pairs"])
def test_equals_an_exact_gaussian_process(monkeypatch, largest):
    monkeypatch.setattr(covariance_module, "LARGEST_TABLE", largest)
    a, b, c, scores, about = world()
    keep = (a < DRUGS - 2) & (b < DRUGS - 2)  # two drugs and two lines are new when asked for
    seen = a[keep], b[keep], c[keep]
    state = fit(*seen, score=scores[keep], terms=TERMS, variances=VARIANCES, tolerance=1e-11, **about)
    asked = all_triples(DRUGS, LINES)
    mean, variance = exact(state, seen, state.y, asked, **about)
    np.testing.assert_allclose(score(state, *asked, **about), mean, atol=1e-6)
    draws = draw_posterior(state, count=1500, seed=1)
    found = predict(state, draws, *asked, **about)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.variance, variance, rtol=0.12)


def test_the_variance_is_exact_where_nothing_is_drawn():
    """A new line of two new drugs: only the prior speaks, less what kernels have learned."""
    a, b, c, scores, about = world(rows=3)
    tiny = dict.fromkeys(VARIANCES, 1e-09) | {"noise": 0.5, "drug|own": 0.2, "all|own": 0.3}
    state = fit(a, b, c, score=scores, terms=TERMS, variances=tiny, **about)
    new = Entities(1, number=np.array([-1]))
    found = predict(state, draw_posterior(state, count=8), [0], [0], [0], drugs=new, lines=new)
    np.testing.assert_allclose(found.variance, 0.5 + 4 * 0.2 + 0.3, atol=1e-6)


def test_the_order_of_a_pair_never_matters():
    a, b, c, scores, about = world()
    one = fit(a, b, c, score=scores, terms=TERMS, variances=VARIANCES, **about)
    other = fit(b, a, c, score=scores, terms=TERMS, variances=VARIANCES, **about)
    e, f, g = all_triples(DRUGS, LINES)
    np.testing.assert_array_equal(score(one, e, f, g, **about), score(one, f, e, g, **about))
    np.testing.assert_allclose(score(one, e, f, g, **about), score(other, e, f, g, **about), atol=1e-6)


def test_a_saved_state_predicts_the_same():
    a, b, c, scores, about = world()
    state = fit(a, b, c, score=scores, target="rank", terms=TERMS, variances=VARIANCES, **about)
    stream = io.BytesIO()
    np.savez(stream, **state.arrays())
    stream.seek(0)
    loaded = State.of(np.load(stream, allow_pickle=False))
    asked = all_triples(DRUGS, LINES)
    np.testing.assert_array_equal(score(loaded, *asked, **about), score(state, *asked, **about))
    assert loaded.variances == state.variances
    np.testing.assert_array_equal(loaded.target(scores, None), state.target(scores, None))


def test_rows_taken_up_later_count_as_if_they_had_been_there():
    a, b, c, scores, about = world()
    first = np.concatenate([np.arange(200), [250]])  # all lines that train are there
    later = np.setdiff1d(np.arange(300), first)
    asked = all_triples(DRUGS, LINES)
    state = fit(a[first], b[first], c[first], score=scores[first], terms=TERMS, variances=VARIANCES, **about)
    grown, drugs, lines = update(state, a[later], b[later], c[later], score=scores[later], **about)
    order = np.concatenate([first, later])
    y = state.target(scores[order], None)
    mean, _ = exact(state, (a[order], b[order], c[order]), y, asked, **about)
    np.testing.assert_allclose(score(grown, *asked, drugs=drugs, lines=lines), mean, atol=1e-6)


@pytest.mark.parametrize("target", ["score", "rank", "label"])
def test_a_stronger_measurement_lowers_no_expectation(target):
    a, b, c, _, about = world()
    strong = np.where(a + b + c > 12, 400.0, -400.0) + np.arange(300) % 3  # many at the ends, and expected beyond them
    label = (strong > 0).astype(np.int8)
    known = {"score": strong, "label": label, "target": target, "terms": TERMS, "variances": VARIANCES}
    state = fit(a, b, c, **known, **about)
    asked = all_triples(DRUGS, LINES)
    before = score(state, *asked, **about)
    beyond = state.target.beyond(before)
    assert beyond.any()
    rows = [*np.argsort(beyond)[[0, 1, -2, -1]], *np.random.default_rng(0).integers(0, len(before), 4)]
    for row in rows:
        triple = [column[[row]] for column in asked]
        found = []
        for measured in (-1e4, -30.0, 0.0, 30.0, 1e4):
            rows_of = {"score": np.array([measured]), "label": np.array([float(measured > 0)])}
            grown, drugs, lines = update(state, *triple, **rows_of, surprising=True, **about)
            found.append(score(grown, *triple, drugs=drugs, lines=lines)[0])
        assert (np.diff(found) >= -1e-6).all()
        assert found[0] <= before[row] + 1e-6 and before[row] - 1e-6 <= found[-1]


def test_a_new_line_is_taken_up_and_found_again():
    a, b, c, scores, about = world()
    state = fit(a, b, c, score=scores, terms=TERMS, variances=VARIANCES, **about)
    values = {name: Knowledge(x.values[[12, 13]], x.scaling) for name, x in about["lines"].kernels.items()}
    new = Entities(2, values, np.array([-1, -1]))
    few = np.arange(3), np.arange(1, 4), np.array([0, 0, 1])
    grown, drugs, lines = update(state, *few, drugs=about["drugs"], lines=new, score=np.array([9.0, 8.0, -9.0]))
    seen = np.concatenate([a, few[0]]), np.concatenate([b, few[1]]), np.concatenate([c, few[2] + 12])
    y = np.concatenate([state.y, state.target(np.array([9.0, 8.0, -9.0]), None)])
    asked = few[0], few[1], few[2] + 12
    mean, variance = exact(state, seen, y, asked, **about)
    found = predict(grown, draw_posterior(grown, count=600), *few, drugs=drugs, lines=lines)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.variance, variance, rtol=0.15)


@pytest.mark.parametrize("kind", ["lines", "drugs"])
def test_newcomers_change_nothing_of_what_those_in_training_are_where_not_all_directions_are_kept(kind):
    a, b, c, scores, about = world(**{"drugs": DRUGS, "lines": LINES, kind: 90}, rows=900)
    old = (c < 80) & (a < 80) & (b < 80)  # the others come later
    assert len(np.unique(c[old] if kind == "lines" else np.concatenate([a[old], b[old]]))) > RANK
    state = fit(a[old], b[old], c[old], score=scores[old], terms=TERMS, variances=VARIANCES, **about)
    before = predict(state, draw_posterior(state, count=50), a[old], b[old], c[old], **about).variance
    np.testing.assert_allclose(state.fitted, score(state, a[old], b[old], c[old], **about), atol=1e-5)
    grown, drugs, lines = update(state, a[~old], b[~old], c[~old], score=scores[~old], **about)
    rows = (np.concatenate([x[old], x[~old]]) for x in (a, b, c))
    np.testing.assert_allclose(grown.fitted, score(grown, *rows, drugs=drugs, lines=lines), atol=1e-5)
    after = predict(grown, draw_posterior(grown, count=50), a[old], b[old], c[old], drugs=drugs, lines=lines).variance
    assert after.mean() < before.mean()


def planted(seed=0, drugs=24, lines=40, level=0.3, per_pair=25):
    """Scores made of a line's level and the drugs' slopes, both linear in the first of three known numbers."""
    rng = np.random.default_rng(seed)
    known = rng.standard_normal((lines, 3))
    one, two = np.triu_indices(drugs, 1)
    a, b = np.repeat(one, per_pair), np.repeat(two, per_pair)
    c = np.concatenate([rng.permutation(lines)[:per_pair] for _ in one])
    slope, pair = rng.standard_normal(drugs) * 0.4, np.repeat(rng.standard_normal(len(one)) * 0.6, per_pair)
    signal = level * known[c, 0] + (slope[a] + slope[b]) * known[c, 0] + pair
    return a, b, c, signal, signal + rng.standard_normal(len(a)) * 0.8, known


def test_finds_the_kernel_that_matters_and_what_it_says_of_new_lines():
    a, b, c, signal, scores, known = planted()
    rng = np.random.default_rng(5)
    lines = Entities(40, {"true": Knowledge(known[:, :1]), "noise": Knowledge(rng.standard_normal((40, 10)))})
    drugs = Entities(24)
    train = c < 30
    state = fit(a[train], b[train], c[train], score=scores[train], drugs=drugs, lines=lines)
    share = state.weights()
    assert share["drug"]["true"] > 10 * share["drug"]["noise"]
    assert share["pair"]["noise"] < 0.1 and share["pair"]["one"] > 0.8
    new = ~train
    with_kernels = score(state, a[new], b[new], c[new], drugs=drugs, lines=lines)
    alone = fit(a[train], b[train], c[train], score=scores[train], drugs=drugs, lines=Entities(40))
    without = score(alone, a[new], b[new], c[new], drugs=drugs, lines=Entities(40))
    assert np.corrcoef(with_kernels, signal[new])[0, 1] > np.corrcoef(without, signal[new])[0, 1] + 0.1


def test_intervals_of_new_lines_hold_what_they_promise():
    a, b, c, _, scores, known = planted(seed=3)
    lines, drugs, train = Entities(40, {"true": Knowledge(known)}), Entities(24), c < 30
    state = fit(a[train], b[train], c[train], score=scores[train], drugs=drugs, lines=lines)
    new = ~train
    found = predict(state, draw_posterior(state), a[new], b[new], c[new], drugs=drugs, lines=lines)
    low, high = found.interval(0.9)
    truth = state.target(scores[new], None)
    assert 0.85 < np.mean((low <= truth) & (truth <= high)) < 0.95


def test_bounded_measurements_are_held_as_promised_once_others_were_judged():
    rng = np.random.default_rng(0)
    mean, truth = np.zeros(4000), rng.uniform(-1.7, 1.7, 4000)
    found = Prediction(mean, np.full(4000, truth.var()))
    judged, new = truth[:2000], truth[2000:]
    tails = found_part(found, slice(0, 2000)).tails(np.append(judged[:-1], np.nan))
    for share in (0.5, 0.9):
        low, high = found_part(found, slice(2000, None)).interval(share, tails)
        assert abs(np.mean((low <= new) & (new <= high)) - share) < 0.02
    low, high = found_part(found, slice(2000, None)).interval(0.9)
    assert np.mean((low <= new) & (new <= high)) > 0.94
    assert not len(found_part(found, slice(0, 99)).tails(judged[:99]))


def found_part(found, rows):
    return Prediction(found.mean[rows], found.variance[rows])


def test_the_fitted_values_are_what_is_said_of_the_training_rows():
    a, b, c, scores, about = world()
    state = fit(a, b, c, score=scores, variances=VARIANCES, terms=TERMS, **about)
    np.testing.assert_allclose(state.fitted, score(state, a, b, c, **about), atol=1e-5)


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("wrong", [0, 12])
def test_probabilities_of_new_lines_have_the_level_of_the_labels_where_scores_leave_a_gap(gap, wrong):
    """A screen may leave out the scores next to its threshold, and give a few rows another label than their score."""
    a, b, c, _, scores, known = planted(seed=4, lines=60)
    keep = np.abs(scores + 0.3) > gap
    a, b, c, scores, label = (rows[keep] for rows in (a, b, c, scores, (scores > -0.3).astype(np.int8)))
    label[:wrong] = 1 - label[:wrong]
    lines, drugs, train = Entities(60, {"true": Knowledge(known)}), Entities(24), c < 30
    state = fit(a[train], b[train], c[train], score=scores[train], drugs=drugs, lines=lines)
    cut = fit_cut(state.fitted, state.variances["noise"], label[train])
    new = ~train
    mean = score(state, a[new], b[new], c[new], drugs=drugs, lines=lines)
    found = probability_above(cut, mean, state.variances["noise"])
    assert abs(found.mean() - label[new].mean()) < 0.02
    for part in np.array_split(np.argsort(found), 5):
        assert abs(found[part].mean() - label[new][part].mean()) < 0.12


def test_where_few_are_synergistic_the_level_is_theirs_too():
    a, b, c, _, scores, _ = planted(seed=4, lines=60)
    label, drugs, lines, train = (scores > np.quantile(scores, 0.9)).astype(np.int8), Entities(24), Entities(60), c < 30
    state = fit(a[train], b[train], c[train], score=scores[train], drugs=drugs, lines=lines)
    cut = fit_cut(state.fitted, state.variances["noise"], label[train])
    mean = score(state, a[~train], b[~train], c[~train], drugs=drugs, lines=lines)
    found = probability_above(cut, mean, state.variances["noise"])
    assert abs(found.mean() - label[~train].mean()) < 0.02


def test_a_cut_is_found_whatever_the_labels_and_the_noise():
    fitted = np.linspace(-1, 1, 50)
    for label in (np.zeros(50), np.ones(50), np.arange(50) % 2):
        for variance in (0.0, 1e-9, 1.0):
            cut = fit_cut(fitted, variance, label)
            assert abs(cut) < 0.05 if label.mean() == 0.5 else np.sign(cut) == np.sign(0.5 - label.mean())


def test_kernels_that_say_nothing_are_ignored_and_named():
    a, b, c, scores, about = world()
    broken = {"constant": Knowledge(np.ones((LINES, 3))), "empty": Knowledge(np.full((LINES, 2), np.nan))}
    lines = Entities(LINES, {**about["lines"].kernels, **broken})
    state = fit(a, b, c, score=scores, drugs=about["drugs"], lines=lines, draws=4)
    assert set(state.ignored) == {"constant", "empty"}
    assert not any("constant" in name or "empty" in name for name in state.variances)


def test_infinite_features_and_other_columns_are_refused():
    a, b, c, scores, about = world()
    with pytest.raises(InputError, match="infinite"):
        fit(
            a,
            b,
            c,
            score=scores,
            drugs=about["drugs"],
            lines=Entities(LINES, {"x": Knowledge(np.full((LINES, 1), np.inf))}),
        )
    with pytest.raises(InputError, match="3 rows for 14"):
        Entities(LINES, {"x": Knowledge(np.zeros((3, 1)))})
    state = fit(a, b, c, score=scores, terms=TERMS, variances=VARIANCES, **about)
    other = Entities(LINES, {"panel": Knowledge(np.zeros((LINES, 4)))})
    with pytest.raises(InputError, match=r"\(14, 4\), not \(n, 5\)"):
        score(state, a, b, c, drugs=about["drugs"], lines=other)


def test_a_line_of_which_nothing_is_known_gets_what_holds_for_all_and_a_wide_variance():
    a, b, c, scores, about = world()
    state = fit(a, b, c, score=scores, terms=TERMS, variances=VARIANCES, **about)
    unknown = Entities(1, {}, np.array([-1]))
    asked = np.array([0]), np.array([1]), np.array([0])
    found = predict(state, draw_posterior(state), *asked, drugs=about["drugs"], lines=unknown)
    everywhere = {str(term) for term in state.terms if term.right == "one"}
    only = {name: x if name in everywhere else 0 * x for name, x in state.coefficients.items()}
    state.__dict__["coefficients"] = only
    np.testing.assert_allclose(found.mean, score(state, *asked, drugs=about["drugs"], lines=unknown))
    trained = predict(state, draw_posterior(state), *asked, **about)
    assert found.variance[0] > trained.variance[0]


def test_one_line_alone_is_fitted_and_two_rows_are_enough():
    a, b, c, scores, about = world()
    state = fit(a, b, 0 * c, score=scores, draws=4, **about)
    assert set(state.ignored) == {"panel", "text"}
    assert np.isfinite(score(state, *all_triples(DRUGS, LINES), **about)).all()
    with pytest.raises(InputError, match="nothing to tell apart"):
        fit(a[:1], b[:1], c[:1], score=scores[:1], **about)


@pytest.mark.parametrize("target", ["label", "score", "rank"])
def test_targets_ignore_units_and_outliers(target):
    a, b, c, scores, about = world()
    label = (scores > 0).astype(int)
    asked = all_triples(DRUGS, LINES)
    found = []
    for unit, far in ((1.0, 50.0), (7.0, 620.0)):
        values = scores * unit
        values[0] = far * unit
        state = fit(a, b, c, score=values, label=label, target=target, terms=TERMS, variances=VARIANCES, **about)
        found.append(score(state, *asked, **about))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_expression_of_newcomers_is_read_as_that_of_the_training_lines():
    """Signed expression is no count, although a newcomer's happens to hold no negative value."""
    draw = np.random.default_rng(5)
    levels = draw.standard_normal((CELLS, 12)).astype(np.float32)
    levels[2] = np.abs(levels[2])
    whole = FeatureTable(EntityKind.cell_line, levels, np.ones(CELLS, dtype=bool))
    inputs = replace(small_data().inputs(Mixed), features={"expression": whole})
    a, b, c = np.array([(a, b, c) for b in range(SMALL) for a in range(b) for c in range(CELLS)]).T
    once = np.ones(len(a), dtype=np.int64)
    triples = Triples(a, b, c, draw.standard_normal(len(a)), draw.integers(0, 2, len(a)), once, once == 0)
    model = Mixed.fit(inputs, MixedConfig(knowledge="expression", draws=4), triples)
    new = [Entity("new", EntityKind.cell_line, "new")]
    alone = FeatureTable(EntityKind.cell_line, levels[2:3], np.ones(1, dtype=bool))
    grown = model.admit(replace(inputs, drugs=[], cell_lines=new, features={"expression": alone}))
    read = grown.lines.kernels["expression"].values
    np.testing.assert_array_equal(read[-1], read[2])
