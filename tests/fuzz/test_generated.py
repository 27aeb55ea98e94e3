"""Requests made from docs/openapi.yaml, right ones and wrong ones, from everybody: no answer that it does not name."""

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dev import openapi
from dev.stack import keys
from lib.ingest.forwarder import BUDGET_HEADER
from tests.fuzz.callers import DELETION, FORMS, STATUS, WHO, Who, is_kept_out, shown
from tests.fuzz.effort import thorough
from tests.fuzz.rig import Rig
from tests.support.world import CONSUMER, FAILURE, INGEST, WEBHOOK

CONFORMS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DESCRIBED = schemathesis.openapi.from_path(openapi.FILE)
OPERATIONS = [DESCRIBED[path][method] for path in DESCRIBED for method in DESCRIBED[path]]
SIGNATURES = ("x-hub-signature-256", "upstash-signature")
TAKES_WHATEVER_IS_DESCRIBED = ((WEBHOOK, "post"), (INGEST, "post"), (CONSUMER, "post"))

LEAVES_NOTHING = ((WEBHOOK, "get"), (STATUS, "get"), *((path, "post") for path in FORMS))
"""A form that is made from its description is not signed."""

ALGORITHMS = st.sampled_from(["HMAC-SHA256", "hmac-sha256", "none", ""])
PAYLOADS = st.fixed_dictionaries(
    {"algorithm": ALGORITHMS | st.just("HMAC-SHA256"), "user_id": st.text(max_size=20) | st.integers() | st.just("17")},
    optional={
        "issued_at": st.integers(0, 4_102_444_800) | st.integers() | st.floats() | st.none(),
        "expires": st.none(),
    },
)


def sent(rig: Rig, case: Any, who: Who) -> httpx.Response:
    """The answer to `case` from `who`."""
    made = case.as_transport_kwargs(base_url=rig.url)
    path, headers, params = case.path, dict(made["headers"]), made["params"]
    body = made.get("data", b"")
    if "json" in made:
        body = json.dumps(_as_written(made["json"])).encode()
    elif isinstance(body, dict):
        body = urlencode(body, doseq=True).encode()
    for name in [name for name in headers if name.lower() in ("authorization", *SIGNATURES)]:
        del headers[name]
    if headers.get(BUDGET_HEADER, "").isdigit():
        # Who gives us no time gets the 503 of who has to send it again.
        headers[BUDGET_HEADER] = f"9{headers[BUDGET_HEADER].zfill(4)}"
    if isinstance(params, dict) and "hub.verify_token" in params:
        # The description shows the right one as its example.
        wrong = str(params["hub.verify_token"]).replace(keys.VERIFY_TOKEN, "the-token-of-nobody")
        params = {**params, "hub.verify_token": keys.VERIFY_TOKEN if who == "right" else wrong}
    headers |= shown(who, url=rig.url, path=path, body=body)
    return rig.send(made["method"], path, params=params, headers=headers, content=body)


def _as_written(value: Any) -> Any:
    """`value` with whole numbers written as such: to JSON Schema 1.0 is an integer, to us and Meta it is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _as_written(one) for name, one in value.items()}
    return [_as_written(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_has_an_answer_that_is_not_described(rig: Rig, operation: Any, who: Who) -> None:
    path, method = operation.path, operation.method
    before = rig.footprint()

    @thorough
    @given(st.sampled_from(GenerationMode).flatmap(lambda mode: operation.as_strategy(generation_mode=mode)))
    def check(case: Any) -> None:
        answer = sent(rig, case, who)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CONFORMS)
        if (path, method) == (WEBHOOK, "get"):
            assert answer.status_code in ((200, 400) if who == "right" else (400, 403))
        elif is_kept_out(who, path):
            assert answer.status_code == 401
        elif case.meta.generation.mode.is_positive and (path, method) in TAKES_WHATEVER_IS_DESCRIBED:
            assert answer.status_code == 200, answer.text

    check()
    after = rig.footprint()
    if is_kept_out(who, path) or (path, method) in LEAVES_NOTHING:
        assert after == before
    if path != FAILURE:
        assert rig.world.rows("select * from dead_letters") == [], "it was accepted, and could not take effect"


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("who", WHO)
def test_what_meta_signs_about_a_person_is_done_or_refused(rig: Rig, path: str, who: Who) -> None:
    @thorough
    @given(PAYLOADS)
    def check(payload: dict[str, Any]) -> None:
        before = rig.footprint()
        answer = rig.post(path, json.dumps(payload).encode(), who)
        assert answer.status_code in ((200, 400) if who == "right" else (400, 401))
        if answer.status_code != 200:
            assert rig.footprint() == before
        elif path == DELETION:
            code = answer.json()["confirmation_code"]
            state = rig.send("GET", STATUS, params={"code": code}, headers={"Accept": "application/json"})
            assert (state.status_code, state.json()["state"]) == (200, "done")

    check()
