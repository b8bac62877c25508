"""What accounts plugs into the application."""

from collections.abc import Sequence

from posthouse.accounts.api import IMPORT, routes
from posthouse.accounts.attempts import Attempts
from posthouse.accounts.authentication import Authentication
from posthouse.accounts.importing import UserImport
from posthouse.accounts.keyring import Keyring
from posthouse.accounts.model import ADMINISTER
from posthouse.accounts.profiles import Profiles
from posthouse.accounts.public import AccountsDoor
from posthouse.accounts.recent import Recent
from posthouse.accounts.schemas import UserRow
from posthouse.accounts.service import Accounts
from posthouse.accounts.sessions import Sessions
from posthouse.accounts.settings import AccountsSettings
from posthouse.accounts.tokens import AccessTokens
from posthouse.kernel.jobs import CronKind
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.ratelimit import Rate
from posthouse.tasks.public import ImportKind, TasksDoor


async def build(parts: Parts, doors: Doors) -> Built:
    """Give accounts its collaborators."""
    settings: AccountsSettings = parts.settings
    recent = Recent(parts.clock)
    attempts = Attempts.of(parts.strict_limiter, settings)
    tokens = AccessTokens.of(
        parts.secret, parts.public_url.rstrip("/"), settings.access_token_s, parts.clock
    )
    accounts = Accounts(parts.db, parts.passwords, recent, settings)
    sessions = Sessions(parts.db, parts.passwords, attempts, tokens, recent, settings)
    profiles = Profiles(parts.db, parts.passwords, attempts, recent, settings)
    keyring = Keyring(parts.db, parts.clock, recent)
    return Built(
        services={Accounts: accounts, Sessions: sessions, Profiles: profiles, Keyring: keyring},
        door=AccountsDoor(accounts),
        authenticator=Authentication(parts.db, tokens, recent),
        work=[
            doors.get(TasksDoor).importing(
                ImportKind(
                    IMPORT, UserRow, UserImport().write, "Import users from a file.", ADMINISTER
                )
            )
        ],
        crons=[CronKind("accounts.housekeeping", "20 0 * * *", sessions.purge)],
    )


def _rates(settings: AccountsSettings) -> Sequence[Rate]:
    per_minute = settings.login_per_minute_address
    return [Rate("login", per_minute / 60, per_minute)]


SLICE = Slice(
    name="accounts",
    build=build,
    routes=(routes,),
    rates=_rates,
    commands="posthouse.accounts.commands",
    sandboxed=("posthouse.accounts.schemas",),
)
