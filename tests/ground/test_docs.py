"""What people are told to type: every command, variable and link of the README and docs/ is there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from dev.cli import cli
from lib.variables import NEEDED, OF_VERCEL, OPTIONAL

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

OTHERS = {
    "DEV_DATA_DIR": "of the laptop (dev/stack/options.py)",
    "DEV_PORT_BASE": "of the laptop (dev/stack/options.py)",
    "FUZZ_EXAMPLES": "of the Makefile",
    "KILL_EVERYWHERE": "of the Makefile",
    "MEDIA_SHARE": "Meta's, a kind of attachment",
    "SUPABASE_ANON_KEY": "the doctor's alone (dev/doctor/case.py)",
    "UV_PYTHON": "of uv",
    "VERCEL_PYTHON_COMPILEALL": "of Vercel's builder (dev/vercel_build.py)",
}
"""Words in capitals that are no variable of the functions."""

COMMAND = re.compile(r"python -m dev +((?:(?! #)[^`|<>&;)\n])+)")
VARIABLE = re.compile(r"(?<![\w*])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def wrong_in(command: str) -> str:
    """What the command line does not know of `command`, the words after `python -m dev`; "" where it knows it all."""
    found: click.Command = cli
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
    commands = [text for text in COMMAND.findall(page.read_text(encoding="utf-8")) if re.match("[a-z-]", text)]
    assert {text: wrong for text in commands if (wrong := wrong_in(text))} == {}


@BY_PAGE
def test_every_variable_that_is_named_is_one_that_is_read(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text(encoding="utf-8")))
    assert named - {*NEEDED, *OPTIONAL, *OF_VERCEL, *OTHERS} == set()


@BY_PAGE
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    within = [link for link in links if not re.match("[a-z]+:", link)]
    assert [link for link in within if goes_nowhere(page, link)] == []


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("accounts add --flavour facebook", ""),
        ("accounts remove", "remove"),
        ("doctor --link https://example.com", "--link"),
        ("dead-letters replay ID --all", ""),
        ("teleport", "teleport"),
    ],
)
def test_a_command_that_does_not_exist_would_be_found(command: str, wrong: str) -> None:
    assert wrong_in(command) == wrong


def test_the_guide_names_commands_variables_and_links_to_check() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert len(COMMAND.findall(text)) > 10
    assert set(NEEDED) <= set(VARIABLE.findall(text))
    assert len(LINK.findall(text)) > 20
