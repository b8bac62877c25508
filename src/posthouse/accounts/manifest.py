"""What accounts plugs into the application."""

from posthouse.accounts.public import AccountsDoor
from posthouse.accounts.service import Accounts
from posthouse.kernel.manifest import Built, Doors, Parts, Slice


async def build(parts: Parts, doors: Doors) -> Built:
    """Give accounts its collaborators."""
    del doors
    accounts = Accounts(parts.db, parts.clock, parts.passwords)
    return Built(
        services={Accounts: accounts}, door=AccountsDoor(accounts), authenticator=accounts
    )


SLICE = Slice(name="accounts", build=build)
