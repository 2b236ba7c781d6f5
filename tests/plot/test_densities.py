"""Densities: what is drawn integrates to 1 and shows eigenvalues where they are; refusals name what computes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.plot.axes import Scale
from scalecurv.plot.canvas import remarks
from scalecurv.plot.masses import shares
from scalecurv.plot.ridges import HEIGHT, ridge_height
from scalecurv.record import Record
from scalecurv.results.density import density
from tests.outcomes import outcome, store_of
from tests.plot.spectra_in_memory import Spectra, exact_rule, sampled_rule

EIGENVALUES = np.array([-1.0, 0.0, 0.0, 0.0, 4.0, 9.0])
SIGMA = 0.25


def with_gid(axes: Axes, gid: str) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.lines if line.get_gid() == gid]


def test_a_single_density_is_that_of_the_rule_and_integrates_to_1() -> None:
    rule = sampled_rule(EIGENVALUES)
    axes = sc.plot.spectrum(Spectra({7: rule}), sigma=SIGMA)
    ((t, values),) = (line.T for line in with_gid(axes, "density"))
    assert values == pytest.approx(density(rule, SIGMA, t).values, rel=1e-12)
    assert np.trapezoid(values, t) == pytest.approx(1, abs=1e-5)
    for eigenvalue in (-1.0, 0.0, 4.0, 9.0):  # one mode at each
        near = np.abs(t - eigenvalue) < 2 * SIGMA
        assert t[near][values[near].argmax()] == pytest.approx(eigenvalue, abs=SIGMA / 4)
    bands = {one.get_gid(): one.get_paths()[0].vertices[:, 1] for one in axes.collections}
    lower, upper = density(rule, SIGMA, t).interval()
    assert (bands["truncation"].min(), bands["truncation"].max()) == pytest.approx((lower.min(), upper.max()))
    assert bands["sampling"].max() <= bands["truncation"].max()
    assert axes.get_yscale() == "log"
    assert "per unit of eigenvalue" in axes.get_ylabel()


def test_all_eigenvalues_are_counted_and_not_smoothed() -> None:
    axes = sc.plot.spectrum(Spectra({0: exact_rule(EIGENVALUES)}))
    (histogram,) = axes.patches
    values, edges, _ = histogram.get_data()
    mass = values * np.diff(edges) * len(EIGENVALUES)
    assert mass.sum() == pytest.approx(len(EIGENVALUES))
    for eigenvalue, count in ((-1.0, 1), (0.0, 3), (4.0, 1), (9.0, 1)):
        cell = np.searchsorted(edges, eigenvalue, side="right") - 1
        assert mass[cell] == pytest.approx(count)
    (marks,) = with_gid(axes, "eigenvalues")
    assert marks[:, 0].tolist() == EIGENVALUES.tolist()


def test_shares_of_cells_sum_to_1_on_every_scale() -> None:
    for rule, width in ((sampled_rule(EIGENVALUES), SIGMA), (exact_rule(EIGENVALUES), 0.0)):
        for scale in (Scale("linear"), Scale("symlog", 0.1)):
            edges = scale.values(np.linspace(*scale.places([-5.0, 12.0]), 83))
            assert shares(rule, width, edges) @ np.diff(edges) == pytest.approx(1, abs=1e-5)


def test_a_heat_map_has_a_column_of_shares_for_each_step() -> None:
    rules = {step: sampled_rule(EIGENVALUES * (1 + step / 100)) for step in range(0, 50, 10)}
    source = Spectra(rules, {step: (-1.0, 9.0 + step) for step in rules})
    axes = sc.plot.spectrum(source, kind="heat", sigma=SIGMA)
    mesh = axes.collections[0]
    edges = np.asarray(mesh.get_coordinates()[:, 0, 1])
    columns = np.asarray(mesh.get_array().filled(0.0))
    assert columns.shape[1] == len(rules)
    assert np.asarray(columns.T @ np.diff(edges)) == pytest.approx(np.ones(len(rules)), abs=1e-4)
    marks = {one.get_gid(): one.get_offsets().tolist() for one in axes.collections if one.get_gid()}
    assert marks["largest"] == [[i, 9.0 + step] for i, step in enumerate(rules)]
    assert [axes.xaxis.get_major_formatter()(i) for i in range(5)] == ["0", "10", "20", "30", "40"]


def test_a_ridge_is_the_density_above_the_line_of_its_step() -> None:
    rules = {step: sampled_rule(EIGENVALUES + step) for step in (0, 3, 8)}
    for scale in ("log", "linear"):
        axes = sc.plot.spectrum(Spectra(rules), scale=scale, sigma=SIGMA)
        densities = {step: with_gid(axes, f"step {step}")[0] for step in rules}
        top = max(density(rule, SIGMA, densities[step][:, 0]).values.max() for step, rule in rules.items())
        floor = 1 / 3 / (40 * np.sqrt(2 * np.pi) * SIGMA)
        for foot, step in enumerate(reversed(rules)):
            t, drawn = densities[step].T
            found = ridge_height(density(rules[step], SIGMA, t).values, scale, floor, top)
            assert drawn - foot == pytest.approx(HEIGHT * found, abs=1e-9)
            if scale == "linear":
                assert np.trapezoid(drawn - foot, t) * top / HEIGHT == pytest.approx(1, abs=1e-5)
        assert [label.get_text() for label in axes.get_yticklabels()] == ["8", "3", "0"]


def test_without_sigma_all_curves_have_the_width_that_all_resolve() -> None:
    rules = {0: sampled_rule(EIGENVALUES), 1: sampled_rule(EIGENVALUES * 30)}
    axes = sc.plot.spectrum(Spectra(rules))
    widest = max(density(rule).width for rule in rules.values())
    assert f"sigma = {widest:.3g}" in remarks(axes.figure)[-1]


def test_a_rule_alone_is_drawn() -> None:
    rule = sampled_rule(EIGENVALUES)
    axes = sc.plot.spectrum(rule, sigma=SIGMA)
    ((t, values),) = (line.T for line in with_gid(axes, "density"))
    assert values == pytest.approx(density(rule, SIGMA, t).values, rel=1e-12)
    assert axes.get_title(loc="left") == ""


def test_many_columns_are_thinned_and_it_is_said() -> None:
    rule = exact_rule(EIGENVALUES)
    axes = sc.plot.spectrum(Spectra(dict.fromkeys(range(450), rule)))
    assert axes.collections[0].get_array().shape[1] == 200
    assert any(text.startswith("250 checkpoints left out") for text in remarks(axes.figure))


def test_seeds_are_merged_into_one_picture_and_where_chooses_one(tmp_path: Path) -> None:
    nodes = {0: [0.0, 5.0], 1: [1.0, 6.0], 2: [2.0, 7.0]}
    outcomes = []
    for seed, found in nodes.items():
        arrays = {"ritz_nodes": found, "ritz_weights": [0.5, 0.5], "ritz_starts": [0.0, 0.0]}
        rule = {name: np.array(values) for name, values in arrays.items()}
        outcomes.append(outcome("/runs/a/step_1.pt", Record(f"s{seed}", "spectrum", {}, rule, 0.1), seed=seed))
    store_of(tmp_path / "store", *outcomes)
    store = sc.open_store(tmp_path / "store")
    axes = sc.plot.spectrum(store, sigma=SIGMA)
    assert "3 random starts" in axes.figure.legends[0].texts[1].get_text()
    assert "seed" not in axes.get_title(loc="left")
    ((t, values),) = (line.T for line in with_gid(sc.plot.spectrum(store, sigma=SIGMA, where="seed = 1"), "density"))
    assert values == pytest.approx(store.spectrum(step=1, seed=1).density(SIGMA, t).values)
    with pytest.raises(Misuse, match="2 of the seeds 0, 1, 2 are chosen; choose one by where="):
        sc.plot.spectrum(store, sigma=SIGMA, where="seed < 2")


def test_what_cannot_be_drawn_is_refused_in_one_line() -> None:
    source = Spectra({0: sampled_rule(EIGENVALUES), 5: sampled_rule(EIGENVALUES)})
    refused = {
        "only a Store holds": lambda: sc.plot.spectrum(pd.DataFrame({"step": [0]})),
        "choose from auto, ridge": lambda: sc.plot.spectrum(source, kind="ridges"),
        "choose from log, linear": lambda: sc.plot.spectrum(source, scale="symlog"),
        "choose from auto, linear": lambda: sc.plot.spectrum(source, eigenvalues="log"),
        "positive width": lambda: sc.plot.spectrum(source, sigma=0.0),
        "give a larger one": lambda: sc.plot.spectrum(source, sigma=1e-7),
        "give steps=": lambda: sc.plot.spectrum(source, kind="single"),
        "there are steps 0, 5": lambda: sc.plot.spectrum(source, steps=3),
        "--measure spectrum": lambda: sc.plot.spectrum(source, steps=[3]),
    }
    for words, draw in refused.items():
        with pytest.raises(Misuse) as refusal:
            draw()
        assert words in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_the_last_checkpoint_is_drawn_by_its_word() -> None:
    rule = sampled_rule(np.linspace(-1, 3, 9))
    source = Spectra({0: rule, 5: rule})
    axes = sc.plot.spectrum(source, kind="single", steps=["last"])
    assert axes.get_title(loc="left").endswith("step 5")
    with pytest.raises(Misuse, match="steps are last, 5; give numbers, or 'first' or 'last' alone"):
        sc.plot.spectrum(source, steps=["last", 5])
