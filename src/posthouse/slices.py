"""The one list of slices, from the lowest to the highest."""

from posthouse.accounts.manifest import SLICE as ACCOUNTS
from posthouse.catalog.manifest import SLICE as CATALOG
from posthouse.files.manifest import SLICE as FILES
from posthouse.kernel.manifest import Slice
from posthouse.links.manifest import SLICE as LINKS
from posthouse.notifications.manifest import SLICE as NOTIFICATIONS
from posthouse.tasks.manifest import SLICE as TASKS

SLICES: tuple[Slice, ...] = (TASKS, ACCOUNTS, LINKS, FILES, NOTIFICATIONS, CATALOG)
