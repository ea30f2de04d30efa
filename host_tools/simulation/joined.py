"""Joins a program's modules into one, as a frozen image holds them: one table of names, and no copies of imports.

Every module of a program has a dict of its globals, a table of its names and an entry for all that it imports; on the
64-bit VM that adds up to kilobytes that a board with frozen modules keeps in flash or does not have. What a module does
stays as it is: top-level statements run in the order of the imports, and only global names change, where two modules
have used the same one.
"""

import ast
from collections import Counter
from pathlib import Path

_Key = tuple[str, str]  # module, name

_CONST: _Key = ("", "const")  # the compiler knows it by its name: every module's is the same, and is imported once
_HEAD = "from micropython import const\n"


class _Module:
    """One module: what its global names stand for.

    Attributes:
        meaning: global name → where it is defined.
        aliases: global name → the joined module that it is.
        joined: statements that import from joined modules, to be left out.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.meaning: dict[str, _Key] = {}
        self.aliases: dict[str, str] = {}
        self.joined: set[ast.stmt] = set()


def _resolve(importer: str, node: ast.ImportFrom) -> str:
    package = importer.split(".")[: -node.level] if node.level else []
    return ".".join([*package, *([node.module] if node.module else [])])


class Joiner:
    """Joins the modules below `root` that `start` imports, but those in `apart`.

    Args:
        root: folder of sources.
        start: name of the module that runs the program.
        apart: modules that stay modules of their own.
    """

    def __init__(self, root: Path, start: str, apart: frozenset[str]) -> None:
        self._root = root
        self._apart = apart
        self._modules: dict[str, _Module] = {}  # in the order in which they run
        self._names: dict[_Key, str] = {}
        self._taken: set[str] = set()
        self._load(start)

    def source(self) -> str:
        """The joined module."""
        body: list[ast.stmt] = []
        done: set[_Key] = set()
        for module in self._modules.values():
            for statement in module.tree.body:
                if statement in module.joined or _is_docstring(statement):
                    continue
                imported = {key for name in _bound(statement) if (key := module.meaning[name])[0] != module.name}
                if imported and imported <= done:
                    continue  # another module has imported the same
                done |= imported
                body.append(_Renaming(self, module).visit(statement))
        tree = ast.Module(body, [])
        _make_private(tree)
        return _HEAD + ast.unparse(ast.fix_missing_locations(tree))

    def name(self, key: _Key) -> str:
        """What a global is called in the joined module."""
        if key not in self._names:
            name = key[1]
            while name in self._taken:
                name += "_"  # a private constant stays private, and vanishes when compiled
            self._taken.add(name)
            self._names[key] = name
        return self._names[key]

    def _path(self, name: str) -> Path | None:
        path = self._root / (name.replace(".", "/") + ".py")
        return path if path.exists() and name not in self._apart else None

    def _load(self, name: str) -> None:
        path = self._path(name)
        assert path is not None
        module = _Module(name, path)
        for statement in module.tree.body:
            if self._join(module, statement):
                module.joined.add(statement)
                continue
            for bound in _bound(statement):
                module.meaning[bound] = _origin(statement, bound) or (name, bound)
        self._modules[name] = module

    def _join(self, module: _Module, statement: ast.stmt) -> bool:
        # Imports from modules that are joined; of two ways to get the same, the first one that is at hand.
        if isinstance(statement, ast.Try):
            return self._join(module, statement.body[0])
        if isinstance(statement, ast.Import):
            joinable = [alias.name for alias in statement.names if self._path(alias.name)]
            for name in joinable:
                module.aliases[name] = name
                self._need(name)
            return bool(joinable)
        if not isinstance(statement, ast.ImportFrom):
            return False
        source = _resolve(module.name, statement)
        if [alias.name for alias in statement.names] == ["const"]:
            module.meaning["const"] = _CONST
            return True
        joined = False
        for alias in statement.names:
            bound = alias.asname or alias.name
            submodule = f"{source}.{alias.name}"
            if self._path(submodule):
                module.aliases[bound] = submodule
                self._need(submodule)
                joined = True
            elif self._path(source):
                self._need(source)
                module.meaning[bound] = self._modules[source].meaning[alias.name]
                joined = True
        return joined

    def _need(self, name: str) -> None:
        if name not in self._modules:
            self._load(name)

    def meaning(self, module: str, name: str) -> _Key:
        """Where a global of a joined module is defined."""
        return self._modules[module].meaning[name]


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _bound(node: ast.AST) -> list[str]:
    """Names that a statement binds in its own scope."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store | ast.Del) else []
    if isinstance(node, ast.Lambda):
        return []
    return [name for child in ast.iter_child_nodes(node) for name in _bound(child)]


def _origin(statement: ast.stmt, bound: str) -> _Key | None:
    """Whence a plain import of a module that is not joined takes a name: the same for everybody."""
    if isinstance(statement, ast.Import):
        return next(("import", a.name) for a in statement.names if bound == (a.asname or a.name))
    if isinstance(statement, ast.ImportFrom):
        return next((f"from {statement.module}", a.name) for a in statement.names if bound == (a.asname or a.name))
    return None


def _make_private(tree: ast.Module) -> None:
    """Constants that modules have shared become private to the one that is left: the compiler puts them in place."""
    stored = Counter(name for node in ast.walk(tree) for name in _stored(node))
    renamed: dict[str, str] = {}
    known: dict[str, bool] = {}  # constants: whether they are numbers
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(target := statement.targets[0], ast.Name):
            continue
        value = statement.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const":
            value = value.args[0]
        if stored[target.id] == 1 and (_is_text(value) or _is_whole(value, known)):
            known[target.id] = not _is_text(value)
            renamed[target.id] = target.id if target.id.startswith("_") else f"_{target.id}__"
            statement.value = ast.Call(ast.Name("const", ast.Load()), [value], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = renamed.get(node.id, node.id)


def _stored(node: ast.AST) -> list[str]:
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.Global):
        return node.names
    return _bound(node) if isinstance(node, ast.Name) else []


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _is_whole(node: ast.expr, known: dict[str, bool]) -> bool:
    match node:
        case ast.Constant():
            return type(node.value) is int
        case ast.Name():
            return known.get(node.id, False)
        case ast.UnaryOp():
            return _is_whole(node.operand, known)
        case ast.BinOp():
            return _is_whole(node.left, known) and _is_whole(node.right, known)
    return False


class _Renaming(ast.NodeTransformer):
    """Puts the joined names into one statement of a module."""

    def __init__(self, joiner: Joiner, module: _Module) -> None:
        self._joiner = joiner
        self._module = module
        self._scopes: list[set[str]] = []

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _global(self, name: str) -> str:
        if self._is_local(name) or name not in self._module.meaning:
            return name
        return self._joiner.name(self._module.meaning[name])

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._global(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = node.value
        if isinstance(value, ast.Name) and value.id in self._module.aliases and not self._is_local(value.id):
            key = self._joiner.meaning(self._module.aliases[value.id], node.attr)
            return ast.Name(self._joiner.name(key), node.ctx)
        return self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> ast.AST:
        bound = node.asname or node.name
        if not self._scopes and bound in self._module.meaning:
            name = self._joiner.name(self._module.meaning[bound])
            node.asname = name if name != node.name else None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not self._scopes:
            node.name = self._global(node.name)
        for outer in (*node.decorator_list, *node.args.defaults, *[d for d in node.args.kw_defaults if d]):
            self.visit(outer)
        declared = {name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        local = {argument.arg for argument in arguments if argument}
        local |= {name for statement in node.body for name in _bound(statement)} - declared
        self._scopes.append(local)
        node.body = [self.visit(statement) for statement in node.body]
        self._scopes.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._scopes.append({argument.arg for argument in node.args.args})
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._joiner.name(self._module.meaning[name]) for name in node.names]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._global(node.name)
        node.bases = [self.visit(base) for base in node.bases]
        body = {name for statement in node.body for name in _bound(statement)}
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                self._method(statement)
            else:
                self._scopes.append(body)
                self.visit(statement)
                self._scopes.pop()
        return node

    def _method(self, node: ast.FunctionDef) -> None:
        name = node.name
        self.visit_FunctionDef(node)
        node.name = name
