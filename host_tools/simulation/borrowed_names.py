"""Gives a program's names the spelling of names that the VM has built in, which cost it no memory.

The names of a frozen module lie in flash. The VM has them on its heap: about 12 KB for this firmware, a fifth of what
an ESP32 begins with. A module renamed like this weighs what a frozen one does; nobody should read it.
"""

import ast
import builtins
import io
import keyword
import re
import socket
import subprocess
from collections.abc import Iterator

# Everything that can be reached by name from the VM's modules, its own and the frozen ones.
_LIST = """
def show(thing, depth):
    for name in dir(thing):
        print(name)
        if depth:
            show(getattr(thing, name, None), depth - 1)

for name in ('_thread argparse array asyncio asyncio.core asyncio.event asyncio.funcs asyncio.lock asyncio.stream '
        'binascii builtins cmath collections cryptolib deflate errno framebuf gc hashlib heapq io json machine math '
        'micropython mip os platform random re requests select socket ssl struct sys termios time tls uctypes vfs '
        'websocket').split():
    print(name)
    show(__import__(name, None, None, ('',)), 2)
"""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def built_in(vm: str) -> list[str]:
    """Names in the VM's own table; `vm` is its path."""
    done = subprocess.run([vm, "-c", _LIST], capture_output=True, text=True, check=True)
    words = {word for word in done.stdout.split() if _WORD.fullmatch(word) and not keyword.iskeyword(word)}
    return sorted(word for word in words if not word.startswith("__"))


def renamed(source: str, neighbours: list[str], spare: list[str]) -> str:
    """A module with its own names replaced, and those left alone that others know it or its objects by.

    Args:
        source: of the module.
        neighbours: sources of the modules that it works with and that are not part of the VM.
        spare: names to be used.
    """
    tree = ast.parse(source)
    foreign = _foreign(tree).union(*(set(_WORD.findall(text)) for text in neighbours))
    named = {name for node in ast.walk(tree) for name in _names(node)} | _globals(tree)
    own = named - foreign - set(spare)  # one that is spelled like a spare one keeps its name, so nobody else gets it
    used = foreign | named | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    groups = _grouped(_private_owners(tree, own))
    groups += [[name] for name in sorted(own - {name for group in groups for name in group})]
    free = (name for name in spare if name not in used)
    table = {name: new for group, new in zip(groups, free, strict=False) for name in group}
    for node in ast.walk(tree):
        _rename(node, table)
    return ast.unparse(tree)


def _names(node: ast.AST) -> Iterator[str]:
    # Local names, but those of arguments, do not outlive the compiler.
    match node:
        case ast.Attribute():
            yield node.attr
        case ast.FunctionDef() | ast.ClassDef():
            yield node.name
        case ast.arg():
            yield node.arg
        case ast.keyword() if node.arg:
            yield node.arg


def _globals(tree: ast.Module) -> set[str]:
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.Try))]
    statements = [each for scope in scopes for each in scope.body if isinstance(each, ast.Assign | ast.AnnAssign)]
    return {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _rename(node: ast.AST, table: dict[str, str]) -> None:
    match node:
        case ast.Name():
            node.id = table.get(node.id, node.id)
        case ast.Attribute():
            node.attr = table.get(node.attr, node.attr)
        case ast.FunctionDef() | ast.ClassDef():
            node.name = table.get(node.name, node.name)
        case ast.arg():
            node.arg = table.get(node.arg, node.arg)
        case ast.keyword() if node.arg:
            node.arg = table.get(node.arg, node.arg)
        case ast.Global():
            node.names = [table.get(name, name) for name in node.names]


def _grouped(owners: dict[str, set]) -> list[list[str]]:
    """Groups of names of which no two have an owner in common: one name serves for all."""
    groups: list[tuple[list[str], set]] = []
    for name in sorted(owners):
        for names, taken in groups:
            if not taken & owners[name]:
                names.append(name)
                taken |= owners[name]
                break
        else:
            groups.append(([name], set(owners[name])))
    return [names for names, _ in groups]


def _private_owners(tree: ast.Module, own: set[str]) -> dict[str, set]:
    """Private attributes that are asked of `self` only: the classes, each with its relatives, that have them."""
    family: dict[str, str] = {}
    owners: dict[str, set[str]] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.ClassDef):
            continue
        parents = [base.id for base in statement.bases if isinstance(base, ast.Name)]
        root = next((family[name] for name in parents if name in family), statement.name)
        family[statement.name] = root
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef) or _is_of_self(node):
                for name in _names(node):
                    owners.setdefault(name, set()).add(root)
    methods = {each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body}
    elsewhere = {
        name for node in ast.walk(tree) if not _is_of_self(node) and node not in methods for name in _names(node)
    }
    return {name: owners[name] for name in own & set(owners) - elsewhere if name.startswith("_")}


def _is_of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _foreign(tree: ast.Module) -> set[str]:
    found = set(dir(builtins))
    for kind in (*vars(builtins).values(), io.BufferedRandom, socket.socket):
        found |= set(dir(kind))
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.name for alias in node.names}
            found |= {alias.asname or alias.name for alias in node.names}
            modules |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value}  # for getattr
        elif isinstance(node, ast.Assign) and _is_constant(node.value):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}  # vanishes by its name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add(node.attr)
    return found | {"const", "encrypt", "digest", "update"}  # methods of what hashlib and cryptolib make


def _is_constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const"
