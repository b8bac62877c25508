"""The one list of slices, from the lowest to the highest."""

from posthouse.accounts.manifest import SLICE as ACCOUNTS
from posthouse.kernel.manifest import Slice
from posthouse.links.manifest import SLICE as LINKS

SLICES: tuple[Slice, ...] = (ACCOUNTS, LINKS)
