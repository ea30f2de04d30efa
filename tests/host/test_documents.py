"""The documents keep their promises: links lead somewhere, commands exist, quoted messages are the program's own."""

import ast
import re
import shlex
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from host_tools.cli import build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "boards/*/*.md", "tests/vectors/*/*.md") for path in ROOT.glob(pattern)
)
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if ".vi" not in path.suffixes)
WITH_MESSAGES = [page for page in PAGES if page.stem in ("kiosk", "technician")]
# Words on the pages that the program fills in: its own sentence has a field there.
FILLED_IN = {
    "no national list at": "no … at",
    "the root of the health authority": "the root of …",
    "MicroPython 1.…": "MicroPython …",
    "runs circuitpython": "runs …",
    "an ESP32C3; … is for ESP32": "an …; … is for …",
    'partition "log"': 'partition "…"',
    "Note: This": "This",
    "refused 3 codes": "refused … codes",
    "for 10 seconds": "for … seconds",
}
LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")


def name_of(path):
    return str(path.relative_to(ROOT))


@cache
def prose(path):
    """A document without its fenced blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


@cache
def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    seen = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def leads_nowhere(document, target):
    path, _, anchor = target.partition("#")
    place = (document.parent / path).resolve() if path else document
    if not place.exists():
        return True
    return bool(anchor) and (place.suffix != ".md" or anchor not in anchors(place))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document):
    targets = [target for target in LINK.findall(prose(document)) if not re.match(r"[a-z]+:", target)]
    assert [target for target in targets if leads_nowhere(document, target)] == []


def test_a_link_that_leads_nowhere_is_noticed():
    readme = ROOT / "README.md"
    assert leads_nowhere(readme, "docs/none.md")
    assert leads_nowhere(readme, "DESIGN.md#none")
    assert not leads_nowhere(readme, "DESIGN.md#one-loop")


def test_the_methods_that_design_names_exist():
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for top in ("firmware", "boards", "host_tools")
        for path in (ROOT / top).rglob("*.py")
    )
    named = set(re.findall(r"`([A-Z]\w*[a-z]\w*)\.(\w+)`", prose(ROOT / "DESIGN.md")))
    assert ("Token", "step") in named
    gone = {
        (owner, name)
        for owner, name in named
        if not re.search(rf"class {owner}\b", source) or not re.search(rf"(def |self\.){name}\b", source)
    }
    assert gone == set()


# --- Commands --------------------------------------------------------------------------------------------------


def commands(path):
    """What a document tells to type: code in a line, and the lines of fenced blocks."""
    text = path.read_text(encoding="utf-8")
    lines = [code.replace("\n", " ") for code in CODE.findall(prose(path))]
    lines += [line for block in FENCE.finditer(text) for line in block.group().splitlines()]
    return [re.sub(r" +", " ", line.strip()).removeprefix("$ ").removeprefix(".venv/bin/") for line in lines]


def unknown_words(line):
    """The words of a `bluezone` command line that it does not know: a subcommand or an option."""
    words = shlex.split(line.replace("'", ""), comments=True)[1:]
    command: Any = get_command(build_app())
    while hasattr(command, "commands") and words and re.fullmatch(r"[a-z][a-z0-9-]*", words[0]):
        if words[0] not in command.commands:
            return [words[0]]
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    return [word for word in words if word.startswith("--") and word not in options]


# SPEC.md has labels that look like commands; its commands are executed by test_spec.py.
SPOKEN = [path for path in DOCUMENTS if path.name != "SPEC.md"]


@pytest.mark.parametrize("document", SPOKEN, ids=name_of)
def test_every_command_exists(document):
    typed = [line for line in commands(document) if line.startswith("bluezone ")]
    assert {line: wrong for line in typed if (wrong := unknown_words(line))} == {}


def test_a_command_that_does_not_exist_is_noticed():
    assert unknown_words("bluezone sing") == ["sing"]
    assert unknown_words("bluezone key old") == ["old"]
    assert unknown_words("bluezone sync --cases list.json --shout") == ["--shout"]
    assert unknown_words("bluezone sync --cases list.json --keys kiosk.key") == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_target_of_make_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    typed = {line.split()[1] for line in commands(document) if re.match(r"make [a-z-]+\b", line)}
    assert typed <= targets


# --- Two languages ---------------------------------------------------------------------------------------------


def shape(path):
    """What both languages of a page have in common: heading levels, rows of tables, points, code."""
    text = path.read_text(encoding="utf-8")
    return {
        "headings": re.findall(r"^(#+) ", prose(path), re.MULTILINE),
        "rows": [line.count("|") for line in text.splitlines() if line.startswith("|")],
        "points": len(re.findall(r"^(?:-|\d+\.) ", text, re.MULTILINE)),
        "commands": sorted(line for line in commands(path) if line.startswith(("bluezone ", "make "))),
        "options": sorted(line for line in commands(path) if re.fullmatch(r"--[a-z-]+", line)),
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_both_languages_say_the_same(page):
    assert shape(page.with_suffix(".vi.md")) == shape(page)


def messages(page):
    """The first column of the table of messages: English sentences, with … for what is left out."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page.read_text(encoding="utf-8").split("\n## ")[-1], re.MULTILINE)
    return [message for row in rows[1:] for message in row.split(" / ") if re.match(r"[A-Z…]", message)]


@pytest.mark.parametrize("page", WITH_MESSAGES, ids=name_of)
def test_both_languages_quote_the_same_messages(page):
    assert messages(page.with_suffix(".vi.md")) == messages(page)


@cache
def sentences():
    """Every text in the program's source, a replacement field as "…"."""
    found = []
    for path in (ROOT / "host_tools").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def is_said(message):
    """Whether the program has a sentence that the quotation fits."""
    for words, said in FILLED_IN.items():
        message = message.replace(words, said)
    pattern = re.escape(message.strip("… ")).replace("…", ".*")
    return any(re.search(pattern, sentence, re.DOTALL) for sentence in sentences())


@pytest.mark.parametrize("page", WITH_MESSAGES, ids=name_of)
def test_quoted_messages_are_the_programs_own(page):
    assert [message for message in messages(page) if not is_said(message)] == []


def test_a_message_that_nobody_says_is_noticed():
    assert not is_said("The token has eaten the log. …")
    assert is_said("The token has not answered for 10 seconds. …")
