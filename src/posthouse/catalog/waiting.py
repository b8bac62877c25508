"""Those who asked to hear when a product is back, and the message that tells them, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from posthouse.catalog import store
from posthouse.catalog.errors import ProductNotFoundError, WaiterUnknownError
from posthouse.catalog.model import NewWait, Product, ProductId, ProductState, Wait
from posthouse.catalog.service import Products
from posthouse.kernel import audit
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Tx
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.public import (
    ChannelNotConfiguredError,
    NotificationsDoor,
    Target,
    TargetKind,
    TemplateNotFoundError,
    Wanted,
)

CATEGORY = "back-in-stock"
_ACTOR = "catalog"
_AT_ONCE = 1000
_CONTENT = {
    "subject": "{{ product.name }} is back",
    "text": "{{ product.name }} is in stock again, at {{ product.price }} {{ product.currency }}.",
    "title": "{{ product.name }} is back",
}


def is_there(product: Product) -> bool:
    """Whether it can be bought: its stock is not counted, or there is some."""
    is_listed = product.state is ProductState.ACTIVE
    return is_listed and (product.stock is None or product.stock > 0)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Waits for products."""

    products: Products
    notifications: NotificationsDoor

    async def ask(self, principal: Principal, product_id: ProductId, new: NewWait) -> Wait:
        """Let somebody hear when a product is back; asking twice is asking once.

        Raises:
            ProductNotFoundError: there is no such product.
            WaiterUnknownError: there is no such recipient.
        """
        owner = principal.workspace_id
        recipient_id: UUID | None = None
        if new.recipient is not None:
            recipient_id = await self.notifications.find_recipient(principal, new.recipient)
            if recipient_id is None:
                raise WaiterUnknownError
        async with self.products.db.begin() as tx:
            await self.products.expect(tx, principal, product_id, None)
            wait = await store.add_wait(tx, owner, product_id, recipient_id, new.email)
            await audit.record(tx, principal, "product.wait", str(product_id))
        return wait

    async def page(self, principal: Principal, product_id: ProductId, keyset: Keyset) -> list[Wait]:
        """Read one page of those who wait, and one more.

        Raises:
            ProductNotFoundError: there is no such product.
        """
        await self.products.find(principal, product_id)
        async with self.products.db.read() as connection:
            return await store.waits(connection, principal.workspace_id, product_id, keyset)

    async def heard(self, payload: dict[str, Any]) -> None:
        """A product was changed: if it can be bought now, tell those who wait.

        May run twice: who is told waits no longer, from the same transaction on.
        """
        owner, product_id = UUID(payload["workspace_id"]), ProductId(payload["product_id"])
        principal = Principal(owner, _ACTOR, Role.MEMBER)
        try:
            product = await self.products.find(principal, product_id)
        except ProductNotFoundError:
            return
        while is_there(product):
            if await self._tell(principal, product) < _AT_ONCE:
                return

    async def _tell(self, principal: Principal, product: Product) -> int:
        """Tell up to a thousand; gives how many waited."""
        owner = principal.workspace_id
        try:
            async with self.products.db.begin() as tx:
                waits = await store.take_waits(tx, owner, product.id, _AT_ONCE)
                if waits:
                    await self._send(tx, principal, product, waits)
        except ChannelNotConfiguredError:
            return 0  # they go on waiting, until something can tell them
        return len(waits)

    async def _send(
        self, tx: Tx, principal: Principal, product: Product, waits: Sequence[Wait]
    ) -> None:
        del tx  # the door's methods join it
        data = {
            "product": {
                "id": product.id,
                "name": product.name,
                "price": str(product.price),
                "currency": product.currency,
            }
        }
        targets = tuple(_target(wait) for wait in waits)
        await self.notifications.ensure_category(principal, CATEGORY, "Back in stock")
        wanted = Wanted(targets, category=CATEGORY, data=data, template=CATEGORY)
        try:
            await self.notifications.send(principal, [wanted])
        except TemplateNotFoundError:
            plain = Wanted(targets, category=CATEGORY, data=data, content=dict(_CONTENT))
            await self.notifications.send(principal, [plain])


def _target(wait: Wait) -> Target:
    if wait.recipient is not None:
        return Target(TargetKind.RECIPIENT, wait.recipient)
    return Target(TargetKind.EMAIL, wait.email or "")
