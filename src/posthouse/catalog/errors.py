"""What can go wrong with products."""

from typing import ClassVar

from posthouse.kernel.errors import FieldProblem, InvalidInputError, Kind, PosthouseError


class ProductNotFoundError(PosthouseError):
    """There is no such product in this workspace, or it is deleted."""

    kind: ClassVar[Kind] = Kind.NOT_FOUND
    code: ClassVar[str] = "product-not-found"
    title: ClassVar[str] = "There is no such product"


class ImageInvalidError(InvalidInputError):
    """The file cannot be a product's image."""

    code: ClassVar[str] = "image-invalid"
    title: ClassVar[str] = "This file cannot be a product's image"

    def __init__(self, why: str = "") -> None:
        """Say why."""
        super().__init__(f"body.file: {why}.", fields=[FieldProblem("body.file", self.code, why)])


class RowsInvalidError(InvalidInputError):
    """The stored file holds no rows that can be imported."""

    code: ClassVar[str] = "rows-invalid"
    title: ClassVar[str] = "Rows cannot be read from this file"

    def __init__(self, why: str = "") -> None:
        """Say why."""
        super().__init__(f"body.file: {why}.", fields=[FieldProblem("body.file", self.code, why)])


class SkuTakenError(PosthouseError):
    """Another product of this workspace has the SKU."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "sku-taken"
    title: ClassVar[str] = "This SKU is taken"


class WaiterUnknownError(InvalidInputError):
    """There is no such recipient who could wait for a product."""

    code: ClassVar[str] = "waiter-unknown"
    title: ClassVar[str] = "There is no such recipient"

    def __init__(self, detail: str = "") -> None:
        """Name the field."""
        problem = FieldProblem("body.recipient", self.code, "not a recipient of this workspace")
        super().__init__(detail, fields=[problem])
