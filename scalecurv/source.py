"""The identity of a definition in a file of Python: equal for edits that cannot change what it does."""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# by these the names of a file are reached without being written: all of the file counts then
_BY_STRING = {"globals", "locals", "eval", "exec", "__import__", "import_module", "sys.modules", "__doc__"}
_ATTRIBUTES = {"import_module", "__subclasses__", "__doc__"}  # likewise; eval and modules are methods of every Module
# nothing registers the functions and classes that these decorate or that inherit from these
_QUIET = {"abc", "builtins", "collections", "contextlib", "dataclasses", "enum", "functools", "torch", "typing"} | {
    "lightning",
    "pytorch_lightning",
}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_UNSAID = ("kind", "type_comment")  # fields that change nothing


def identity_in(source: bytes, name: str, module: str = "") -> str:
    """Return a sha256 that is the same as long as `name` does the same, as far as its file decides that.

    It covers the syntax tree, without comments, docstrings and positions, of the definition of `name` and of all
    definitions, assignments and imports at the top of the file that it refers to, directly or through others. It
    always covers what may act when the file is imported: star imports, assignments to attributes and items, decorated
    definitions and classes that a base may register (except those of the standard library and torch), and every
    statement that is no definition, assignment or import, `if __name__ == "__main__"` apart.

    It covers the whole file, byte by byte, where this is not known: the source is no Python, `name` is not defined at
    the top of it, or names are reached by strings (`globals`, `eval`, `sys.modules`, an import of its own `module`).

    Example:
        >>> one = b"def f():\\n    return 1  # one\\n"
        >>> identity_in(one, "f") == identity_in(b"import os\\ndef f(): return 1", "f")
        True
    """
    try:
        covered = _covered(ast.parse(source), name, module)
        plain = None if covered is None else json.dumps([_plain(statement) for statement in covered])
    except (SyntaxError, ValueError, RecursionError):
        plain = None
    return hashlib.sha256(source if plain is None else plain.encode()).hexdigest()


def _covered(tree: ast.Module, name: str, module: str) -> list[ast.stmt] | None:
    """Return the statements that decide what `name` does, in the order of the file; None where all of it may."""
    statements = [s for s in tree.body if not _is_text(s) and not _is_main(s)]
    modules = {bound: module for s in statements for bound, module in _imported(s)}
    top = _Top({s.name: s for s in statements if isinstance(s, ast.ClassDef)}, modules)
    bound = [_bound_by(statement) for statement in statements]
    if not any(name in names for names in bound):
        return None
    wanted, chosen = {name}, {i for i, statement in enumerate(statements) if top.acts(statement)}
    new = chosen | {i for i, names in enumerate(bound) if name in names}
    while new:
        chosen |= new
        for i in new:
            wanted |= _names_in(statements[i])
        new = {i for i, names in enumerate(bound) if i not in chosen and names & wanted}
    by_string = _BY_STRING | _ATTRIBUTES | {f"import {module}"}
    return None if wanted & by_string else [statements[i] for i in sorted(chosen)]


@dataclass(frozen=True)
class _Top:
    """The classes at the top of a file, and the modules that its imported names come from."""

    classes: Mapping[str, ast.ClassDef]
    modules: Mapping[str, str]

    def acts(self, statement: ast.stmt) -> bool:
        """Return True where a statement may change more, on import, than the names that it binds."""
        if isinstance(statement, _Definition):
            registered = any(not self._is_quiet(decorator) for decorator in statement.decorator_list)
            return registered or (isinstance(statement, ast.ClassDef) and self._may_be_registered(statement))
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return (
                any(alias.name == "*" for alias in statement.names)
                or "__future__" in dict(_imported(statement)).values()
            )
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return any(isinstance(node, ast.Attribute | ast.Subscript) for t in targets for node in ast.walk(t))
        return True

    def _may_be_registered(self, definition: ast.ClassDef) -> bool:
        """Return True where a metaclass, or a base with __init_subclass__, may be told of a class."""
        for base in definition.bases:
            mine = self.classes.get(base.id) if isinstance(base, ast.Name) else None
            if mine is None or mine is definition:
                if not self._is_quiet(base):
                    return True
            elif self._may_be_registered(mine) or "__init_subclass__" in map(_name_of, mine.body):
                return True
        return bool(definition.keywords)

    def _is_quiet(self, node: ast.expr) -> bool:
        root = node
        while isinstance(root, ast.Attribute | ast.Call | ast.Subscript):
            root = root.func if isinstance(root, ast.Call) else root.value
        if not isinstance(root, ast.Name):
            return False
        module = self.modules.get(root.id, "builtins" if root.id in _BUILTINS else "")
        return module.partition(".")[0] in _QUIET


_BUILTINS = {"object", "Exception", "ValueError", "RuntimeError", "dict", "list", "tuple", "int", "float", "str", "set",
             "property", "staticmethod", "classmethod"}  # fmt: skip


def _is_text(statement: ast.stmt) -> bool:
    """Return True for a docstring, and any other constant that stands alone."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_main(statement: ast.stmt) -> bool:
    """Return True for `if __name__ == "__main__"`, which no import runs."""
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and ast.unparse(statement.test) in ("__name__ == '__main__'", "'__main__' == __name__")
    )


def _imported(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield each name that an import binds, with the module that it comes from."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0], alias.name
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name, "." * statement.level + (statement.module or "")


def _bound_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a file binds."""
    if isinstance(statement, _Definition):
        return {statement.name}
    names = {name for name, _ in _imported(statement)}
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, _Definition):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {name for name, _ in _imported(node)}
    return names


def _names_in(statement: ast.stmt) -> set[str]:
    """Return all names in a statement, and the ways in which it reaches others by strings."""
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names |= {node.attr} & _ATTRIBUTES
            names |= {ast.unparse(node)} & {"sys.modules"}
        elif isinstance(node, ast.Global):
            names |= set(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for bound, module in _imported(node):
                names |= {f"import {module}", "sys.modules" if (module, bound) == ("sys", "modules") else bound}
        elif isinstance(node, ast.Call) and not node.args and ast.unparse(node.func) == "vars":
            names.add("globals")
    return names


def _name_of(node: ast.stmt) -> str:
    return node.name if isinstance(node, _Definition) else ""


def _plain(node: Any) -> Any:
    """Return a syntax tree as lists and texts that are the same in every release of Python."""
    if isinstance(node, ast.Constant):
        return [type(node.value).__name__, repr(node.value)]
    if isinstance(node, list):
        kept = [item for item in node if not (isinstance(item, ast.stmt) and _is_text(item))]
        return [_plain(item) for item in kept] or [["Pass"]]
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _UNSAID)
        return [type(node).__name__, *([name, _plain(value)] for name, value in fields if value not in (None, []))]
    return node
