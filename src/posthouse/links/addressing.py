"""How a short link is written for people."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from posthouse.links.model import Link


@dataclass(frozen=True, slots=True)
class Addressing:
    """Knows the address that the installation is reached at."""

    public_url: str

    @property
    def default_host(self) -> str:
        """The host that new links are made on."""
        return urlsplit(self.public_url).hostname or "127.0.0.1"

    def short_url(self, link: Link) -> str:
        """The address of a link: other domains share the scheme and the port of ours."""
        base = urlsplit(self.public_url)
        port = f":{base.port}" if base.port else ""
        return f"{base.scheme}://{link.host}{port}/{link.code}"
