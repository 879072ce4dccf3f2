"""What all models share: their configuration, and the markers from which a CRD's schema is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

RULES: Final = "x-kubernetes-validations"
IN_SCHEMA: Final = "x-qbsync-default"


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule: on a model (`rules`), or in the `Annotated` of a field."""

    rule: str
    message: str
    """What to write instead."""
    field_path: str | None = None
    """The field that an error points at, relative to the model: `.docNumber`."""

    def as_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        path = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.rule, "message": self.message, **path}

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = dict(handler(schema))
        return {**inner, RULES: [*inner.get(RULES, []), self.as_schema()]}


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """Schema keywords that pydantic has no word for, in the `Annotated` of a field."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), **self.keywords}


SCHEMA_DEFAULT: Final = Schema({IN_SCHEMA: True})
"""The default stands in the CRD, too; others are the operator's, so that a release can move them."""
AS_SET: Final = Schema({"x-kubernetes-list-type": "set"})
"""A list whose order says nothing; lists are atomic otherwise."""
BY_TYPE: Final = Schema({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
"""Conditions: one per type."""
ATOMIC_MAP: Final = Schema({"x-kubernetes-map-type": "atomic"})
"""An object that is always replaced whole."""


class ApiModel(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are dropped, as by the API server."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules that concern several fields."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        result = handler(schema)
        if cls.rules:
            target = handler.resolve_ref_schema(result)
            target[RULES] = [rule.as_schema() for rule in cls.rules]
        return result


class StatusModel(ApiModel):
    """Part of a status: what is absent, empty or None is left out of the dump."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        return {key: value for key, value in dumped.items() if value not in ([], (), {})}

    def document(self) -> dict[str, Any]:
        """As the API server stores it: validated once more, since `model_copy` neither cuts nor rounds."""
        checked = type(self).model_validate(self.model_dump())
        return checked.model_dump(by_alias=True, exclude_none=True, mode="json")


def _to_seconds(value: datetime) -> datetime:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=0)


def _up_to_seconds(value: datetime) -> datetime:
    floor = _to_seconds(value)
    return floor + timedelta(seconds=1) if value.microsecond else floor


def timestamp_text(value: datetime) -> str:
    """RFC 3339 in UTC with whole seconds: `2026-11-23T08:15:00Z`."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_AS_TEXT: Final = PlainSerializer(timestamp_text, when_used="json")

Timestamp = Annotated[datetime, AfterValidator(_to_seconds), _AS_TEXT]
"""When something happened, or ends: rounded down to the second, so that nothing seems to live longer."""
Deadline = Annotated[datetime, AfterValidator(_up_to_seconds), _AS_TEXT]
"""When something may be done at the earliest, or was sent: rounded up, so that nothing happens too early."""
Date = Annotated[date, WithJsonSchema({"type": "string", "format": "date", "maxLength": 10})]
"""A day, `2026-11-23`."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Marks status text: longer text is cut, since the API server would refuse the whole status."""

    length: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def cut(value: object) -> object:
            return (
                f"{value[: self.length - 1]}…"
                if isinstance(value, str) and len(value) > self.length
                else value
            )

        inner: CoreSchema = handler(Annotated[source, Field(max_length=self.length), BeforeValidator(cut)])
        return inner


@dataclass(frozen=True, slots=True)
class Newest:
    """Marks a history, newest first: what is too old for it is dropped."""

    length: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def drop(value: object) -> object:
            return value[: self.length] if isinstance(value, list | tuple) else value

        inner: CoreSchema = handler(Annotated[source, Field(max_length=self.length), BeforeValidator(drop)])
        return inner


ShortText = Annotated[str, Cut(128)]
MediumText = Annotated[str, Cut(1024)]
LongText = Annotated[str, Cut(4096)]

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object."""
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""The name of a namespace."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A number of things."""


class NameRef(ApiModel):
    """Another object of the same namespace."""

    name: Name
    """Name of the object, in the same namespace."""
