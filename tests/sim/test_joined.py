"""A program that has been joined into one module, and renamed, does what it did."""

import contextlib
import io
import runpy
import sys
import types

import pytest

from host_tools.simulation.borrowed_names import built_in, renamed
from host_tools.simulation.joined import Joiner
from host_tools.simulation.processes import micropython

SOURCES = {
    "start.py": """
import helper
import settings
from part import alpha, beta as other
from part.alpha import LIMIT, Base, count

class Derived(Base):
    kind = LIMIT + alpha.STEP

    def __init__(self, alpha):
        super().__init__()
        self._extra = alpha  # an argument named as a module

    def total(self, LIMIT=3):
        helper = [LIMIT for LIMIT in range(3)]
        return self._value + self._extra + sum(helper) + LIMIT

def run():
    token = Derived(5)
    print(token.total(), token.total(LIMIT=7), Derived.kind, other.LIMIT, other.label(), settings.BLOCKS)
    print(helper.tick(), helper.tick(), helper.now, count([1, 2]))
    print([name.upper() for name in ("a", "b")], (lambda alpha: alpha + LIMIT)(1))
    print(token._hidden(), other.Pair()._hidden())
""",
    "helper.py": """
now = 0

def tick():
    global now
    now += 1
    return now
""",
    "part/__init__.py": "",
    "part/const.py": "def const(value):\n    return value\n",
    "part/alpha.py": """
from .const import const
try:
    from .beta import label
except ImportError:
    def label():
        return "never"

LIMIT = 10
STEP = LIMIT * 2
_SIZE = const(4)

def count(things):
    return len(things) + _SIZE

class Base:
    def __init__(self):
        self._value = LIMIT

    def _hidden(self):
        return label() + str(_SIZE)
""",
    "part/beta.py": """
from .const import const

LIMIT = 11
_SIZE = const(5)

def label():
    return "beta%d" % _SIZE

class Pair:
    def __init__(self):
        self._other = 1
        self._value = 2

    def _hidden(self):
        return self._other + self._value
""",
    "settings.py": "BLOCKS = 62\n",
}


@pytest.fixture
def program(tmp_path):
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def printed(run):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        run()
    return out.getvalue()


def printed_by(source, monkeypatch):
    """What the joined program prints; `micropython` and `settings` are what it finds on a board."""
    monkeypatch.setitem(sys.modules, "micropython", types.SimpleNamespace(const=lambda value: value))
    monkeypatch.setitem(sys.modules, "settings", types.SimpleNamespace(BLOCKS=62))
    names: dict = {}
    exec(compile(source, "joined", "exec"), names)
    return printed(names["run"])


@pytest.fixture
def expected(program, monkeypatch):
    """What it prints module by module."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(program))
    result = printed(runpy.run_path(str(program / "start.py"))["run"])
    for name in set(sys.modules) - before:
        del sys.modules[name]
    return result


def test_a_joined_program_does_what_it_did(program, expected, monkeypatch):
    joined = Joiner(program, "start", frozenset({"settings"})).source()
    assert "part" not in joined
    assert printed_by(joined, monkeypatch) == expected
    assert expected.startswith("21 25 30 11 beta5 62\n1 2 2 6\n")


def test_a_renamed_program_does_what_it_did(program, expected, monkeypatch):
    joined = Joiner(program, "start", frozenset({"settings"})).source()
    spare = [f"spare{number}" for number in range(100)]
    borrowed = renamed(joined, [SOURCES["settings.py"], "start.run()"], spare)
    assert printed_by(borrowed, monkeypatch) == expected
    for gone in ("_value", "_extra", "tick", "Derived"):
        assert gone not in borrowed


def test_private_attributes_of_strangers_share_a_name():
    source = "class A:\n def f(self):\n  self._a = self._b = 1\nclass B:\n def g(self):\n  self._c = 2\n"
    borrowed = renamed(source, ["A B f g self"], ["one", "two", "three"])
    assert "self.one = self.two = 1" in borrowed
    assert "self.one = 2" in borrowed


@pytest.mark.vm
def test_the_vm_has_names_to_lend():
    names = built_in(micropython())
    assert len(names) > 500
    assert {"append", "update", "ArithmeticError"} <= set(names)
