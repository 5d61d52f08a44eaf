"""Which texts an expression of the program's source may have: names are followed to what they are bound to.

To a constant, also another module's, a row of a table, what a function returns. What is filled in when the program runs
stands as `…`; a text that cannot be followed is an error, so that none is lost.
"""

import ast
import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

from tests.lab.program import ROOT
from tests.unit.populator.face import sources

Def = ast.FunctionDef | ast.Lambda
FILLED_IN = "…"
OF_OTHERS = {"job.optional('error.solution')"}
"""an array's own words"""


class Unfollowed(Exception):
    """A hint whose text is not to be seen in the source."""


class Module:
    """A module's names, and which function each of its nodes stands in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.within: dict[ast.AST, list[Def]] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        self._walk(self.tree, [])

    def _walk(self, node: ast.AST, within: list[Def]) -> None:
        self.within[node] = within
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                self.imports[alias.asname or alias.name] = (node.module, alias.name)
        inner = [*within, node] if isinstance(node, ast.FunctionDef | ast.Lambda) else within
        for child in ast.iter_child_nodes(node):
            self._walk(child, inner)


@cache
def modules() -> dict[str, Module]:
    """Return the modules by name."""
    return {module.name: module for module in map(Module, sources())}


def texts(node: ast.expr, module: Module) -> list[str]:
    """Return the texts that an expression may have."""
    found: list[str] = []
    for value, home in values(node, module):
        match value:
            case ast.Constant(str(text)):
                found.append(text)
            case ast.Constant(None):
                pass
            case ast.JoinedStr(parts):
                found += ["".join(each) for each in product(*(_part(part, home) for part in parts))]
            case ast.BinOp(left, ast.Add(), right):
                found += ["".join(each) for each in product(texts(left, home), texts(right, home))]
            case ast.Call(ast.Attribute(pattern, "format")):
                found += [re.sub(r"{\w*}", FILLED_IN, text) for text in texts(pattern, home)]
            case _:
                raise Unfollowed(f"{home.name}:{value.lineno}: {ast.unparse(value)[:120]}")
    return found


def _part(part: ast.expr, module: Module) -> Sequence[str]:
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    assert isinstance(part, ast.FormattedValue)
    match part.value:
        case ast.IfExp(_, ast.Constant(str(one)), ast.Constant(str(other))):
            return [one, other]
        case ast.Name(name) if part.format_spec is None:
            constants = [value.value for value, _ in _top(name, module) if isinstance(value, ast.Constant)]
            return [str(value) for value in constants] or [FILLED_IN]
        case ast.Attribute(ast.Name(owner), name) if owner in module.imports and (
            home := _module(module, owner)
        ):
            constants = [value.value for value, _ in _top(name, home) if isinstance(value, ast.Constant)]
            return [str(value) for value in constants] or [FILLED_IN]
    return [FILLED_IN]


def values(node: ast.expr, module: Module) -> list[tuple[ast.expr, Module]]:
    """Follow an expression to what it may be, and return that with the module where it stands."""
    found: list[tuple[ast.expr, Module]] | None = None
    match node:
        case ast.IfExp(_, one, other):
            found = values(one, module) + values(other, module)
        case ast.BoolOp(_, several):
            found = _all([(each, module) for each in several])
        case ast.Name(name):
            found = _bound(name, node, module)
        case ast.Attribute(_, "hint"):
            return []
        case ast.Attribute(ast.Name(owner), name) if owner in module.imports and (
            home := _module(module, owner)
        ):
            found = _top(name, home) or None
        case ast.Subscript(table, _):
            found = _all(_rows_of(table, module)) or None
        case ast.Call():
            return _called(node, module)
    return [(node, module)] if found is None else found


def _called(call: ast.Call, module: Module) -> list[tuple[ast.expr, Module]]:
    """Follow what is called to what it may return."""
    if ast.unparse(call) in OF_OTHERS:
        return []
    match call:
        case ast.Call(ast.Attribute(inner, "strip"), []):
            return values(inner, module)
        case ast.Call(ast.Attribute(_, "format")):
            return [(call, module)]
        case ast.Call(ast.Attribute(table, "get"), [_, *default]) if rows := _rows_of(table, module):
            return _all([*rows, *((each, module) for each in default)])
    return _returned(call.func, module) or [(call, module)]


def _rows_of(table: ast.expr, module: Module) -> list[tuple[ast.expr, Module]]:
    """Return the values of a dictionary that stands in the source."""
    return [
        (value, home)
        for each, home in values(table, module)
        if isinstance(each, ast.Dict)
        for value in each.values
    ]


def _all(several: Sequence[tuple[ast.expr, Module]]) -> list[tuple[ast.expr, Module]]:
    return [found for each, home in several for found in values(each, home)]


def _module(module: Module, name: str) -> Module | None:
    package, inner = module.imports[name]
    return modules().get(f"{package}.{inner}")


def _bound(name: str, node: ast.Name, module: Module) -> list[tuple[ast.expr, Module]]:
    """Return what a name is bound to: in the functions around it, else in its module, else where it comes from."""
    for function in reversed(module.within[node]):
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        if (local := _local(name, function, module)) is not None:
            return local
        if name in {argument.arg for argument in arguments}:
            return [] if name == "hint" else [(ast.Call(node, [], [], lineno=node.lineno), module)]
    return _top(name, module) or [(ast.Call(node, [], [], lineno=node.lineno), module)]


def _top(name: str, module: Module) -> list[tuple[ast.expr, Module]]:
    for node in module.tree.body:
        match node:
            case ast.Assign([ast.Name(each)], value) | ast.AnnAssign(
                ast.Name(each), value=ast.expr() as value
            ) if each == name:
                return values(value, module)
            case ast.Assign([ast.Tuple(names)], ast.Tuple(several)) if any(
                isinstance(each, ast.Name) and each.id == name for each in names
            ):
                place = next(
                    i for i, each in enumerate(names) if isinstance(each, ast.Name) and each.id == name
                )
                return values(several[place], module)
    if name in module.imports:
        package, inner = module.imports[name]
        if package in modules():
            return _top(inner, modules()[package])
    return []


def _local(name: str, function: Def, module: Module) -> list[tuple[ast.expr, Module]] | None:
    """Return what the name is bound to in a function; what is added to it later is put behind. None: it is not."""
    found: list[tuple[ast.expr, Module]] = []
    bound = False
    for node in ast.walk(function):
        bound = bound or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        match node:
            case ast.Assign([ast.Name(each)], value) if each == name:
                found += values(value, module)
            case ast.AugAssign(ast.Name(each), ast.Add(), value) if each == name:
                found = [
                    (ast.BinOp(before, ast.Add(), value, lineno=node.lineno), module) for before, _ in found
                ]
            case ast.Assign([ast.Tuple(names)], value) if (place := _among(name, names)) is not None:
                found += items(value, place, module)
            case ast.For(ast.Tuple(names), several) if (place := _among(name, names)) is not None:
                found += _rows(several, place, module)
            case ast.NamedExpr(ast.Name(each), value) if each == name:
                found += values(value, module)
    return found if bound else None


def _among(name: str, names: Sequence[ast.expr]) -> int | None:
    return next((i for i, each in enumerate(names) if isinstance(each, ast.Name) and each.id == name), None)


def items(value: ast.expr, place: int, module: Module) -> list[tuple[ast.expr, Module]]:
    """Return one item of each tuple that an expression may be."""
    found: list[tuple[ast.expr, Module]] = []
    for each, home in values(value, module):
        if isinstance(each, ast.Tuple):
            found += values(each.elts[place], home)
        elif not isinstance(each, ast.Constant):
            found.append((each, home))
    return found


def _rows(several: ast.expr, place: int, module: Module) -> list[tuple[ast.expr, Module]]:
    found: list[tuple[ast.expr, Module]] = []
    for table, home in values(several, module):
        if isinstance(table, ast.Tuple | ast.List):
            for row in table.elts:
                found += items(row, place, home)
    return found


def _returned(function: ast.expr, module: Module) -> list[tuple[ast.expr, Module]]:
    """Return what calling it may return: a function by its name, or what a name is bound to."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    called: list[tuple[Def, Module]] = []
    if isinstance(function, ast.Name) and module.within[function]:
        for value, home in _local_any(name, function, module):
            if isinstance(value, ast.Lambda):
                called.append((value, home))
            elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                called += defined(value.func.id, home)
    called = called or defined(name, _owner(function, module) or module)
    found: list[tuple[ast.expr, Module]] = []
    for each, home in called:
        if isinstance(each, ast.Lambda):
            found += values(each.body, home)
            continue
        for node in ast.walk(each):
            if isinstance(node, ast.Return) and node.value and home.within[node][-1] is each:
                found += values(node.value, home)
    return found


def _owner(function: ast.expr, module: Module) -> Module | None:
    """Return the module that a function is called of, as in `errors.grant`."""
    match function:
        case ast.Attribute(ast.Name(owner)) if owner in module.imports:
            return _module(module, owner)
    return None


def _local_any(name: str, node: ast.Name, module: Module) -> list[tuple[ast.expr, Module]]:
    for function in reversed(module.within[node]):
        if found := _local(name, function, module):
            return found
    return []


def defined(name: str, module: Module) -> list[tuple[Def, Module]]:
    here = [
        (node, module)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    if here:
        return list(here)
    package, inner = module.imports.get(name, ("", ""))
    return defined(inner, modules()[package]) if package in modules() else []
