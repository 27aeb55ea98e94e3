"""Settings: what is missing names itself, what is wrong says how it should be, and no value is ever shown."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.container import Container
from lib.core.env_vars import DEFAULTS, NEEDED, OF_VERCEL, OPTIONAL, WHERE
from lib.core.settings import load, presence
from lib.errors.exceptions import BadConfiguration
from tests.support.settings import COMPLETE

ROOT = Path(__file__).resolve().parents[2]


def complaint(**changes: str) -> str:
    """What `load` says of a complete environment with `changes`; nothing where it has no complaint."""
    try:
        load({**COMPLETE, **changes})
    except BadConfiguration as error:
        return str(error)
    return ""


def base_url(**env: str) -> str:
    return load({**COMPLETE, **env}).base_url


def legacy_key(role: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"role": role}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.signature"


def test_the_needed_settings_are_enough() -> None:
    settings = load(COMPLETE)
    assert settings.instagram_app_secrets == ("app-secret",)
    assert settings.qstash_signing_keys == ("sig_current",)
    assert settings.qstash_url == "https://qstash.upstash.io"
    assert settings.next_phase_url == ""


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_missing_setting_names_itself_and_says_where_to_get_it(name: str, blank: str) -> None:
    said = complaint(**{name: blank})
    assert f"{name} is not set. {WHERE[name]}" in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadConfiguration) as caught:
        load({"LOG_LEVEL": "LOUD", "PROFILE_MAX_AGE_S": "soon"})
    assert set(caught.value.names) == {*NEEDED, "LOG_LEVEL", "PROFILE_MAX_AGE_S"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SUPABASE_URL", "ref.supabase.co", "begins with https://"),
        ("SUPABASE_URL", "https://", "begins with https://"),
        ("SUPABASE_URL", "https://ref.supabase.co?x=1", "without ? and #"),
        ("QSTASH_URL", "https://[", "begins with https://"),
        ("PUBLIC_URL", "ftp://example.com", "begins with https://"),
        ("PHASE3_URL", "https://exa mple.com", "begins with https://"),
        ("SUPABASE_URL", "http://ref.supabase.co", "http:// only for localhost"),
        ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_\u200bx", "not plain ASCII"),
        ("QSTASH_TOKEN", "ey\u2026", "not plain ASCII"),
        ("INTERNAL_API_SECRET", "two words", "has a blank in it"),
        ("QSTASH_URL", "http://10.0.0.7:8080", "http:// only for localhost"),
        ("GRAPH_INSTAGRAM_URL", "http://localhost@graph.example", "http:// only for localhost"),
        ("PHASE3_URL", "http://127.0.0.1.example.com/", "http:// only for localhost"),
        ("GRAPH_API_VERSION", "26", "must look like v26.0"),
        ("INSTAGRAM_LOGIN_FLAVOUR", "google", "one of instagram, facebook"),
        ("REPLIES_MODE", "maybe", "one of on, dry_run, off"),
        ("QSTASH_REDACT_BODY", "yes", "one of false, true"),
        ("SENDS_PER_SECOND", "0", "whole number of messages"),
        ("META_APP_ID", "my app", "the number that Meta gave"),
        ("PROFILE_MAX_AGE_S", "0", "whole number of seconds"),
        ("PROFILE_MAX_AGE_S", "-5", "whole number of seconds"),
        ("PROFILE_MAX_AGE_S", "9" * 5000, "whole number of seconds"),
        ("INSTAGRAM_APP_SECRET", "new,", "empty part"),
        ("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_abc", "is the public key"),
        ("SUPABASE_SERVICE_ROLE_KEY", legacy_key("anon"), "is the public key"),
    ],
)
def test_a_wrong_setting_says_how_it_should_be(name: str, value: str, expected: str) -> None:
    said = complaint(**{name: value})
    assert said.count(name) >= 1
    assert expected in said


@pytest.mark.parametrize("key", ["sb_secret_abc", legacy_key("service_role"), "a-proxy-of-ones-own"])
def test_either_kind_of_service_role_key_is_taken(key: str) -> None:
    assert load({**COMPLETE, "SUPABASE_SERVICE_ROLE_KEY": key}).supabase_service_role_key == key


@given(st.sampled_from([*NEEDED, *OPTIONAL, *OF_VERCEL]), st.text(min_size=1))
def test_whatever_a_setting_holds_it_is_read_or_explained_and_never_shown(name: str, value: str) -> None:
    said = complaint(**{name: f"{value}s3cr3t-value"})
    assert not said or name in said
    assert "s3cr3t-value" not in said


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "http://localhost:3000"),
        ({"PRODUCTION_DOMAIN": "example.com"}, "http://localhost:3000"),
        ({"VERCEL_ENV": "production", "PRODUCTION_DOMAIN": "example.com"}, "https://example.com"),
        ({"VERCEL_ENV": "production", "VERCEL_PROJECT_PRODUCTION_URL": "p.vercel.app"}, "https://p.vercel.app"),
        (
            {
                "VERCEL_ENV": "preview",
                "PRODUCTION_DOMAIN": "example.com",
                "VERCEL_PROJECT_PRODUCTION_URL": "p.vercel.app",
                "VERCEL_URL": "p-git-x.vercel.app",
            },
            "https://p-git-x.vercel.app",
        ),
        ({"VERCEL_ENV": "production", "PUBLIC_URL": "https://x.ngrok.app/"}, "https://x.ngrok.app"),
    ],
)
def test_the_base_url_is_the_nearest_address_the_outside_reaches_us_under(
    env: Mapping[str, str], expected: str
) -> None:
    assert base_url(**env) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3000",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://sb.localhost",
        "http://host.docker.internal:3000",
    ],
)
def test_without_encryption_a_setting_may_lead_to_this_machine(url: str) -> None:
    assert load({**COMPLETE, "SUPABASE_URL": url}).supabase_url == url


def test_settings_show_no_value_of_theirs_where_they_are_shown() -> None:
    settings = load({**COMPLETE, **{name: f"s3cr3t-{name}" for name in COMPLETE if name != "SUPABASE_URL"}})
    assert "s3cr3t" in settings.internal_api_secret
    assert "s3cr3t" not in f"{settings} {settings!r} {[settings]} {vars(Container(settings))}"


def test_a_receiver_may_have_a_query_in_its_url() -> None:
    assert (
        load({**COMPLETE, "PHASE3_URL": "https://r.example/hook?key=1"}).next_phase_url
        == "https://r.example/hook?key=1"
    )


def test_blanks_around_a_value_are_taken_off() -> None:
    assert load({**COMPLETE, "QSTASH_TOKEN": " token\n"}).qstash_token == "token"


def test_presence_shows_names_and_never_values() -> None:
    shown = presence({"QSTASH_TOKEN": "token", "SUPABASE_URL": " "})
    assert shown["QSTASH_TOKEN"] is True
    assert shown["SUPABASE_URL"] is False
    assert "token" not in json.dumps(shown).replace("QSTASH_TOKEN", "").replace("VERIFY_TOKEN", "")


def test_every_default_is_itself_well_formed_and_listed_as_optional() -> None:
    load({**COMPLETE, **DEFAULTS})
    assert set(DEFAULTS) <= set(OPTIONAL)
    assert not set(NEEDED) & set(OPTIONAL)
    assert set(WHERE) <= {*NEEDED, *OPTIONAL}


def test_the_settings_page_and_the_example_file_have_every_variable_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.*) \|$", page, re.MULTILINE))
    assert set(rows) == {*NEEDED, *OPTIONAL}
    example = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    for name in (*NEEDED, *OPTIONAL):
        expected = f"#{name}={DEFAULTS[name]}" if name in DEFAULTS else f"{name}="
        assert expected in example, name
        assert rows[name].startswith(f"`{DEFAULTS[name]}` | " if name in DEFAULTS else ""), name
