"""The knobs of the catalog: `POSTHOUSE_CATALOG_…`."""

from pydantic import BaseModel, Field, field_validator

from posthouse.catalog.pricing import is_currency


class CatalogSettings(BaseModel):
    """What a product has that its maker does not name."""

    currency: str = Field(default="EUR", description="The currency of prices that name none.")

    @field_validator("currency")
    @classmethod
    def _is_known(cls, currency: str) -> str:
        if not is_currency(currency):
            raise ValueError("must be a code of ISO 4217, such as EUR")
        return currency
