"""`posthouse catalog …`: the verbs of the catalog on the command line."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from posthouse.kernel.client import Table, open_client, show

app = typer.Typer(help="Products: add, list, show, search.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


@app.command()
def add(  # noqa: PLR0913  each is a word of the command
    name: Annotated[str, typer.Argument(help="What the product is called.")],
    price: Annotated[str, typer.Argument(help="What it costs, such as 29.99.")],
    category: Annotated[str, typer.Argument(help="What it belongs to.")],
    currency: Annotated[str | None, typer.Option(help="ISO 4217, such as EUR.")] = None,
    sku: Annotated[str | None, typer.Option(help="Your own number.")] = None,
    stock: Annotated[int | None, typer.Option(help="How many there are.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a product."""
    chosen = {"name": name, "price": price, "category": category, "tags": tag or []}
    with open_client() as client:
        body = {**chosen, "currency": currency, "sku": sku, "stock": stock}
        product = client.call("POST", "/products", body=body)
    show(product, as_json=as_json, table=lambda: _fields(product))


@app.command("list")
def list_products(
    query: Annotated[str | None, typer.Argument(help="Part of name, SKU, category.")] = None,
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    sort: Annotated[str, typer.Option(help="newest, oldest, name, price, -price …")] = "newest",
    limit: Limit = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List products."""
    with open_client() as client:
        params = {"q": query, "category": category, "sort": sort}
        products = list(client.pages("/products/stream", limit=limit, params=params))
    columns = ("id", "name", "price", "currency", "category", "stock")
    show(products, as_json=as_json, table=lambda: _rows("products", columns, products))


@app.command("show")
def show_product(
    product_id: Annotated[int, typer.Argument(help="The number of a product.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show all of a product."""
    with open_client() as client:
        product = client.call("GET", f"/products/{product_id}")
    show(product, as_json=as_json, table=lambda: _fields(product))


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Limit = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """Search products and links."""
    with open_client() as client:
        found = list(client.pages("/search", limit=limit, params={"q": text}))
    columns = ("type", "id", "name", "score")
    show(found, as_json=as_json, table=lambda: _rows("found", columns, found))


def _rows(what: str, columns: Sequence[str], things: Sequence[dict[str, Any]]) -> Table:
    rows = [[thing[column] for column in columns] for thing in things]
    return Table(f"{len(things)} {what}", columns, rows)


def _fields(thing: dict[str, Any]) -> Table:
    return Table("", ("field", "value"), list(thing.items()))
