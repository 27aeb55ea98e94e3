"""Slips of copy and paste: each is refused by the variable's name, whatever the value, and a good value is taken."""

import base64
import string
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.stack import keys
from lib.core.env_vars import DEFAULTS, NEEDED, OF_VERCEL, OPTIONAL, WHERE
from lib.core.setting_checks import MIN_SECRET_LENGTH, secret
from lib.core.settings import load
from lib.errors.exceptions import BadConfiguration
from tests.security.functions import SETTINGS
from tests.support.settings import COMPLETE

WORDS = st.text(string.ascii_letters + string.digits + "-_", min_size=20, max_size=60).filter(
    lambda word: word[0].islower() and "xxxxxx" not in word.lower() and "your" not in word.lower()
)
DIGITS = st.integers(10**15, 10**17).map(str)
DOMAINS = st.builds(
    "zq{}.{}".format, st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True), st.sampled_from(["com", "app"])
)
URLS = DOMAINS.map("https://shop.{}".format)

GOOD: dict[str, st.SearchStrategy[str]] = {
    "INSTAGRAM_APP_SECRET": st.text("0123456789abcdef", min_size=31, max_size=31).map("a{}".format),
    "INSTAGRAM_VERIFY_TOKEN": WORDS,
    "INTERNAL_API_SECRET": WORDS,
    "CRON_SECRET": WORDS,
    "QSTASH_TOKEN": st.binary(min_size=30, max_size=60).map(lambda raw: f"ey{base64.b64encode(raw).decode()}"),
    "QSTASH_CURRENT_SIGNING_KEY": WORDS.map("sig_{}".format),
    "QSTASH_NEXT_SIGNING_KEY": WORDS.map("sig_{}".format),
    "SUPABASE_SERVICE_ROLE_KEY": WORDS.map("sb_secret_{}".format),
    "INSTAGRAM_ACCESS_TOKEN": WORDS.map("IGAA{}".format),
    "VERCEL_AUTOMATION_BYPASS_SECRET": WORDS,
    "TOKEN_ENCRYPTION_KEY": st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode()),
    "INSTAGRAM_ACCOUNT_ID": DIGITS,
    "META_APP_ID": DIGITS,
    "SUPABASE_URL": st.text(string.ascii_lowercase, min_size=20, max_size=20).map("https://{}.supabase.co".format),
    "PUBLIC_URL": URLS,
    "QSTASH_URL": st.sampled_from(["https://qstash.upstash.io", "https://qstash-us-east-1.upstash.io"]),
    "GRAPH_INSTAGRAM_URL": URLS,
    "GRAPH_FACEBOOK_URL": URLS,
    "PHASE3_URL": URLS.map("{}/hook?key=1".format),
    "PRODUCTION_DOMAIN": DOMAINS,
    **{name: st.just(default) for name, default in DEFAULTS.items() if not name.endswith("_URL")},
}

Slip = Callable[[str], str]


def inside(value: str, slip: str) -> str:
    return value[:1] + slip + value[1:]


INVISIBLE = {
    "zero width space": "\u200b", "zero width joiner": "\u200d", "word joiner": "\u2060", "byte order mark": "\ufeff",
    "no-break space": "\u00a0", "narrow no-break space": "\u202f", "soft hyphen": "\u00ad", "nul": "\x00",
    "escape": "\x1b", "delete": "\x7f", "next line": "\x85", "line separator": "\u2028", "right to left": "\u202e",
    "vertical tab": "\x0b", "ideographic space": "\u3000",
}  # fmt: skip
SLIPS: dict[str, Slip] = {
    "written line break": lambda value: value + r"\n",
    "written line break of Windows": lambda value: value + r"\r\n",
    "written line break twice escaped": lambda value: value + r"\\n",
    "written line break in front": lambda value: r"\n" + value,
    "written line break inside": lambda value: inside(value, r"\n"),
    "double quotes": '"{}"'.format,
    "single quotes": "'{}'".format,
    "backticks": "`{}`".format,
    "typographic quotes": "\u201c{}\u201d".format,
    "one quote at the end": '{}"'.format,
    "a quote inside": lambda value: inside(value, '"'),
    "quotes and a written line break": r'"{}\n"'.format,
    "bearer": "Bearer {}".format,
    "small bearer": "bearer {}".format,
    "whole header": "Authorization: Bearer {}".format,
    "blank inside": lambda value: inside(value, " "),
    "tab inside": lambda value: inside(value, "\t"),
    "line break inside": lambda value: inside(value, "\n"),
    "two lines": "{0}\n{0}".format,
    "json": '{{"value": "{}"}}'.format,
    "angle brackets": "<{}>".format,
    **{f"{name} inside": partial(inside, slip=slip) for name, slip in INVISIBLE.items()},
    **{f"{name} behind": partial("{1}{0}".format, slip) for name, slip in INVISIBLE.items()},
    **{f"{name} in front": partial("{0}{1}".format, slip) for name, slip in INVISIBLE.items()},
}
OF_SECRETS = [
    name for name in GOOD if any(word in name for word in ("SECRET", "TOKEN", "KEY")) and name not in DEFAULTS
]


def complaint(**changes: str) -> str:
    """What `load` says of a complete environment with `changes`; nothing where it has no complaint."""
    try:
        load({**COMPLETE, **changes})
    except BadConfiguration as error:
        others = set(error.names) - set(changes)
        return f"also {others}" if others else str(error)
    return ""


def test_every_variable_has_a_good_value_here() -> None:
    assert set(GOOD) == {*NEEDED, *OPTIONAL}


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_is_taken_with_blanks_around_it_too(name: str, data: Any) -> None:
    value = data.draw(GOOD[name])
    blanks = st.sampled_from(["", " ", "\n", "\r\n", "\t "])
    assert complaint(**{name: data.draw(blanks) + value + data.draw(blanks)}) == ""


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_with_any_slip_is_refused_by_name_and_never_shown(name: str, data: Any) -> None:
    value = data.draw(GOOD[name])
    slip = data.draw(st.sampled_from(sorted(SLIPS)))
    said = complaint(**{name: SLIPS[slip](value)})
    assert said.startswith(f"{name} "), slip
    assert value in ("on", *DEFAULTS.values()) or value not in said, slip
    assert said.endswith(WHERE[name]) if name in WHERE else said.endswith(".")


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", [name for name in GOOD if name not in DEFAULTS])
def test_a_line_of_a_file_is_refused_as_a_line(name: str, data: Any) -> None:
    value, form = data.draw(GOOD[name]), data.draw(st.sampled_from(["{}={}", "export {}={}", "{} = {}", "{}: {}"]))
    other = data.draw(st.sampled_from([name, "NEXT_PUBLIC_SUPABASE_KEY", "QSTASH_TOKEN"]))
    said = complaint(**{name: form.format(other, value)})
    assert said.startswith(f"{name} ")
    assert value not in said


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        (r"\n", "written out"), ('"', "quotes"), ("\u200b", "zero-width"), ("\ufeff", "byte order mark"),
        ("\u00a0", "non-breaking blank"), ("\u00ad", "soft hyphen"), ("\x07", "control character"), (" ", "blank"),
        ("\n", "line break"), ("\u2026", "cut off"), ("****", "stars"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", OF_SECRETS)
def test_the_complaint_says_which_slip_it_is(name: str, slip: str, says: str) -> None:
    said = complaint(**{name: f"a-long-and{slip}good-value-of-someone"})
    assert said.startswith(f"{name} has " if slip not in ("\u2026", "****") else f"{name} is ")
    assert says in said


@pytest.mark.parametrize(
    "value",
    [
        "<your key>", "your-secret-here", "YOUR_TOKEN", "changeme", "change-me", "replace_me", "placeholder",
        "xxxxxxxx", "sb_secret_xxxxxxxxxxxx", "todo", "null", "undefined", "None", "$CRON_SECRET", "${CRON_SECRET}",
        "$(openssl rand -hex 32)", "{{ secret }}", "CRON_SECRET", "SUPABASE_URL", "sb_secret_\u2026", "ey...",
        "\u2022\u2022\u2022\u2022\u2022\u2022", "sb_secret_abc\u00b7\u00b7\u00b7\u00b7", "https://example.com/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", OF_SECRETS)
def test_what_stands_in_the_place_of_a_value_is_refused(name: str, value: str) -> None:
    assert complaint(**{name: value}).startswith(f"{name} ")


@pytest.mark.parametrize("name", ["INTERNAL_API_SECRET", "CRON_SECRET"])
def test_a_secret_of_our_own_is_long_enough_not_to_be_guessed(name: str) -> None:
    assert "shorter than 16 characters" in complaint(**{name: "a1" * 7 + "b"})
    assert "shorter than 16 characters" in complaint(**{name: "a1" * 7 + "b \n"})
    assert complaint(**{name: "a1" * (MIN_SECRET_LENGTH // 2)}) == ""


@pytest.mark.parametrize("first", OF_SECRETS)
@pytest.mark.parametrize("second", OF_SECRETS)
def test_one_value_is_no_two_secrets(first: str, second: str) -> None:
    value = keys.TOKEN_KEY
    said = complaint(**{first: value, second: value})
    if first == second or {first, second} == {"INSTAGRAM_APP_SECRET", "INSTAGRAM_VERIFY_TOKEN"}:
        assert said == ""
    else:
        assert "each secret needs a value of its own" in said
        assert first in said
        assert second in said
        assert value not in said


def test_a_rotation_has_two_values() -> None:
    assert "twice in it" in complaint(INSTAGRAM_APP_SECRET="app-secret, app-secret")
    assert complaint(INSTAGRAM_APP_SECRET="new-secret, old-secret") == ""
    assert "quotes" in complaint(INSTAGRAM_APP_SECRET='"new-secret","old-secret"')
    assert "INSTAGRAM_APP_SECRET is a number" in complaint(INSTAGRAM_APP_SECRET="1234567890123456")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("https://shop.example.com", "a scheme"), ("http://shop.example.com", "a scheme"),
        ("//shop.example.com", "a scheme"), ("HTTPS://shop.example.com", "a scheme"),
        ("https:/shop.example.com", "a scheme"), ("shop.example.com/", "a path"), ("shop.example.com/api", "a path"),
        ("shop.example.com?x=1", "a path"), ("shop.example.com#x", "a path"), ("shop.example.com:443", "a port"),
        ("shop.example.com:3000/", "a port and a path"), ("me@shop.example.com", "a user"),
        ("me:word@shop.example.com", "a user"), ("Shop.example.com", "capitals"), ("SHOP.EXAMPLE.COM", "capitals"),
        ("https://Me@Shop.example.com:1/x", "a scheme and a user and a port and a path and capitals"),
        ("shop", "the domain alone"), ("localhost", "the domain alone"), ("127.0.0.1", "the domain alone"),
        ("shop.example.com.", "the domain alone"), (".example.com", "the domain alone"),
        ("*.example.com", "the domain alone"), ("shop..example.com", "the domain alone"),
        ("-shop.example.com", "the domain alone"), ("shop_1.example.com", "the domain alone"),
        ("a.example.com,b.example.com", "the domain alone"), ("YOUR-DOMAIN", "placeholder"),
        ("m\u00fcnchen.example", "the domain alone"), (f"{'a' * 64}.example.com", "the domain alone"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("env", [{}, {"VERCEL_ENV": "production"}, {"PUBLIC_URL": "https://x.example"}])
def test_the_production_domain_is_a_domain_alone(env: dict[str, str], value: str, says: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load({**COMPLETE, **env, "PRODUCTION_DOMAIN": value})
    assert caught.value.names == ("PRODUCTION_DOMAIN",)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", ["shop.example.com", "a-b.vercel.app", "xn--mnchen-3ya.example", "1.example.co.uk"])
def test_any_domain_is_taken(value: str) -> None:
    assert load({**COMPLETE, "VERCEL_ENV": "production", "PRODUCTION_DOMAIN": value}).base_url == f"https://{value}"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("https://ref.supabase.co/rest/v1", "has a path"), ("https://ref.supabase.co/rest/v1/", "has a path"),
        ("https://ref.supabase.co/auth/v1", "has a path"), ("https://db.example.com/supabase", "has a path"),
        ("https://supabase.com/dashboard/project/abc", "the dashboard's address"),
        ("https://www.supabase.com/dashboard", "the dashboard's address"),
        ("https://app.supabase.com/project/abc", "the dashboard's address"),
        ("supabase.com/dashboard/project/abc", "begins with https://"),
        ("https://ref.supabase.com", "the dashboard's address"), ("https://supabase.co", "the dashboard's address"),
        ("https://db.ref.supabase.co", "address of the database"),
        ("https://db.ref.supabase.co:5432/postgres", "address of the database"),
        ("postgres://postgres:s3cr3t@db.ref.supabase.co:5432/postgres", "address of the database"),
        ("postgresql://postgres.ref:s3cr3t@aws-0-eu.pooler.supabase.com:6543/postgres", "address of the database"),
        ("https://aws-0-eu-west-1.pooler.supabase.com", "the database's pooler"),
        ("https://ref.supabase.co:5432", "the port of the database"),
        ("https://ref.storage.supabase.co", "one service of the project"),
        ("https://me:s3cr3t@ref.supabase.co", "without a user"), ("https://REF.supabase.co", "placeholder"),
        ("https://\u2026.supabase.co", "cut off"), ("https://your-project.supabase.co", "placeholder"),
    ],
)  # fmt: skip
def test_the_address_of_supabase_is_the_projects_own(value: str, says: str) -> None:
    said = complaint(SUPABASE_URL=value)
    assert said.startswith("SUPABASE_URL ")
    assert says in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize("value", ["https://ref.supabase.co/", "https://data.example.com", "http://127.0.0.1:54321"])
def test_any_address_of_a_project_is_taken(value: str) -> None:
    assert load({**COMPLETE, "SUPABASE_URL": value}).supabase_url == value.rstrip("/")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("QSTASH_URL", "https://qstash.upstash.io/v2", "without /v2"),
        ("QSTASH_URL", "https://qstash.upstash.io/v2/publish/", "without /v2"),
        ("QSTASH_URL", "https://console.upstash.com/qstash", "another address of Upstash's"),
        ("QSTASH_URL", "https://eager-fish-12345.upstash.io", "another address of Upstash's"),
        ("PUBLIC_URL", "https://shop.example.com/api/webhooks/instagram", "without /api"),
        ("PUBLIC_URL", "https://me:word@shop.example.com", "without a user"),
        ("PUBLIC_URL", "https://NAME.ngrok-free.app", "placeholder"),
        ("GRAPH_INSTAGRAM_URL", "https://graph.instagram.com/v26.0", "GRAPH_API_VERSION"),
        ("PHASE3_URL", "https://shop.example.com/it's'", "quotes"),
        ("INSTAGRAM_ACCOUNT_ID", "@shop", "and not its name"),
        ("INSTAGRAM_ACCOUNT_ID", "17841400000000000.0", "the number that Meta gave"),
        ("META_APP_ID", "\u0661\u0662\u0663", "the number that Meta gave"),
        ("QSTASH_TOKEN", "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r", "is a signing key"),
        ("SUPABASE_SERVICE_ROLE_KEY", "sbp_0102030405060708090a", "personal access token"),
    ],
)  # fmt: skip
def test_a_value_of_another_field_of_the_same_page_is_refused(name: str, value: str, says: str) -> None:
    said = complaint(**{name: value})
    assert said.startswith(f"{name} ")
    assert says in said


@pytest.mark.parametrize("value", ["https://r.example/it's?a='b'&c=1", "https://r.example:8443/a%20b"])
def test_a_receiver_may_have_any_url(value: str) -> None:
    assert load({**COMPLETE, "PHASE3_URL": value}).next_phase_url == value


@pytest.mark.parametrize(
    "value",
    ['"30"', "'30'", "30d", "30 days", "30s", "30 s", "3_0", "1,000", "1.000", "30.0", "+30", "-30", "1e3", "0x1e",
     "\u0663\u0660", "\uff13\uff10", "thirty", "30%", r"30\n", "= 30", "0", str(10**12)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["RAW_RETENTION_DAYS", "SENDS_PER_SECOND", "PROFILE_MAX_AGE_S"])
def test_a_number_is_digits_alone(name: str, value: str) -> None:
    said = complaint(**{name: value})
    assert said.startswith(f"{name} ")
    assert "in digits alone" in said


def test_the_settings_of_the_laptop_and_of_the_tests_have_no_slip() -> None:
    load(SETTINGS)
    load({**COMPLETE, "TOKEN_ENCRYPTION_KEY": keys.TOKEN_KEY, "CRON_SECRET": keys.CRON_SECRET})
    load({**SETTINGS, "SUPABASE_SERVICE_ROLE_KEY": keys.supabase_jwt("service_role")})


@pytest.mark.parametrize("name", OF_VERCEL)
def test_what_vercel_sets_is_taken_as_it_is(name: str) -> None:
    values = {"VERCEL_ENV": "production"}
    assert complaint(**{name: values.get(name, "shop-git-main-my-team.vercel.app")}) == ""


@given(WORDS, st.sampled_from(sorted(SLIPS)))
def test_a_token_that_a_command_asks_for_is_checked_likewise(value: str, slip: str) -> None:
    assert secret(value) is None
    said = secret(SLIPS[slip](value))
    assert said
    assert value not in said
