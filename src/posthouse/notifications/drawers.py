"""Templates, their versions and layouts as they are kept: the values."""

from dataclasses import dataclass
from datetime import datetime

from posthouse.notifications.model import Json, TemplateId
from posthouse.notifications.templating import Compiled


@dataclass(frozen=True, slots=True)
class Template:
    """A template: its draft, and the number of the version that is sent with."""

    id: TemplateId
    key: str
    name: str
    draft: Json
    published: int | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A template as it was published, with the source of its layout."""

    number: int
    content: Json
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands around the emails of templates."""

    key: str
    source: Json
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Pinned:
    """The version that a notification is sent with, whatever is published later."""

    id: TemplateId
    number: int
    compiled: Compiled
