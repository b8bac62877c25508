"""What the API of templates and layouts takes and gives."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from posthouse.kernel.text import Name, Str
from posthouse.notifications.drawers import Layout, Template, Version
from posthouse.notifications.model import Channel, Json
from posthouse.notifications.schemas.recipients import KEY_PATTERN, Locale, storable
from posthouse.notifications.templating import MAX_LOCALES

# Gmail cuts an email off at 102 KB; what compiles of MJML is larger than its source.
MAX_SOURCE = 80_000
Source = Annotated[Str, Field(min_length=1, max_length=MAX_SOURCE)]
Line = Annotated[Str, Field(min_length=1, max_length=2_000)]
TemplateKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["welcome"])]


class EmailParts(BaseModel):
    """An email; `text` is made of the HTML if it is not there."""

    model_config = ConfigDict(extra="forbid")

    subject: Line | None = None
    mjml: Source | None = None
    html: Source | None = None
    text: Source | None = None


class SmsParts(BaseModel):
    """A text message."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[Str, Field(min_length=1, max_length=10_000)]


class PushParts(BaseModel):
    """A push message."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    body: Annotated[Str, Field(min_length=1, max_length=10_000)]
    url: Line | None = None


class LocaleParts(BaseModel):
    """What is said in one language."""

    model_config = ConfigDict(extra="forbid")

    email: EmailParts | None = None
    sms: SmsParts | None = None
    push: PushParts | None = None


class TemplateIn(BaseModel):
    """A template's draft; it is looked at closely when it is published."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Name, Field(max_length=200)]
    data_schema: dict[str, Any] | None = Field(
        default=None, alias="schema", description="A JSON Schema of the data, without references."
    )
    default_locale: Locale = "en"
    layout: TemplateKey | None = None
    locales: Annotated[dict[Locale, LocaleParts], Field(min_length=1, max_length=MAX_LOCALES)]

    def draft(self) -> Json:
        """The same as it is kept."""
        locales = {
            name: parts.model_dump(exclude_none=True) for name, parts in self.locales.items()
        }
        return {
            "schema": self.data_schema,
            "default_locale": self.default_locale,
            "layout": self.layout,
            "locales": locales,
        }

    @model_validator(mode="after")
    def _storable(self) -> Self:
        if self.data_schema is not None:
            storable(self.data_schema, most=65_536)
        return self


class TemplateSummary(BaseModel):
    """A template in a list."""

    key: str
    name: str
    default_locale: str
    locales: list[str]
    channels: list[Channel]
    layout: str | None
    published: int | None = Field(description="The version that is sent with; null: none yet.")
    version: int
    created_at: datetime
    updated_at: datetime


class TemplateOut(BaseModel):
    """A template with its draft."""

    key: str
    name: str
    data_schema: dict[str, Any] | None = Field(serialization_alias="schema")
    default_locale: str
    layout: str | None
    locales: dict[str, dict[str, dict[str, str]]]
    published: int | None = Field(description="The version that is sent with; null: none yet.")
    version: int
    created_at: datetime
    updated_at: datetime


class VersionOut(BaseModel):
    """A version of a template."""

    number: int
    data_schema: dict[str, Any] | None = Field(serialization_alias="schema")
    default_locale: str
    layout: str | None
    layout_source: dict[str, str] | None
    locales: dict[str, dict[str, dict[str, str]]]
    created_by: str
    created_at: datetime


class VersionSummary(BaseModel):
    """A version in a list."""

    number: int
    created_by: str
    created_at: datetime


class PreviewIn(BaseModel):
    """What to look at: the draft or a version, in a language, with some data."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    locale: Locale | None = None
    template_version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Without it the draft."
    )
    data: dict[str, Any] = Field(default_factory=dict[str, Any])


class PreviewOut(BaseModel):
    """A message as it would be sent."""

    channel: Channel
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    title: str | None = None
    body: str | None = None
    url: str | None = None


class LayoutIn(BaseModel):
    """What stands around emails: each part has `{{ content }}` once."""

    model_config = ConfigDict(extra="forbid")

    mjml: Source | None = None
    html: Source | None = None
    text: Source | None = None

    def source(self) -> Json:
        """The same as it is kept."""
        return self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.mjml is None) == (self.html is None):
            raise PydanticCustomError("layout-invalid", "Give either mjml or html")
        return self


class LayoutOut(BaseModel):
    """A layout."""

    key: str
    mjml: str | None
    html: str | None
    text: str | None
    version: int
    created_at: datetime
    updated_at: datetime


def show(template: Template) -> TemplateOut:
    """Say a template as the API does."""
    draft = template.draft
    return TemplateOut(
        key=template.key,
        name=template.name,
        data_schema=draft["schema"],
        default_locale=draft["default_locale"],
        layout=draft["layout"],
        locales=draft["locales"],
        published=template.published,
        version=template.version,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def show_summary(template: Template) -> TemplateSummary:
    """Say a template in a list as the API does."""
    draft = template.draft
    found = {channel for parts in draft["locales"].values() for channel in parts}
    return TemplateSummary(
        key=template.key,
        name=template.name,
        default_locale=draft["default_locale"],
        locales=sorted(draft["locales"]),
        channels=[channel for channel in Channel if channel in found],
        layout=draft["layout"],
        published=template.published,
        version=template.version,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def show_version(version: Version) -> VersionOut:
    """Say a version as the API does."""
    content = version.content
    return VersionOut(
        number=version.number,
        data_schema=content["schema"],
        default_locale=content["default_locale"],
        layout=content["layout"],
        layout_source=content["layout_source"],
        locales=content["locales"],
        created_by=version.created_by,
        created_at=version.created_at,
    )


def show_version_summary(version: Version) -> VersionSummary:
    """Say a version in a list as the API does."""
    return VersionSummary(
        number=version.number, created_by=version.created_by, created_at=version.created_at
    )


def show_layout(layout: Layout) -> LayoutOut:
    """Say a layout as the API does."""
    return LayoutOut(
        key=layout.key,
        mjml=layout.source.get("mjml"),
        html=layout.source.get("html"),
        text=layout.source.get("text"),
        version=layout.version,
        created_at=layout.created_at,
        updated_at=layout.updated_at,
    )
