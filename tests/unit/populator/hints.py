"""Every hint that the program can give, read out of its source.

A hint is what a parameter, a field or an attribute `hint` gets; `following` finds the texts that it may be.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache

from lease.errors import LeaseError
from populator.errors import PopulatorError
from populator.report.outcome import explain, outcome_of
from populator.settings.names import KUBECONFIG, NAMES
from tests.unit.populator.following import FILLED_IN, Module, Unfollowed, defined, items, modules, texts
from vsphere.errors import VsphereError

PRINTING = {"complain"}
"""takes a hint and gives none: it prints those of errors, and click's own words about a call"""


@cache
def takers() -> dict[str, int]:
    """Return what can be called with a hint, by name: its place among the arguments; a class has its base's."""
    found: dict[str, int] = {}
    bases: dict[str, list[str]] = {}
    own: set[str] = set()
    for module in modules().values():
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.FunctionDef)
                and node.name not in {"__init__", *PRINTING}
                and _place(node) is not None
            ):
                found[node.name] = _place(node) or 0
            if not isinstance(node, ast.ClassDef):
                continue
            bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            start = next(
                (f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None
            )
            fields = [
                f.target.id
                for f in node.body
                if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
            ]
            if start:
                own.add(node.name)
                if (place := _place(start)) is not None:
                    found[node.name] = place
            elif "hint" in fields:
                found[node.name] = fields.index("hint")
    for _ in range(8):
        for name, above in bases.items():
            if name not in found and name not in own:
                for base in above:
                    if base in found:
                        found[name] = found[base]
    return found


def _place(function: ast.FunctionDef) -> int | None:
    names = [
        arg.arg for arg in function.args.posonlyargs + function.args.args if arg.arg not in {"self", "cls"}
    ]
    return names.index("hint") if "hint" in names else None


def hints() -> dict[str, set[int]]:
    """Return each hint with the exit codes of the errors that have it; none where only a function takes it."""
    sentences = (*NAMES.values(), KUBECONFIG, explain(Exception())[1])
    found: dict[str, set[int]] = {sentence: set() for sentence in sentences}
    for module in modules().values():
        for taker, given, home in _given(module):
            for text in texts(given, home):
                if text.strip(f"{FILLED_IN} "):
                    found.setdefault(" ".join(text.split()), set()).update(_codes(module, taker))
    return found


def _codes(module: Module, taker: str) -> set[int]:
    """Return the exit code of an error by the name of its class."""
    error = getattr(importlib.import_module(module.name), taker, None)
    if isinstance(error, type) and issubclass(error, PopulatorError | VsphereError | LeaseError):
        return {outcome_of(error.__new__(error)).exit_code}
    return set()


def _given(module: Module) -> Iterator[tuple[str, ast.expr, Module]]:
    """Yield what takes a hint, with the hint and the module where that stands."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign([ast.Attribute(_, "hint")], value):
                yield "", value, module
            case ast.Assign([ast.Tuple(targets)], value):
                places = [place for place, to in enumerate(targets) if getattr(to, "attr", "") == "hint"]
                yield from (("", *found) for place in places for found in items(value, place, module))
            case ast.Call(super_call) if ast.unparse(super_call) == "super().__init__":
                place = _of_super(module, node)
                if place is not None and len(node.args) > place:
                    yield "", node.args[place], module
            case ast.Call(ast.Name(name) | ast.Attribute(_, name)) if name in takers():
                functions = [each for each, _ in defined(name, module) if isinstance(each, ast.FunctionDef)]
                if any(_place(each) is None for each in functions):
                    continue  # another function of that name
                given = [word.value for word in node.keywords if word.arg == "hint"]
                yield from ((name, value, module) for value in given or node.args[takers()[name] :][:1])


def without() -> Iterator[tuple[str, str]]:
    """Yield class and text of each error that is made without a hint; what keeps the array from copying needs none."""
    for module in modules().values():
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(ast.Name(name) | ast.Attribute(_, name), [text, *_]) if name in takers():
                    place, named = takers()[name], [word.arg for word in node.keywords]
                    bare = len(node.args) <= place or ast.unparse(node.args[place]) == "''"
                    if (
                        name[0].isupper()
                        and name not in {"CannotCopy", "Decision"}
                        and "hint" not in named
                        and bare
                    ):
                        yield from ((name, each) for each in _texts_if_any(text, module))


def _texts_if_any(node: ast.expr, module: Module) -> list[str]:
    """Return the texts of an error; none where they are another's."""
    try:
        return [text for text in texts(node, module) if text]
    except Unfollowed:
        return []


def _of_super(module: Module, call: ast.Call) -> int | None:
    """Return the place of the hint in a call of the base's `__init__`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and any(call is inner for inner in ast.walk(node)):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            return next((takers()[base] for base in bases if base in takers()), None)
    return None
