"""The names by which measures are chosen: their own, those of quantities, of classes and of installed packages."""

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scalecurv.errors import Misuse
from scalecurv.measures import DEFAULT, MEASURES, Measure, Moments, measures_named, own
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings
from scalecurv.quantities import BESIDE, BUILT_IN, COLUMNS, NAMES, PLUG_INS, QUANTITIES, Quantity
from scalecurv.results.query import Store
from scalecurv.statistics.estimate import Estimate
from tests.loops import each


@dataclass(frozen=True)
class Norm(Measure):
    """|theta|^power, for every test of names."""

    power: int = 2
    slow: bool | None = None

    name: ClassVar[str] = "norm"
    version: ClassVar[int] = 1
    described = (Quantity("theta_norm", "|theta|^power"), Quantity("theta_slow", "the same, slowly"))
    on_request = {"theta_slow": "slow"}

    def compute(self, evaluation: Evaluation) -> Findings:
        value = float(evaluation.double.theta.norm() ** self.power)
        return Findings({"theta_norm": Estimate.exact(value, "norm")})


CODE = f"{__name__}:Norm"


def installed(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Have packages bring measures, by name."""
    entries = EntryPoints(EntryPoint(name, value, PLUG_INS) for name, value in values.items())
    monkeypatch.setattr(own, "entry_points", lambda group: entries.select(group=group))


def refused(given: Any, message: str, **options: Any) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        measures_named(given, **options)


def test_the_default_leaves_out_what_costs_most() -> None:
    assert tuple(MEASURES) == BUILT_IN
    assert set(DEFAULT) == set(MEASURES) - {"spectrum", "principal", "gauss_newton", "sharpness", "sgd", "flatness"}


def test_each_measure_takes_the_options_it_has() -> None:
    gradient, moments, rank = measures_named(("rank", "moments", "gradient"), rtol=0.5, memory=7)
    assert gradient == MEASURES["gradient"]()
    assert moments == MEASURES["moments"](rtol=0.5, memory=7)
    assert rank == MEASURES["rank"](memory=7)


def test_a_quantity_stands_for_the_one_measure_that_has_it() -> None:
    """The table of quantities, which loads no torch, says of which measure each is."""
    for name, kind in MEASURES.items():
        assert {q.name for q in QUANTITIES if q.measure == name} == set(kind.quantities)
        for quantity in set(kind.quantities) - kind.on_request.keys():
            assert measures_named(quantity, rtol=0.3) == measures_named(name, rtol=0.3)
    assert measures_named("functional_dimension_lower") == (MEASURES["rank"](functional_dimension=True),)


@each(
    ("given", "names"),
    [
        ("trace,rank", ["moments", "rank"]),
        (("rank", "trace", "trace_h2, moments", "rank_1e3"), ["moments", "rank"]),
        ((Moments, "beta", Moments(0.5)), ["gradient", "moments", "moments"]),
        ((Norm, CODE, Norm(), "loss"), ["gradient", "norm"]),
        (Norm(3), ["norm"]),
        ("scalecurv.measures:Moments", ["moments"]),
        ((), []),
    ],
)
def test_each_is_taken_once_and_built_in_ones_come_first(given: Any, names: list[str]) -> None:
    assert [measure.name for measure in measures_named(given)] == names


def test_measures_of_ones_own_take_options_and_keep_their_own() -> None:
    assert measures_named((CODE, "moments"), rtol=0.5, slow=None, power=4) == (Moments(0.5), Norm(4))
    assert measures_named(Norm(3), power=4) == (Norm(3),)
    assert measures_named(Norm(params="weight$"))[0].block == "params=weight$"


def test_installed_packages_bring_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, norm=CODE, broken="no_such_module:Broken")
    assert measures_named(("norm", "trace"), power=3) == (Moments(), Norm(3))
    assert measures_named("theta_norm") == (Norm(),)  # of a package beside one that is broken
    assert measures_named("theta_slow") == (Norm(slow=True),)
    refused(
        "broken",
        "measure 'broken', no_such_module:Broken cannot be imported (No module named 'no_such_module'); "
        "is its directory on PYTHONPATH?",
    )
    known = f"{', '.join(BUILT_IN)}, norm, broken, or give a quantity for the measure that has it, or pkg.mod:Class"
    refused("nrm", f"unknown measure 'nrm' (did you mean norm?); choose from {known}")


def test_names_of_packages_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, other=CODE)
    refused("other", f"the entry point 'other', {CODE}, names a measure 'norm'; give both one name")
    entries = [EntryPoint("norm", value, PLUG_INS) for value in (CODE, "elsewhere:Norm")]
    monkeypatch.setattr(own, "entry_points", lambda group: entries)
    refused("norm", f"two installed packages bring a measure 'norm': {CODE} and elsewhere:Norm; uninstall one of them")


def test_no_package_is_loaded_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, broken="no_such_module:Broken")
    monkeypatch.setattr(own, "resolve", lambda *told: pytest.fail("it was loaded"))
    assert len(measures_named((*BUILT_IN, "trace"))) == len(BUILT_IN)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    known = f"{', '.join(BUILT_IN)}, or give a quantity for the measure that has it, or pkg.mod:Class"
    refused(("moments", "tracee"), f"unknown measure 'tracee' (did you mean trace?); choose from {known}")
    refused("xyz", f"unknown measure 'xyz'; choose from {known}")


def changed(**attributes: Any) -> type[Measure]:
    """Norm with other attributes, None for those that it lacks."""
    return dataclass(frozen=True)(type("Norm", (Norm,), {"__module__": "users", **attributes}))


def named(name: str, **facts: Any) -> dict[str, Any]:
    return {"described": (Quantity(name, "meaning", **facts),), "on_request": {}}


DESCRIBE = "describes no quantity; give described = (Quantity(name, meaning, unit=...),)"
TAKEN = "repeats the name {!r} of a built-in measure or quantity; choose another"


@each(
    ("attributes", "complaint"),
    [
        ({"name": None}, "has the name None; give name = '...' of lower-case letters, digits and _"),
        ({"name": "Norm of all"}, "has the name 'Norm of all'; give name = '...' of lower-case letters, digits and _"),
        ({"name": "moments"}, TAKEN.format("moments")),
        ({"name": "trace"}, TAKEN.format("trace")),
        ({"version": "1"}, "has the version '1'; give version = 1, and raise it when its numbers change"),
        ({"described": ()}, DESCRIBE),
        ({"described": ("norm",)}, DESCRIBE),
        (
            {"quantities": ("a",)},
            "has the quantities ('a',) but describes ('theta_norm', 'theta_slow'); leave quantities out",
        ),
        (named("Norm"), "has a quantity 'Norm'; use lower-case letters, digits and _"),
        (named("trace"), "has a quantity 'trace', and there is a column 'trace'; rename it"),
        (named("rank_lower"), "has a quantity 'rank_lower', and there is a column 'rank_lower'; rename it"),
        (named("step"), "has a quantity 'step', and there is a column 'step'; rename it"),
        (
            {"described": (Quantity("a", ""), Quantity("a_upper", "")), "on_request": {}},
            "has a quantity 'a_upper', and there is a column 'a_upper'; rename it",
        ),
        ({"on_request": {"theta_norm": "fast"}}, "has on_request 'theta_norm', which is no quantity of its own with "
         "one of its fields"),
    ],
)  # fmt: skip
def test_a_class_that_is_no_whole_measure_is_refused(attributes: dict[str, Any], complaint: str) -> None:
    refused(changed(**attributes), f"measure Norm {complaint}")


def test_what_is_no_class_of_measures_is_refused() -> None:
    form = "which is no measure; a measure is a frozen dataclass that inherits from scalecurv.Measure"
    refused("math:sqrt", f"measure math:sqrt is a builtin_function_or_method, {form}")
    refused("pathlib:Path", f"measure pathlib:Path is the class Path, {form}")
    refused((3,), f"measure 3 is an int, {form}")
    bare = type("Bare", (Norm,), {"__module__": "users"})
    refused(bare, "measure Bare is no dataclass; write @dataclass(frozen=True) above class Bare")
    refused("math:nothing", "measure math:nothing: module math has no nothing; name a class that it defines")


def test_a_class_without_compute_and_a_field_without_default_are_refused() -> None:
    facts = {"__module__": "users", "name": "own", "version": 1, "described": (Quantity("a", "meaning"),)}
    bare = dataclass(frozen=True)(type(Measure)("Own", (Measure,), facts))
    refused(bare, "measure Own has no method compute; define compute(self, evaluation), which returns Findings")
    facts |= {"compute": Norm.compute, "__annotations__": {"n": int}}
    needy = dataclass(frozen=True)(type(Measure)("Own", (Measure,), facts))
    missing = "TypeError: Own.__init__() missing 1 required positional argument: 'n'"
    refused(needy, f"measure own cannot be made with {{}}: {missing}; every field needs a default")


def test_two_classes_must_not_share_a_name_or_a_quantity() -> None:
    refused(
        (Norm, changed()), f"two measures have the name 'norm': {__name__}:Norm and users:Norm; leave one of them out"
    )
    refused(
        (Norm, changed(name="other")),
        f"two measures have the quantity 'theta_norm': {__name__}:Norm and users:Norm; leave one of them out",
    )


def test_columns_of_results_are_not_for_quantities(tmp_path: Path) -> None:
    those_of_quantities = {name + end for name in NAMES for end in ("", *BESIDE)}
    assert set(Store(tmp_path).results().columns) - those_of_quantities <= set(COLUMNS)
