"""The front door of accounts."""

from dataclasses import dataclass

from posthouse.accounts.model import WORKSPACE
from posthouse.accounts.service import Accounts, FirstRun
from posthouse.kernel.auth import Principal

__all__ = ["WORKSPACE", "AccountsDoor", "FirstRun"]


@dataclass(frozen=True, slots=True)
class AccountsDoor:
    """What other slices may ask of accounts."""

    accounts: Accounts

    async def anonymous(self) -> Principal:
        """The caller without a name, who acts in the first workspace of the installation.

        Raises:
            UnauthenticatedError: there is no workspace yet.
        """
        return await self.accounts.anonymous()

    async def first_run(self) -> FirstRun | None:
        """Make a workspace, its owner and a key, unless there is a workspace already."""
        return await self.accounts.first_run()
