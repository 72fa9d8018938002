"""The API keeps to its own description: no server errors, refusals of one shape, replies as the schema says.

Schemathesis makes requests from the OpenAPI document, right ones and wrong ones, and this sends them in-process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
import requests
import schemathesis
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from labeling.models import User
from tests.test_access import World, world

__all__ = ["world"]  # a fixture

EXAMPLES = 5  # requests of each operation
DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
OPERATIONS = [result.ok() for result in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_breaks_it(operation: Any, world: World) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(username="owner"))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.integers(0, 3).map(bool))
    def send(case: Any, real: bool) -> None:
        # Made-up ids would hardly ever meet a row.
        names = case.path_parameters or {}
        case.path_parameters = {
            name: world.ids[name] if real or name == "project_id" else given for name, given in names.items()
        }
        response = _sent(client, case)
        _check(operation, response)

    send()


def _sent(client: Client, case: Any) -> Any:
    asked = case.as_transport_kwargs(base_url="http://testserver")
    asked = {
        name: asked[name] for name in ("method", "url", "headers", "params", "data", "json", "files") if name in asked
    }
    asked.pop("cookies", None)
    prepared = requests.Request(**asked).prepare()
    headers = {name: value for name, value in prepared.headers.items() if name not in ("Content-Length", "Cookie")}
    kind = headers.pop("Content-Type", "application/octet-stream")
    headers.pop("Authorization", None)
    body = prepared.body or b""
    return client.generic(str(prepared.method), str(prepared.path_url), body, content_type=str(kind), headers=headers)


def _check(operation: Any, response: Any) -> None:
    told = f"{operation.label}: {response.status_code}"
    assert response.status_code < 500, told
    if response.status_code >= 400:
        refusal = response.json()
        assert set(refusal) == {"code", "detail", "fields"}, told
        assert all(isinstance(text, str) for text in (refusal["code"], refusal["detail"], *refusal["fields"].values()))
        return
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    assert str(response.status_code) in described, f"{told} is not described"
    schema = described[str(response.status_code)].get("content", {}).get("application/json", {}).get("schema")
    if schema:
        jsonschema.validate(response.json(), _plain(schema) | {"components": _plain(DOCUMENT["components"])})


def _plain(schema: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def test_every_operation_describes_its_errors_and_its_numbers() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            assert operation["responses"]["default"]["content"]["application/json"]["schema"], path
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    assert parameter["schema"]["type"] == "integer", path


def test_the_query_string_survives_the_round_trip() -> None:
    """`_sent` must not lose what it is given: the tests above would then test nothing."""
    operation = next(one for one in OPERATIONS if one.label.endswith("/items/") and one.method.lower() == "get")
    case = operation.Case(path_parameters={"project_id": 1}, query={"q": "a b"})
    prepared = requests.Request(
        **{
            k: v
            for k, v in case.as_transport_kwargs(base_url="http://testserver").items()
            if k in ("method", "url", "params")
        }
    ).prepare()
    assert urlencode({"q": "a b"}) in str(prepared.path_url)


def test_it_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", file=str(tmp_path / "schema.yml"))
