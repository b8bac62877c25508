"""What workers do for links; each may run twice."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from posthouse.kernel.errors import UnavailableError
from posthouse.kernel.jobs import Payload
from posthouse.links.service import Links


class ChangeNotToldError(UnavailableError):
    """Valkey did not take a change; the job is tried again."""

    code: ClassVar[str] = "change-not-told"


@dataclass(frozen=True, slots=True)
class Refresh:
    """Makes sure that every process hears of a changed link, also if its first telling failed."""

    links: Links

    async def __call__(self, payload: Payload) -> None:
        """Tell what the link of a `link.changed` event is now.

        Raises:
            ChangeNotToldError: Valkey is away.
        """
        if not await self.links.refresh(UUID(payload["link_id"])):
            raise ChangeNotToldError
