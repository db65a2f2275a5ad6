"""The published document is complete, and the app keeps to it whatever is sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from coordinator.web.app import create_app
from coordinator.web.openapi import OPERATIONS, document
from tests.web.standins import TOKEN, Running, running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route behind the front, in OpenAPI's spelling."""
    for rule in app._rest.url_map.iter_rules():
        path = rule.rule.replace("<", "{").replace(">", "}")
        yield from ((method.lower(), path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"})


async def test_every_route_is_documented(tmp_path: Path) -> None:
    """No route is missing from the document and none in it is missing from the app."""
    async with running(tmp_path) as app:
        documented = {(operation.method, operation.path) for operation in OPERATIONS}
        assert documented == {*routes_of(create_app(app.context)), ("post", "/webhook/gitea")}


def test_the_document_is_openapi() -> None:
    """The document is valid OpenAPI 3.1 and names every error a client may meet."""
    published = document("1.2.3")
    assert published["info"]["version"] == "1.2.3"
    schemathesis.openapi.from_dict(published).validate()
    for path, methods in published["paths"].items():
        for operation in methods.values():
            assert "503" in operation["responses"], path
            assert ("401" in operation["responses"]) == bool(operation["security"]) or "hook" in path


def operations() -> dict[str, Any]:
    """Every operation of the document, by its label."""
    found = [result.ok() for result in _PUBLISHED.get_all_operations() if isinstance(result, Ok)]
    return {operation.label: operation for operation in found}


_PUBLISHED = schemathesis.openapi.from_dict(document("0.1.0"))


@pytest.mark.parametrize("label", operations())
@pytest.mark.parametrize(
    ("mode", "has_token"),
    [
        (GenerationMode.POSITIVE, True),
        (GenerationMode.NEGATIVE, True),
        (GenerationMode.POSITIVE, False),
    ],
    ids=["valid", "invalid", "without a token"],
)
async def test_the_app_keeps_to_its_document(
    label: str, mode: GenerationMode, has_token: bool, tmp_path: Path
) -> None:
    """Generated requests, valid or not, get documented answers: never a 500, never a hang."""
    if mode is GenerationMode.NEGATIVE and label == "GET /health":
        return  # without parameters and token there is nothing about them to get wrong
    async with running(tmp_path) as app:
        strategy = operations()[label].as_strategy(generation_mode=mode)
        await trio.to_thread.run_sync(_fuzz, app, strategy, has_token)
        assert app.context.counters.internal_errors == 0
        assert app.context.counters.connections_failed == 0


def _fuzz(app: Running, strategy: Any, has_token: bool) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if has_token else {}

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        database=None,
    )
    @given(case=strategy)
    def send(case: Case[Any]) -> None:
        if "wait_s" in (case.query or {}):
            case.query["wait_s"] = "0.01"
        case.call_and_validate(
            base_url=f"http://127.0.0.1:{app.port}", headers=headers, checks=CHECKS, timeout=60
        )

    send()
