"""What the README and docs/ name exists: commands, make targets, variables, links, files, routes, places of a rule."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from cli.main import cli as deployment_cli
from dev.cli import cli as laptop_cli
from dev.functions import find_public_paths
from lib.core.env_vars import NEEDED, OF_VERCEL, OPTIONAL

ROOT = Path(__file__).resolve().parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

OTHERS = {
    "DEV_DATA_DIR": "of the laptop (dev/stack/options.py)",
    "DEV_PORT_BASE": "of the laptop (dev/stack/options.py)",
    "FUZZ_EXAMPLES": "of the Makefile",
    "CRASH_EVERYWHERE": "of the Makefile",
    "MEDIA_SHARE": "Meta's, a kind of attachment",
    "SUPABASE_ANON_KEY": "the doctor's alone (cli/doctor/case.py)",
    "UV_PYTHON": "of uv",
    "VERCEL_PYTHON_COMPILEALL": "of Vercel's builder (dev/vercel_build.py)",
}
"""Words in capitals that are no variable of the functions."""

COMMAND = re.compile(r"python -m (dev|cli) +((?:(?! #)[^`|<>&;)\n])+)")
VARIABLE = re.compile(r"(?<![\w*])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
TARGET = re.compile(r"(?:`|\$ |&& |\d )make ([a-z][a-z-]*)")
SPAN = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:\.ci|api|bench|cli|dev|docs|lib|supabase|tests)/[\w./*-]*")
ROUTE = re.compile(r"(?<!\w)/api/[a-z]+(?:[/-][a-z]+)*(?![\w/$*…-])")
SQL_FILE = re.compile(r"…(_\w+\.sql)")
PLACE = re.compile(r"`([\w./…-]+)(?:: ([\w.]+))?`")

PRIVATE_WORDS = re.compile(r"\b(roads?|moods?|retold|reread|whoever|kill-test)\b", re.IGNORECASE)
"""Say path, fault, redelivered, reparse, the noun, crash test."""

RULES_DECIDED = 30
"""The table "Where is it decided?" has at least so many rows."""


def wrong_in(package: str, command: str) -> str:
    """Returns the first word of `command` that `python -m package` does not know, or "" if it knows all."""
    found: click.Command = {"dev": laptop_cli, "cli": deployment_cli}[package]
    for word in shlex.split(command):
        name = word.partition("=")[0]
        if name.startswith("-"):
            if name not in {"-h", "--help"}.union(*(parameter.opts for parameter in found.params)):
                return name
        elif isinstance(found, click.Group):
            named = found.get_command(click.Context(found), name)
            if named is None:
                return name
            found = named
    return ""


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them: of a title that comes twice the second has `-1`."""
    names: set[str] = set()
    for title in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        repeated = (f"{slug}-{number}" for number in range(1, 100))
        names.add(slug if slug not in names else next(name for name in repeated if name not in names))
    return names


def goes_nowhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and target.suffix == ".md" and anchor not in anchors(target))


@BY_PAGE
def test_every_command_that_is_named_exists_with_its_options(page: Path) -> None:
    commands = [found for found in COMMAND.findall(page.read_text(encoding="utf-8")) if re.match("[a-z-]", found[1])]
    assert {text: wrong for package, text in commands if (wrong := wrong_in(package, text))} == {}


@BY_PAGE
def test_every_variable_that_is_named_is_one_that_is_read(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text(encoding="utf-8")))
    assert named - {*NEEDED, *OPTIONAL, *OF_VERCEL, *OTHERS} == set()


@BY_PAGE
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    within = [link for link in links if not re.match("[a-z]+:", link)]
    assert [link for link in within if goes_nowhere(page, link)] == []


@BY_PAGE
def test_the_words_are_those_of_the_house(page: Path) -> None:
    """CONTRIBUTING.md, "Use plain words": one word for a thing, and the one that the field uses."""
    assert set(PRIVATE_WORDS.findall(page.read_text(encoding="utf-8"))) == set()


@BY_PAGE
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(TARGET.findall(page.read_text(encoding="utf-8"))) - targets == set()


@BY_PAGE
def test_every_file_that_is_named_exists(page: Path) -> None:
    spans = SPAN.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    files = [found.group() for span in spans if (found := FILE.match(span))]
    assert [file for file in files if not any(ROOT.glob(file.rstrip("/")))] == []
    tests = [span for span in spans if re.fullmatch(r"[a-z]+/test_\w+", span)]
    assert [test for test in tests if not (ROOT / "tests" / f"{test}.py").is_file()] == []
    suffixes = {suffix for span in spans for suffix in SQL_FILE.findall(span)}
    assert [suffix for suffix in suffixes if len(sql_files(suffix)) != 1] == []


@BY_PAGE
def test_every_route_that_is_named_is_a_public_path(page: Path) -> None:
    functions = {public.function.path for public in find_public_paths(ROOT).values()}
    named = set(ROUTE.findall(page.read_text(encoding="utf-8")))
    assert named - set(find_public_paths(ROOT)) - functions == set()


def sql_files(suffix: str) -> list[Path]:
    """Returns the migrations whose name ends with `suffix`."""
    return list((ROOT / "supabase" / "migrations").glob(f"*{suffix}"))


def names_in(code: str) -> set[str]:
    """Returns the names that a module defines at its top level, and `Class.method` for each method."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name"))
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def is_there(file: str, name: str) -> bool:
    """Returns whether `file` exists and defines `name`. A name that begins with … is the end of a migration's name."""
    if file.startswith("…"):
        code = "".join(path.read_text(encoding="utf-8") for path in sql_files(file.removeprefix("…")))
        return re.search(rf"create (or replace )?function (public|ingestion)\.{re.escape(name)}\b", code) is not None
    path = ROOT / file
    return path.is_file() and (not name or name in names_in(path.read_text(encoding="utf-8")))


def test_every_rule_is_decided_where_the_architecture_says() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Where is it decided?")[2].partition("\n## ")[0]
    rules = re.findall(r"^\| (?!rule|---)(.+) \| (.+) \|$", table.replace("|---|---|", ""), re.MULTILINE)
    assert len(rules) >= RULES_DECIDED
    places = {rule: PLACE.findall(where) for rule, where in rules}
    assert [rule for rule, named in places.items() if not named] == []
    assert [(rule, place) for rule, named in places.items() for place in named if not is_there(*place)] == []


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lib/errors/classify.py", "judge"),
        ("lib/errors.py", "classify"),
        ("lib/processing/processor.py", "Processor.proceed"),
        ("…_record_event.sql", "record_nothing"),
        ("…_nothing.sql", "record_event"),
    ],
)
def test_a_place_that_does_not_exist_would_be_found(file: str, name: str) -> None:
    assert not is_there(file, name)


@pytest.mark.parametrize(
    ("package", "command", "wrong"),
    [
        ("cli", "accounts add --flavour facebook", ""),
        ("cli", "accounts remove", "remove"),
        ("cli", "doctor --link https://example.com", "--link"),
        ("cli", "dead-letters retry ID --all", ""),
        ("dev", "doctor", "doctor"),
        ("dev", "teleport", "teleport"),
    ],
)
def test_a_command_that_does_not_exist_would_be_found(package: str, command: str, wrong: str) -> None:
    assert wrong_in(package, command) == wrong


def test_the_guide_names_commands_variables_and_links_to_check() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert len(COMMAND.findall(text)) > 10
    assert set(NEEDED) <= set(VARIABLE.findall(text))
    assert len(LINK.findall(text)) > 20
