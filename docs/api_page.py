"""docs/api.md, from the signatures and docstrings of the public names."""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from types import ModuleType
from typing import Any

import scalecurv
from scalecurv.measures.eigenpairs import EigenPairs
from scalecurv.notebook.ranks import RankReport
from scalecurv.notebook.results import Results
from scalecurv.results.density import Density, SpectralRule

WIDTH = 100  # columns of a signature on one line
GROUPS: dict[str, tuple[str, ...]] = {
    "The problem": ("Problem",),
    "Vectors and operators": ("gradient", "hessian", "gauss_newton", "jacobian", "LinearOperator"),
    "Numbers of the Hessian": ("trace", "trace_h2", "lambda_max", "lambda_min"),
    "Eigenpairs and the spectrum": ("eigenpairs", "spectrum", "density", "effective_dimension", "log_determinant"),
    "Curvature of the graph of the loss": (
        "scalar_curvature",
        "principal_curvatures",
        "sectional_curvature",
        "ricci_curvature",
    ),
    "The rank of the Jacobian": ("functional_rank", "rank_report"),
    "Several measures at once": ("analyze",),
    "Checkpoints and stores": ("sweep", "Outcome", "open_store", "Store"),
    "Pictures": ("plot",),
    "While a model trains": ("callbacks",),
    "Numbers with intervals": ("Estimate", "Status"),
    "A measure of one's own": ("Measure", "Evaluation", "Findings", "Quantity"),
    "Errors": ("Misuse", "NothingFound", "CheckpointError", "StoreError", "ClusterError"),
}
# members that users call, of a class whose other members are there for the rest of the package
MEMBERS = {
    "Problem": ("quadratic", "num_params", "outputs", "unflatten", "restricted", "astype", "batch_size"),
    "Estimate": ("exact", "enclosed", "not_applicable", "failed", "halfwidth", "within"),
    "Evaluation": ("double", "hessian", "double_hessian", "jacobian", "gauss_newton", "terms", "total_matvecs"),
    "Measure": ("compute", "check", "cost", "options", "asked"),
    "RankReport": ("profile", "account"),
    "Results": ("to_frame",),
}
RETURNED = (EigenPairs, SpectralRule, Density, RankReport, Results)
INTRODUCTION = """\
# The Python interface

`import scalecurv as sc` gives the names on this page. They are loaded when they are first used, so that reading a store
loads no torch. The package is typed (PEP 561): mypy, pyright and editors see the same signatures as this page.

**What is stable.** The names on this page, their options and defaults, the fields of what they return, and the errors
that they raise. A change of one of these comes with a new minor version and with an entry in
[CHANGELOG.md](../CHANGELOG.md) that says what was before and what is now. A change that alters a number also raises the
`version` of its measure. The modules behind these names, everything that is not on this page, and the words of
messages and of `repr` may change with every release.

This page is generated from signatures and docstrings by `make docs`; the suite runs every example.
"""


def page() -> str:
    """Return the page of the Python interface."""
    parts = [INTRODUCTION, _contents()]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [entry for name in names for entry in _entries(f"sc.{name}", getattr(scalecurv, name))]
    parts.append("## Types of results\n\nThe functions above return objects of these types.\n")
    parts += [_entry(f"{kind.__module__}.{kind.__name__}", kind, called=False) for kind in RETURNED]
    return "\n".join(parts)


def _contents() -> str:
    rows = []
    for title, names in GROUPS.items():
        shown = [entry for name in names for entry in _names(name, getattr(scalecurv, name))]
        rows.append(f"| {title} | {', '.join(f'`{name}`' for name in shown)} |")
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _names(name: str, thing: Any) -> list[str]:
    """Return the name of a thing and, for a module, those of all that it offers."""
    return [name, *(f"{name}.{inner}" for inner in _offered(thing))]


def _offered(thing: Any) -> list[str]:
    """Return the names that a public module offers; other things offer none."""
    return list(vars(thing).get("__all__", ())) if isinstance(thing, ModuleType) else []


def _entries(title: str, thing: Any) -> Iterator[str]:
    """Yield the section of a name; a module has one, and so has each name that it offers."""
    yield _entry(title, thing)
    for name in _offered(thing):
        yield _entry(f"{title}.{name}", getattr(thing, name))


def _entry(title: str, thing: Any, called: bool = True) -> str:
    """Return the section of one name: its signature, its docstring and, for a class, its public members."""
    parts = [f"### `{title}`\n"]
    if called and not isinstance(thing, ModuleType) and not _is_enum_or_error(thing):
        parts.append(_code(_signature(thing, thing.__name__)))
    parts.append(_markdown(inspect.getdoc(thing) or ""))
    if inspect.isclass(thing):
        parts += _members(thing)
    return "\n".join(parts)


def _is_enum_or_error(thing: Any) -> bool:
    return inspect.isclass(thing) and (issubclass(thing, Exception) or hasattr(thing, "__members__"))


def _members(kind: type) -> Iterator[str]:
    """Yield a paragraph for each public member of a class that has a docstring of its own, in the source's order."""
    if hasattr(kind, "__members__"):
        yield "\n".join(f"- `{member.value}`: {member.advice}" for member in kind.__members__.values()) + "\n"
    for name, member in _own(kind).items():
        inner = getattr(member, "__func__", member)
        if isinstance(inner, property | cached_property):
            text, head = inspect.getdoc(inner), f"{kind.__name__}.{name}"
        elif inspect.isfunction(inner):
            text, head = inner.__doc__ and inspect.getdoc(inner), _signature(inner, f"{kind.__name__}.{name}")
        else:
            continue
        if text and (not name.startswith("_") or name in OPERATORS) and name in MEMBERS.get(kind.__name__, (name,)):
            yield f"**`{head if len(head) <= WIDTH else name}`**\n"
            if len(head) > WIDTH:
                yield _code(head)
            yield _markdown(text)


def _own(kind: type) -> dict[str, Any]:
    """Return the members of a class, those of bases that have no section of their own first."""
    bases = [base for base in kind.__mro__[1:] if base.__module__.startswith("scalecurv.results.")]
    return {name: member for part in (*reversed(bases), kind) for name, member in vars(part).items()}


OPERATORS = {f"__{name}__" for name in ("add", "sub", "neg", "mul", "rmul", "truediv", "matmul", "rmatmul", "call")}


def _signature(thing: Callable[..., Any], name: str) -> str:
    """Return the signature as one would write it, on several lines where one is too long."""
    signature = inspect.signature(thing)
    shown = [p for i, p in enumerate(signature.parameters.values()) if not (i == 0 and p.name in ("self", "cls"))]
    arguments, kinds = [], {p.kind for p in shown}
    starred = inspect.Parameter.VAR_POSITIONAL in kinds
    for parameter in shown:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            arguments.append("*")
            starred = True
        arguments.append(_argument(parameter))
    returned = (
        ""
        if signature.return_annotation is inspect.Signature.empty or inspect.isclass(thing)
        else (f" -> {_type(signature.return_annotation)}")
    )
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) <= WIDTH or not arguments:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){returned}"])


def _argument(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    known = parameter.annotation is not inspect.Parameter.empty
    text = stars + parameter.name + (f": {_type(parameter.annotation)}" if known else "")
    if parameter.default is inspect.Parameter.empty:
        return text
    if type(parameter.default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":  # of a dataclass: an empty container
        return f"{text} = {{}}"
    if callable(parameter.default):  # whose repr is an address
        return f"{text} = {parameter.default.__name__}"
    return f"{text} = {parameter.default!r}"


def _type(annotation: Any) -> str:
    """Return an annotation without the modules that its names live in."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"(?:\b(?!scipy)[A-Za-z_]\w*\.)+(?=[A-Za-z_])|~", "", text)
    return re.sub(r"Optional\[(Literal\[[^]]*\])\]", r"\1 | None", text)


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _markdown(doc: str) -> str:
    """Return a docstring as Markdown: paragraphs, lists of fields as bullets, examples as code."""
    parts, lines = [], doc.splitlines()
    starts = [i for i, line in enumerate(lines) if line.strip() == "Example:"]
    text, example = (lines[: starts[0]], lines[starts[0] + 1 :]) if starts else (lines, [])
    for paragraph in re.split(r"\n\s*\n", "\n".join(text).strip()):
        parts.append(_paragraph(paragraph.splitlines()))
    if example:
        parts.append(_code(inspect.cleandoc("\n".join(["", *example]))))
    return "\n".join(parts)


def _paragraph(lines: list[str]) -> str:
    """Return the lines of one paragraph; one whose lines all begin with a field and a colon becomes a list."""
    heads = [line for line in lines if not line.startswith(" ")]
    if heads and all(re.match(r"[a-z_0-9]+(, [a-z_0-9]+)*: ", line) for line in heads):
        items: list[str] = []
        for line in lines:
            if line.startswith(" "):
                items[-1] += " " + line.strip()
            else:
                names, _, meaning = line.partition(": ")
                items.append(f"- `{names}`: {_escaped(meaning)}")
        return "\n".join(items) + "\n"
    return "\n".join(_escaped(line.strip()) for line in lines) + "\n"


def _escaped(text: str) -> str:
    """Return the text with the characters that Markdown would take for markup escaped, outside of code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*<])", r"\\\1", p) for p in pieces)
