"""The values of the catalog: ids, choices, frozen records and events."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, NewType
from uuid import UUID

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.events import Event

ProductId = NewType("ProductId", int)

READ = Scope("catalog:read", Role.VIEWER)
WRITE = Scope("catalog:write", Role.MEMBER)


class ProductState(StrEnum):
    """Whether a product is there."""

    ACTIVE = "active"
    DELETED = "deleted"


class ProductSort(StrEnum):
    """The orders of the lists; products that are alike in it are in the order of their ids."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    NAME_DOWN = "-name"
    PRICE = "price"
    PRICE_DOWN = "-price"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProduct:
    """The columns of a product that its maker chooses. `stock` None means not counted."""

    name: str
    price: Decimal
    currency: str
    category: str
    description: str | None = None
    sku: str | None = None
    stock: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(NewProduct):
    """A product. `version` is for `If-Match`; `tx` made it, for the list from the oldest on."""

    id: ProductId
    workspace_id: UUID
    state: ProductState
    version: int
    tx: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Image:
    """A product's image: the id of its file, and where it and its thumbnail are for a while.

    `thumbnail_url` is None until the thumbnail is made, and if it cannot be.
    """

    file: str
    url: str
    thumbnail_url: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows: `pattern` is an escaped LIKE pattern over name, SKU and category."""

    state: ProductState = ProductState.ACTIVE
    pattern: str | None = None
    category: str | None = None
    tags: tuple[str, ...] | None = None
    currency: str | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    in_stock: bool | None = None


@dataclass(frozen=True, slots=True)
class ProductMade(Event):
    """A product was made."""

    name: ClassVar[str] = "product.made"

    product_id: int


@dataclass(frozen=True, slots=True)
class ProductChanged(Event):
    """A product was edited, deleted or restored; `what` says which."""

    name: ClassVar[str] = "product.changed"

    product_id: int
    what: str


class FoundKind(StrEnum):
    """What a search can find."""

    LINK = "link"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class Found:
    """Something that was found; a `score` of 1000 is the best.

    `is_fuzzy` says that nothing has the words as they were typed, and this has words like them.
    """

    kind: FoundKind
    id: str
    name: str
    score: int
    is_fuzzy: bool


@dataclass(frozen=True, slots=True)
class NewWait:
    """Who wants to hear when a product is back: a recipient's id, or an email address."""

    recipient: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody who waits for a product; `recipient` is their id as callers see it."""

    id: UUID
    product_id: ProductId
    recipient: str | None
    email: str | None
    created_at: datetime
