"""Who follows: browser, system and device from a user agent, and whether it is a person.

Browsers come from `ua-parser`'s data, robots from the list of monperrus/crawler-user-agents
(MIT) that ships as `crawlers.txt`. Those who fetch a page only to show a preview of it to people
(chat and mail programs) are a class of their own.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from posthouse.links.model import ClickClass

_REMEMBERED = 20_000
_PREVIEWS = re.compile(
    r"slackbot|slack-img|facebookexternalhit|facebookcatalog|twitterbot|linkedinbot|whatsapp"
    r"|telegrambot|discordbot|skypeuripreview|microsoftpreview|teamsbot|viber|pinterest"
    r"|redditbot|mastodon|bluesky|cardyb|iframely|embedly|googleimageproxy|yahoomailproxy"
    r"|bingpreview|snapchat|vkshare|zoominfobot|outbrain|synapse|google-pagerenderer",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"^(?:curl|wget|httpie|python|go-http-client|java|okhttp|ruby|php|perl|libwww|axios|node"
    r"|undici|postman|insomnia|apache-httpclient|rest-client|aiohttp|httpx)\b|bot\b|crawl|spider"
    r"|headless|phantomjs|monitor|uptime|scan(?:ner)?\b",
    re.IGNORECASE,
)

# What a browser sends as a host; anything else was made up to be shown to somebody.
_HOST = re.compile(r"[a-z0-9._:-]{1,253}")


@dataclass(frozen=True, slots=True)
class Agent:
    """What a user agent says of its bearer; texts are empty where it says nothing.

    `shown` is the user agent without what a database or a terminal cannot take.
    """

    kind: ClickClass
    kind_number: int
    browser: str
    os: str
    device: str
    shown: str


@cache
def _crawlers() -> re.Pattern[str]:
    lines = files("posthouse.links").joinpath("crawlers.txt").read_text("utf-8").splitlines()
    return re.compile("|".join(line for line in lines if line and not line.startswith("# ")))


@dataclass(slots=True)
class AgentBook:
    """Reads user agents and remembers them: parsing takes far longer than looking up."""

    _known: dict[str, Agent] = field(default_factory=dict[str, Agent], init=False)

    def read(self, agent: str) -> Agent:
        """Classify a user agent."""
        known = self._known.get(agent)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[agent] = _parse(agent)
        return known


def _parse(agent: str) -> Agent:
    import ua_parser  # noqa: PLC0415  only the worker that counts clicks needs it

    parsed = ua_parser.parse(agent)
    family = parsed.device.family if parsed.device else ""
    if not agent or _TOOLS.search(agent) or family == "Spider" or _crawlers().search(agent):
        kind = ClickClass.BOT
    else:
        kind = ClickClass.HUMAN
    if _PREVIEWS.search(agent):
        kind = ClickClass.PREVIEW
    return Agent(
        kind=kind,
        kind_number=int(kind),
        browser=parsed.user_agent.family if parsed.user_agent else "",
        os=parsed.os.family if parsed.os else "",
        device=_device(agent, family, kind),
        shown="".join(character for character in agent if character.isprintable()),
    )


def _device(agent: str, family: str, kind: ClickClass) -> str:
    if kind is not ClickClass.HUMAN:
        return "bot"
    if "iPad" in agent or "Tablet" in agent or ("Android" in agent and "Mobile" not in agent):
        return "tablet"
    if "Mobi" in agent or "iPhone" in agent or "Android" in agent:
        return "mobile"
    if any(word in agent for word in ("TV", "CrKey", "PlayStation", "Xbox", "Nintendo")):
        return "tv"
    return "desktop" if family or agent else ""


def referrer_host(referrer: str) -> str:
    """The host that a follower came from; without its path, which may say too much of it."""
    try:
        host = urlsplit(referrer).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.") if _HOST.fullmatch(host) else ""
