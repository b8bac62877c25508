"""Images of products: a stored file of the workspace, and a thumbnail that is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.catalog import store
from posthouse.catalog.errors import ImageInvalidError
from posthouse.catalog.model import Image, Product, ProductId
from posthouse.catalog.service import Products
from posthouse.files.public import FILE, FileId, FilesDoor, FileUnknownError, TypeNotAllowedError
from posthouse.kernel.auth import Principal

_SIDE_PX = 320
_THUMBNAIL: Mapping[str, Any] = {
    "steps": {
        "thumbnail": {
            "use": "image.resize",
            "width": _SIDE_PX,
            "height": _SIDE_PX,
            "fit": "inside",
            "format": "webp",
        }
    }
}


@dataclass(frozen=True, slots=True)
class Images:
    """Gives products their images, and shows them."""

    products: Products
    files: FilesDoor

    async def put(
        self,
        principal: Principal,
        product_id: ProductId,
        file_id: FileId,
        *,
        version: int | None = None,
    ) -> Product:
        """Give a product an image, in place of an older one; its thumbnail follows by itself.

        Raises:
            ProductNotFoundError: there is no such product, or it is deleted.
            StaleError: it has another version than `version`.
            ImageInvalidError: there is no such file, or it is no image.
        """
        async with self.products.db.begin() as tx:
            product = await self.products.expect(tx, principal, product_id, version)
            try:
                thumbnail_id = await self.files.again(principal, file_id, _THUMBNAIL)
            except FileUnknownError as error:
                raise ImageInvalidError("there is no such file") from error
            except TypeNotAllowedError as error:
                raise ImageInvalidError("it is no image") from error
            owner = principal.workspace_id
            before = await store.put_image(tx, owner, product_id, file_id, thumbnail_id)
            if before is not None:
                await self.files.delete(principal, FileId(before))
            return await self.products.note_edit(tx, principal, product, "image")

    async def drop(
        self, principal: Principal, product_id: ProductId, *, version: int | None = None
    ) -> Product:
        """Take a product's image away; the file stays. Safe to repeat.

        Raises:
            ProductNotFoundError: there is no such product, or it is deleted.
            StaleError: it has another version than `version`.
        """
        async with self.products.db.begin() as tx:
            product = await self.products.expect(tx, principal, product_id, version)
            before = await store.drop_image(tx, principal.workspace_id, product_id)
            if before is None:
                return product
            await self.files.delete(principal, FileId(before))
            return await self.products.note_edit(tx, principal, product, "image")

    async def of(
        self, principal: Principal, products: Sequence[Product]
    ) -> Mapping[ProductId, Image]:
        """The images of those of these products that have one; their addresses are made anew."""
        if not products:
            return {}
        async with self.products.db.read() as connection:
            kept = await store.images(
                connection, principal.workspace_id, [product.id for product in products]
            )
        wanted = [one for pair in kept.values() for one in pair]
        states = await self.files.find_many(principal, wanted)
        found: dict[ProductId, Image] = {}
        for product_id, (file_id, thumbnail_id) in kept.items():
            state, thumbnail = states.get(FileId(file_id)), states.get(FileId(thumbnail_id))
            if state is None:
                continue  # the file was deleted
            results = thumbnail.results if thumbnail else ()
            found[product_id] = Image(
                file=FILE.show(state.file.id),
                url=self.files.url(state.file),
                thumbnail_url=self.files.url(thumbnail.file, results[0].name)
                if thumbnail and results
                else None,
            )
        return found
