"""What the catalog plugs into the application."""

from posthouse.catalog.api import IMPORT, routes
from posthouse.catalog.imaging import Images
from posthouse.catalog.importing import ProductImport
from posthouse.catalog.model import READ, WRITE, ProductChanged, ProductMade
from posthouse.catalog.pricelist import PriceList, PriceListInput
from posthouse.catalog.repricing import RepriceInput, Repricing
from posthouse.catalog.schemas import ProductIn
from posthouse.catalog.searching import Searching
from posthouse.catalog.service import Products
from posthouse.catalog.settings import CatalogSettings
from posthouse.catalog.waiting import Waiting
from posthouse.files.public import FilesDoor
from posthouse.kernel.events import Listener
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.work import WorkKind
from posthouse.links.public import LinksDoor
from posthouse.notifications.public import NotificationsDoor
from posthouse.tasks.public import ImportKind, TasksDoor


async def build(parts: Parts, doors: Doors) -> Built:
    """Give the catalog its collaborators."""
    settings: CatalogSettings = parts.settings
    rows = ProductImport(settings)
    files, products = doors.get(FilesDoor), Products(parts.db)
    waiting = Waiting(products, doors.get(NotificationsDoor))
    return Built(
        listeners=[Listener(ProductChanged.name, "catalog.back-in-stock", waiting.heard)],
        services={
            Waiting: waiting,
            Products: products,
            Images: Images(products, files),
            FilesDoor: files,
            Searching: Searching(parts.db, doors.get(LinksDoor)),
            CatalogSettings: settings,
        },
        work=[
            WorkKind(
                "catalog.reprice",
                RepriceInput,
                Repricing().run,
                "Raise or lower prices by a percentage.",
                needs=WRITE,
            ),
            WorkKind(
                "catalog.price-list",
                PriceListInput,
                PriceList(parts.db, files).run,
                "Draw the price list as a PDF.",
                needs=READ,
            ),
            doors.get(TasksDoor).importing(
                ImportKind(IMPORT, ProductIn, rows.write, "Import products from a file.", WRITE)
            ),
        ],
    )


SLICE = Slice(
    name="catalog",
    build=build,
    routes=(routes,),
    events=(ProductMade, ProductChanged),
    commands="posthouse.catalog.commands",
    sandboxed=("posthouse.catalog.schemas",),
)
