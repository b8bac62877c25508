"""What the API of the catalog takes and gives."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from posthouse.catalog.model import Found, FoundKind, Image, Product, ProductState, Wait
from posthouse.catalog.pricing import HIGHEST, PATTERN, is_currency, read_amount
from posthouse.kernel.patches import require_some
from posthouse.kernel.text import Count, Flag, Name, Str, Tags, refuse_empty, tidy_name
from posthouse.kernel.uploads import Mode
from posthouse.notifications.public import Channel, mask, parse_email


def _amount(value: object) -> Decimal:
    amount = read_amount(value)
    if amount is None:
        raise PydanticCustomError(
            "amount-invalid", "Give an amount such as 29.99: at most 1,000,000, two decimals"
        )
    return amount


def _more_than_nothing(amount: Decimal) -> Decimal:
    if amount == 0:
        raise PydanticCustomError("not-positive", "The price must be more than 0")
    return amount


def _known(code: str) -> str:
    if not is_currency(code):
        raise PydanticCustomError("unknown-currency", "Give a code of ISO 4217, such as EUR")
    return code


_SPELLINGS = {
    "anyOf": [
        {"type": "string", "pattern": PATTERN},
        {"type": "number", "minimum": 0, "maximum": HIGHEST},
    ],
    "examples": ["29.99"],
}
Amount = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema(_SPELLINGS, mode="validation")]
Price = Annotated[Amount, AfterValidator(_more_than_nothing)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["EUR"]), AfterValidator(_known)]
Category = Annotated[
    str, StringConstraints(max_length=100), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
Description = Annotated[Str, Field(max_length=2000)]
Sku = Annotated[
    str, StringConstraints(max_length=64), AfterValidator(tidy_name), AfterValidator(refuse_empty)
]
FileName = Annotated[Str, Field(max_length=40, examples=["fil_01jd…"])]
ProductName = Annotated[Name, Field(max_length=200)]


class ProductIn(BaseModel):
    """A new product."""

    model_config = ConfigDict(extra="forbid")

    name: ProductName
    price: Price
    category: Category
    currency: Currency | None = Field(
        default=None, description="Without it the installation's own."
    )
    description: Description | None = None
    sku: Sku | None = Field(default=None, description="Your own number; no two products have one.")
    stock: Count | None = Field(default=None, description="How many there are; null: not counted.")
    tags: Tags = []


class ProductPatch(BaseModel):
    """Changes to a product: what is absent stays, null clears what can be cleared."""

    model_config = ConfigDict(extra="forbid")

    name: ProductName = ""
    price: Price = Decimal(1)
    category: Category = ""
    currency: Currency = ""
    description: Description | None = None
    sku: Sku | None = None
    stock: Count | None = None
    tags: Tags = []

    def changes(self) -> dict[str, object]:
        """The fields that were named, as `NewProduct` holds them."""
        named: dict[str, object] = {name: getattr(self, name) for name in self.model_fields_set}
        if "tags" in named:
            named["tags"] = tuple(self.tags)
        return named

    _something = model_validator(mode="after")(require_some)


class ImageIn(BaseModel):
    """A stored file that is to be a product's image."""

    model_config = ConfigDict(extra="forbid")

    file: FileName


class ImportFileIn(BaseModel):
    """A stored file whose rows are to be imported."""

    model_config = ConfigDict(extra="forbid")

    file: FileName
    mode: Mode = Field(default=Mode.ALL, description="all: every row or none; valid: those valid.")
    dry_run: Flag = Field(default=False, description="Check everything and change nothing.")


class WaitIn(BaseModel):
    """Somebody who wants to hear when a product is back: one of recipient and email."""

    model_config = ConfigDict(extra="forbid")

    recipient: Sku | None = Field(default=None, description="`rcp_…`, or your own id of them.")
    email: Annotated[Str, StringConstraints(max_length=320)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.recipient is None) == (self.email is None):
            raise PydanticCustomError("not-one-target", "Name one of recipient and email")
        return self

    @field_validator("email")
    @classmethod
    def _address(cls, email: str | None) -> str | None:
        if email is None:
            return None
        try:
            return parse_email(email)
        except ValueError as error:
            raise PydanticCustomError("address-invalid", "Not an email address") from error


class WaitOut(BaseModel):
    """Somebody who waits; an address is shown in part."""

    product_id: int
    recipient: str | None
    email: str | None
    created_at: datetime


class ImageOut(BaseModel):
    """A product's image."""

    file: str
    url: str = Field(description="Where it can be read for a while.")
    thumbnail_url: str | None = Field(description="Null until it is made.")


class ProductOut(BaseModel):
    """A product."""

    id: int
    name: str
    price: Decimal = Field(description="A decimal string such as 29.99.")
    currency: str
    description: str | None
    category: str
    sku: str | None
    stock: int | None
    tags: list[str]
    image: ImageOut | None
    state: ProductState
    version: int
    created_at: datetime
    updated_at: datetime


class FoundOut(BaseModel):
    """Something that was found."""

    type: FoundKind
    id: str
    name: str
    url: str = Field(description="Where the API shows it.")
    score: float = Field(ge=0, le=1, description="How well it fits; 1 is best.")


def show(product: Product, image: Image | None = None) -> ProductOut:
    """Say a product as the API does."""
    shown = None
    if image is not None:
        shown = ImageOut(file=image.file, url=image.url, thumbnail_url=image.thumbnail_url)
    return ProductOut(
        id=product.id,
        name=product.name,
        price=product.price,
        currency=product.currency,
        description=product.description,
        category=product.category,
        sku=product.sku,
        stock=product.stock,
        tags=list(product.tags),
        image=shown,
        state=product.state,
        version=product.version,
        created_at=product.created_at,
        updated_at=product.updated_at,
    )


def show_wait(wait: Wait) -> WaitOut:
    """Say who waits as the API does."""
    return WaitOut(
        product_id=wait.product_id,
        recipient=wait.recipient,
        email=mask(Channel.EMAIL, wait.email),
        created_at=wait.created_at,
    )


def show_found(found: Found) -> FoundOut:
    """Say what was found as the API does."""
    return FoundOut(
        type=found.kind,
        id=found.id,
        name=found.name,
        url=f"/api/v1/{found.kind}s/{found.id}",
        score=found.score / 1000,
    )
