"""The JSON routes of the catalog."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from posthouse.catalog.errors import (
    ImageInvalidError,
    ProductNotFoundError,
    RowsInvalidError,
    SkuTakenError,
    WaiterUnknownError,
)
from posthouse.catalog.imaging import Images
from posthouse.catalog.model import (
    READ,
    WRITE,
    Filter,
    NewProduct,
    NewWait,
    Product,
    ProductId,
    ProductSort,
    ProductState,
)
from posthouse.catalog.ordering import key_of
from posthouse.catalog.ranking import key_of as found_key
from posthouse.catalog.schemas import (
    Amount,
    Currency,
    FoundOut,
    ImageIn,
    ImportFileIn,
    ProductIn,
    ProductOut,
    ProductPatch,
    WaitIn,
    WaitOut,
    show,
    show_found,
    show_wait,
)
from posthouse.catalog.searching import Searching
from posthouse.catalog.service import Products
from posthouse.catalog.settings import CatalogSettings
from posthouse.catalog.waiting import Waiting
from posthouse.files.public import FILE, FileId, FilesDoor, FileUnknownError
from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import NotFoundError, StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import CountedPage, OffsetDep, Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.search import pattern
from posthouse.kernel.text import INT8_MAX, Name
from posthouse.kernel.uploads import FORMS, TaskAccepted, Upload, UploadDep, accept
from posthouse.tasks.public import TASK, EmptyUploadError, Imports

IMPORT = "products.import"

routes = Routes.of("catalog")

the_imports = service(Imports)
the_products = service(Products)
the_images = service(Images)
the_files = service(FilesDoor)
the_searching = service(Searching)
the_settings = service(CatalogSettings)
the_waiting = service(Waiting)


async def read_id(
    product_id: Annotated[int, Path(gt=0, description="The number of a product.")],
) -> ProductId:
    """The id in the path.

    Raises:
        ProductNotFoundError: it is a number that no product can have.
    """
    if product_id > INT8_MAX:
        raise ProductNotFoundError
    return ProductId(product_id)


async def read_filter(
    q: Annotated[
        Name | None, Query(max_length=200, description="Part of name, SKU, category.")
    ] = None,
    category: Annotated[Name | None, Query(max_length=100, description="This category.")] = None,
    tag: Annotated[
        list[Name] | None, Query(max_length=10, description="All of these tags.")
    ] = None,
    currency: Annotated[Currency | None, Query(description="Prices in this currency.")] = None,
    min_price: Annotated[Amount | None, Query(description="At least this amount.")] = None,
    max_price: Annotated[Amount | None, Query(description="At most this amount.")] = None,
    in_stock: Annotated[
        bool | None, Query(description="Not counted, or more than none; or false: none.")
    ] = None,
    state: Annotated[
        ProductState, Query(description="Deleted ones are shown when asked for.")
    ] = ProductState.ACTIVE,
) -> Filter:
    """What the lists show; for `Depends`."""
    return Filter(
        state=state,
        pattern=pattern(q) if q else None,
        category=category,
        tags=tuple(tag) if tag else None,
        currency=currency,
        min_price=min_price,
        max_price=max_price,
        in_stock=in_stock,
    )


Caller = Annotated[Principal, Depends(current_principal)]
ImportsDep = Annotated[Imports, Depends(the_imports)]
ImagesDep = Annotated[Images, Depends(the_images)]
FilesDep = Annotated[FilesDoor, Depends(the_files)]
ProductsDep = Annotated[Products, Depends(the_products)]
WaitingDep = Annotated[Waiting, Depends(the_waiting)]
ProductPath = Annotated[ProductId, Depends(read_id)]
FilterDep = Annotated[Filter, Depends(read_filter)]
Sort = Annotated[ProductSort, Query(description="The order; `-` is downwards.")]


@routes.post("/products", needs=WRITE, raises=(SkuTakenError,), status=201,
             response_model=ProductOut, summary="Make a product")  # fmt: skip
async def make(
    body: ProductIn,
    caller: Caller,
    response: Response,
    products: ProductsDep,
    settings: Annotated[CatalogSettings, Depends(the_settings)],
) -> ProductOut:
    """Make a product; without a currency its price is in the installation's own."""
    chosen = body.model_dump(exclude={"currency", "tags"})
    currency = body.currency or settings.currency
    product = await products.make(
        caller, NewProduct(**chosen, currency=currency, tags=tuple(body.tags))
    )
    response.headers["Location"] = f"/api/v1/products/{product.id}"
    response.headers["ETag"] = etag(product.version)
    return show(product)


@routes.post("/products/import-file", needs=WRITE, raises=(RowsInvalidError, EmptyUploadError),
             is_idempotent=False, status=202, response_model=TaskAccepted,
             summary="Import products from a stored file")  # fmt: skip
async def import_file(
    body: ImportFileIn, caller: Caller, response: Response, imports: ImportsDep, files: FilesDep
) -> TaskAccepted:
    """Import products from a stored CSV, JSON or NDJSON file, as from one that is sent.

    Raises:
        RowsInvalidError: there is no such file, or it is of another type.
    """
    try:
        file, pieces = await files.read(caller, _file_id(body.file, RowsInvalidError))
    except FileUnknownError as error:
        raise RowsInvalidError("there is no such file") from error
    form = FORMS.get(file.media_type)
    if form is None:
        raise RowsInvalidError(f"it is {file.media_type}; give one of {', '.join(FORMS)}")
    upload = Upload(form, body.mode, body.dry_run, None, pieces)
    task_id, is_replayed = await imports.receive(caller, IMPORT, upload)
    return accept(response, TASK.show(task_id), is_replayed=is_replayed)


@routes.post("/products/import", needs=WRITE, streams=tuple(FORMS), raises=(EmptyUploadError,),
             status=202, response_model=TaskAccepted, summary="Import products")  # fmt: skip
async def import_products(
    upload: UploadDep, caller: Caller, response: Response, imports: ImportsDep
) -> TaskAccepted:
    """Import products from a JSON array, NDJSON or CSV; the task tells how it went, row by row."""
    task_id, is_replayed = await imports.receive(caller, IMPORT, upload)
    return accept(response, TASK.show(task_id), is_replayed=is_replayed)


@routes.get("/products", needs=READ, response_model=CountedPage[ProductOut],
            summary="List products by page")  # fmt: skip
async def list_products(
    caller: Caller,
    offset: OffsetDep,
    wanted: FilterDep,
    products: ProductsDep,
    images: ImagesDep,
    sort: Sort = ProductSort.NEWEST,
) -> CountedPage[ProductOut]:
    """List products for somebody who turns pages; `total=true` counts them all."""
    found, total = await products.page_at(caller, wanted, sort, offset)
    having = await images.of(caller, found)
    items = [show(product, having.get(product.id)) for product in found[: offset.limit]]
    return CountedPage(items=items, has_more=len(found) > offset.limit, total=total)


# Before `/products/{product_id}`, which would take `stream` for an id.
@routes.get("/products/stream", needs=READ, response_model=Page[ProductOut],
            summary="List products by cursor")  # fmt: skip
async def stream(
    caller: Caller,
    paging: PagingDep,
    wanted: FilterDep,
    products: ProductsDep,
    images: ImagesDep,
    sort: Sort = ProductSort.NEWEST,
) -> Page[ProductOut]:
    """List products for a program that reads them all: none twice, and none is passed over."""
    found = await products.page(caller, wanted, sort, paging.keyset)
    having = await images.of(caller, found)
    return paging.page(
        found, key=lambda one: key_of(one, sort), show=lambda one: show(one, having.get(one.id))
    )


@routes.get("/products/{product_id}", needs=READ, raises=(ProductNotFoundError,),
            response_model=ProductOut, summary="Show a product")  # fmt: skip
async def find(
    product_id: ProductPath,
    caller: Caller,
    response: Response,
    products: ProductsDep,
    images: ImagesDep,
) -> ProductOut:
    """Show a product."""
    return await _tagged(await products.find(caller, product_id), response, caller, images)


@routes.patch("/products/{product_id}", needs=WRITE, raises=(ProductNotFoundError, SkuTakenError),
              response_model=ProductOut, summary="Change a product")  # fmt: skip
async def edit(
    product_id: ProductPath,
    body: ProductPatch,
    caller: Caller,
    request: Request,
    response: Response,
    products: ProductsDep,
    images: ImagesDep,
) -> ProductOut:
    """Change the fields that are named; `If-Match` guards against changing what you never saw."""
    product = await products.edit(caller, product_id, body.changes(), version=if_match(request))
    return await _tagged(product, response, caller, images)


@routes.add("PUT", "/products/{product_id}/image", needs=WRITE,
            raises=(ProductNotFoundError, ImageInvalidError, StaleError),
            response_model=ProductOut, summary="Give a product an image")  # fmt: skip
async def put_image(
    product_id: ProductPath,
    body: ImageIn,
    caller: Caller,
    request: Request,
    response: Response,
    images: ImagesDep,
) -> ProductOut:
    """Give a product an image out of the stored files; a thumbnail is made of it."""
    file_id, version = _file_id(body.file, ImageInvalidError), if_match(request)
    product = await images.put(caller, product_id, file_id, version=version)
    return await _tagged(product, response, caller, images)


@routes.delete("/products/{product_id}/image", needs=WRITE, status=200,
               raises=(ProductNotFoundError, StaleError), response_model=ProductOut,
               summary="Take a product's image away")  # fmt: skip
async def drop_image(
    product_id: ProductPath,
    caller: Caller,
    request: Request,
    response: Response,
    images: ImagesDep,
) -> ProductOut:
    """Take a product's image away; the file stays."""
    product = await images.drop(caller, product_id, version=if_match(request))
    return await _tagged(product, response, caller, images)


@routes.delete("/products/{product_id}", needs=WRITE, raises=(ProductNotFoundError, StaleError),
               summary="Delete a product")  # fmt: skip
async def delete(
    product_id: ProductPath, caller: Caller, request: Request, products: ProductsDep
) -> None:
    """Delete a product; it can be restored."""
    await products.delete(caller, product_id, version=if_match(request))


@routes.post("/products/{product_id}/restore", needs=WRITE,
             raises=(ProductNotFoundError, SkuTakenError), response_model=ProductOut,
             summary="Restore a product", reads_json=False)  # fmt: skip
async def restore(
    product_id: ProductPath,
    caller: Caller,
    response: Response,
    products: ProductsDep,
    images: ImagesDep,
) -> ProductOut:
    """Bring back a deleted product."""
    return await _tagged(await products.restore(caller, product_id), response, caller, images)


@routes.post("/products/{product_id}/waits", needs=WRITE,
             raises=(ProductNotFoundError, WaiterUnknownError), status=201, response_model=WaitOut,
             summary="Ask to hear when a product is back")  # fmt: skip
async def wait(
    product_id: ProductPath, body: WaitIn, caller: Caller, waiting: WaitingDep
) -> WaitOut:
    """Let somebody hear once, when the product is in stock again."""
    return show_wait(await waiting.ask(caller, product_id, NewWait(body.recipient, body.email)))


@routes.get("/products/{product_id}/waits", needs=READ, raises=(ProductNotFoundError,),
            response_model=Page[WaitOut], summary="List who waits for a product")  # fmt: skip
async def list_waits(
    product_id: ProductPath, caller: Caller, paging: PagingDep, waiting: WaitingDep
) -> Page[WaitOut]:
    """List who asked to hear of a product, the first first."""
    found = await waiting.page(caller, product_id, paging.keyset)
    return paging.page(found, key=lambda one: (str(one.id),), show=show_wait)


@routes.get("/search", needs=READ, response_model=Page[FoundOut],
            summary="Search products and links")  # fmt: skip
async def search(
    q: Annotated[Name, Query(min_length=1, max_length=100, description="What to look for.")],
    caller: Caller,
    paging: PagingDep,
    searching: Annotated[Searching, Depends(the_searching)],
) -> Page[FoundOut]:
    """Find what has all of the words, best first; if nothing has them, what has words like them."""
    found = await searching.search(caller, q, paging.keyset)
    return paging.page(found, key=found_key, show=show_found)


async def _tagged(
    product: Product, response: Response, caller: Principal, images: Images
) -> ProductOut:
    response.headers["ETag"] = etag(product.version)
    having = await images.of(caller, [product])
    return show(product, having.get(product.id))


def _file_id(text: str, error: type[ImageInvalidError | RowsInvalidError]) -> FileId:
    """The id of a file in a body; a text that is none is an error of the body.

    Raises:
        InvalidInputError: no file can have it.
    """
    try:
        return FileId(FILE.read(text))
    except NotFoundError as unknown:
        raise error("there is no such file") from unknown
