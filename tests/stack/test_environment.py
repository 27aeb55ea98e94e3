"""Settings of the laptop: what wins over what."""

from pathlib import Path

import pytest

from dev.stack import StackError, keys
from dev.stack.environment import (
    functions_environment,
    graph_settings,
    qstash_settings,
    read_env_file,
    supabase_settings,
)

LOCAL = "http://127.0.0.1:1"


def environment(user: dict[str, str]) -> dict[str, str]:
    return functions_environment(
        user,
        functions_url="http://127.0.0.1:3000",
        qstash=qstash_settings(user, LOCAL),
        supabase=supabase_settings(user, LOCAL),
        graph=graph_settings(user, LOCAL),
    )


def test_an_env_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nexport A=1\nB = 'two words' \nC=\"x\"\nD=a#b=c # why\nE=\n")
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "x", "D": "a#b=c", "E": ""}
    assert read_env_file(tmp_path / "none") == {}


def test_a_line_that_is_no_setting_is_named_without_its_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nsome secret\n")
    with pytest.raises(StackError, match=r"\.env, line 2: expected NAME=VALUE\.$"):
        read_env_file(tmp_path / ".env")


def test_the_users_settings_win_and_blank_ones_do_not() -> None:
    env = environment({"INSTAGRAM_APP_SECRET": "mine", "INSTAGRAM_VERIFY_TOKEN": "", "PUBLIC_URL": "https://x.ngrok"})
    assert env["INSTAGRAM_APP_SECRET"] == "mine"
    assert env["INSTAGRAM_VERIFY_TOKEN"] == keys.VERIFY_TOKEN
    assert env["PUBLIC_URL"] == "https://x.ngrok"


def test_a_token_alone_does_not_take_the_laptop_to_the_real_service() -> None:
    env = environment({"QSTASH_TOKEN": "real", "INSTAGRAM_ACCESS_TOKEN": "IGreal"})
    assert (env["QSTASH_URL"], env["QSTASH_TOKEN"]) == (LOCAL, keys.QSTASH_TOKEN)
    assert (env["GRAPH_INSTAGRAM_URL"], env["INSTAGRAM_ACCESS_TOKEN"]) == (LOCAL, keys.ACCESS_TOKEN)


def test_a_url_does() -> None:
    user = {
        "QSTASH_URL": "https://qstash.example",
        "QSTASH_TOKEN": "real",
        "GRAPH_INSTAGRAM_URL": "https://graph.example",
        "INSTAGRAM_ACCESS_TOKEN": "IGreal",
    }
    env = environment(user)
    assert user.items() <= env.items()
    assert "QSTASH_CURRENT_SIGNING_KEY" not in env
    assert "GRAPH_FACEBOOK_URL" not in env


def test_the_local_keys_are_the_same_every_time() -> None:
    assert keys.supabase_jwt("service_role") == keys.supabase_jwt("service_role")
    assert keys.supabase_jwt("service_role") != keys.supabase_jwt("anon")
