"""The front door of accounts."""

from dataclasses import dataclass

from posthouse.accounts.service import Accounts
from posthouse.kernel.auth import Principal


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
