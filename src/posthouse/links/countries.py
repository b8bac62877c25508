"""Countries of addresses, from a MaxMind file that the operator brings (extra `geo`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from posthouse.links.recorder import Countries, NoCountries

if TYPE_CHECKING:
    from maxminddb import Reader


@dataclass(frozen=True, slots=True)
class MaxMind:
    """Reads a GeoLite2-Country or GeoIP2-Country file that lies in memory."""

    reader: "Reader"

    def country_of(self, address: str) -> str:
        """The ISO 3166 code of an address's country, or an empty text."""
        try:
            found = cast("dict[str, dict[str, str]] | None", self.reader.get(address))  # pyright: ignore[reportUnknownMemberType]
        except ValueError:
            return ""
        return (found or {}).get("country", {}).get("iso_code", "")


def open_countries(path: str) -> Countries:
    """Open the file, or give what knows no country if there is none.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: the extra `geo` is not installed.
    """
    if not path:
        return NoCountries()
    import maxminddb  # noqa: PLC0415  only with the extra `geo`

    reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)  # pyright: ignore[reportUnknownMemberType]
    return MaxMind(reader)
