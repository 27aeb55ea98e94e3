"""The functions server, over HTTP, against what Vercel's Python runtime was seen to do."""

import asyncio
import time

import httpx
import pytest

from dev.functions import BODY_LIMIT_BYTES
from dev.stack import Stack


@pytest.fixture
def functions(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.functions_url, timeout=10, trust_env=False)


def test_a_file_with_a_hyphen_answers_at_its_own_path(functions: httpx.Client) -> None:
    with functions as client:
        answer = client.post("/api/say/hello-world?name=x", content=b"12345")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/api/say/hello-world"
    assert answer.json()["query"] == "name=x"
    assert answer.json()["bytes"] == 5
    assert answer.json()["greeting"] == "hello"


def test_a_module_is_imported_once_and_keeps_its_state(functions: httpx.Client) -> None:
    with functions as client:
        first = client.get("/api/say/hello-world").json()["calls"]
        assert client.get("/api/say/hello-world").json()["calls"] == first + 1


@pytest.mark.parametrize("path", ["/", "/api", "/api/nothing", "/api/_shared", "/api/say/hello-world/x"])
def test_an_unknown_path_is_404(functions: httpx.Client, path: str) -> None:
    with functions as client:
        answer = client.get(path)
    assert answer.status_code == 404
    assert "NOT_FOUND" in answer.text


def test_an_unhandled_exception_is_a_plain_500_and_its_traceback_is_logged(
    functions: httpx.Client, stack: Stack
) -> None:
    with functions as client:
        answer = client.get("/api/broken")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "RuntimeError: told to fail" in stack.log_path("functions").read_text()


@pytest.mark.parametrize("name", ["unimportable", "no_app"])
def test_a_function_that_can_not_be_loaded_fails_alone(functions: httpx.Client, name: str) -> None:
    with functions as client:
        answer = client.get(f"/api/{name}")
        assert answer.status_code == 500
        assert answer.headers["x-vercel-error"] == "FUNCTION_INVOCATION_FAILED"
        assert client.get("/api/say/hello-world").status_code == 200


def test_a_body_of_the_limit_passes_and_one_byte_more_is_413(functions: httpx.Client) -> None:
    with functions as client:
        assert client.post("/api/say/hello-world", content=b"x" * BODY_LIMIT_BYTES).status_code == 200
        answer = client.post("/api/say/hello-world", content=b"x" * (BODY_LIMIT_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["x-vercel-error"] == "FUNCTION_PAYLOAD_TOO_LARGE"


def test_a_body_without_a_length_is_counted_too(functions: httpx.Client) -> None:
    with functions as client:
        answer = client.post("/api/say/hello-world", content=iter([b"x" * 1_000_000] * 5))
    assert answer.status_code == 413


def test_a_function_over_its_max_duration_is_cut_off_with_504(functions: httpx.Client) -> None:
    began = time.monotonic()
    with functions as client:
        answer = client.get("/api/slow")
    assert answer.status_code == 504
    assert answer.headers["x-vercel-error"] == "FUNCTION_INVOCATION_TIMEOUT"
    assert 0.9 < time.monotonic() - began < 4


def test_requests_of_one_instance_run_concurrently(stack: Stack) -> None:
    async def three() -> list[int]:
        async with httpx.AsyncClient(base_url=stack.functions_url, trust_env=False) as client:
            answers = await asyncio.gather(*(client.get("/api/slow") for _ in range(3)))
            return [answer.status_code for answer in answers]

    began = time.monotonic()
    assert asyncio.run(three()) == [504, 504, 504]
    assert time.monotonic() - began < 2.5


def test_an_answer_that_breaks_off_is_not_completed(functions: httpx.Client) -> None:
    with functions as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/api/half")
