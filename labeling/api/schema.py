"""Schema: what holds for every operation of the API, added to its description in one place."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

ERROR = {
    "type": "object",
    "description": "Every refusal looks like this.",
    "required": ["code", "detail", "fields"],
    "properties": {
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "What is wrong and the way out, for people, in their language."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "What is wrong with which field.",
        },
    },
}
METHODS = ("get", "post", "put", "patch", "delete")
LARGEST_ID = 10**18 - 1  # the addresses take 18 digits


class Choice(serializers.ChoiceField):
    """A choice that refuses a list or an object as it does any unknown value, instead of failing to hash it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, list | dict):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string"}]})
class LabelField(serializers.Field):
    """A label, by id or by name; what else an answer's value may be is the kind of labelling's affair."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


def refine(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Post-process the OpenAPI document: ids are whole numbers, and every operation may answer with an error."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    refusal = {
        "description": "Refused; nothing was changed.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for operations in result["paths"].values():
        for method in METHODS:
            if operation := operations.get(method):
                operation["responses"].setdefault("default", refusal)
                for parameter in operation.get("parameters", []):
                    _as_number(parameter)
    return result


def _as_number(parameter: dict[str, Any]) -> None:
    if parameter["in"] == "path" and parameter["name"].endswith("_id"):
        parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}


def valid(serializer: type[serializers.Serializer], data: Any, **options: Any) -> dict[str, Any]:
    """The request's values as the serializer reads them; raises DRF's ValidationError, which becomes a 422."""
    given = serializer(data=data, **options)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
