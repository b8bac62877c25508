"""How often a password may be tried, per account and per address, before it is hashed.

Nobody is locked out for good: the buckets refill. They count in Postgres while Valkey is away.
"""

import hashlib
from dataclasses import dataclass

from posthouse.accounts.settings import AccountsSettings
from posthouse.kernel.ratelimit import Rate, StrictLimiter


@dataclass(frozen=True, slots=True)
class Attempts:
    """The two buckets of each try."""

    limiter: StrictLimiter
    per_account: Rate
    per_address: Rate

    @classmethod
    def of(cls, limiter: StrictLimiter, settings: AccountsSettings) -> "Attempts":
        """Take the sizes from the settings."""
        account, address = settings.login_per_minute, settings.login_per_minute_address
        return cls(
            limiter,
            Rate("login-account", account / 60, account),
            Rate("login-address", address / 60, address),
        )

    async def take(self, account: str, network: str) -> None:
        """Count one try at `account` (an address as it was typed, in any case) from `network`.

        Raises:
            RateLimitedError: one of the two has been tried too often.
            DatabaseUnavailableError: nobody can count, so nothing may be tried.
        """
        (await self.limiter.take(network, self.per_address)).require()
        # A digest, so that no address lies in Valkey and no key is longer than another.
        name = hashlib.sha256(account.casefold().encode()).hexdigest()
        (await self.limiter.take(name, self.per_account)).require()
