"""What links plug into the application."""

import secrets
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from posthouse.accounts.public import AccountsDoor
from posthouse.kernel import ids
from posthouse.kernel.errors import PosthouseError
from posthouse.kernel.events import Listener
from posthouse.kernel.jobs import CronKind
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.ratelimit import Rate
from posthouse.kernel.signing import Signer, derive_key
from posthouse.kernel.supervise import Loop
from posthouse.kernel.together import Together
from posthouse.links.addressing import Addressing
from posthouse.links.api import routes
from posthouse.links.countries import open_countries
from posthouse.links.hosts import HostTable
from posthouse.links.ingest import Housekeeping, Ingester
from posthouse.links.jobs import Refresh
from posthouse.links.model import Domain, DomainId, LinkChanged, LinkMade
from posthouse.links.previews import Previews, open_outbound
from posthouse.links.public import LinksDoor
from posthouse.links.recorder import Recorder
from posthouse.links.redirect import Redirector, redirect_start
from posthouse.links.reports import Reports
from posthouse.links.resolver import Key, Resolver
from posthouse.links.routes import Route
from posthouse.links.service import Links
from posthouse.links.settings import LinksSettings
from posthouse.links.shortening import Shortening
from posthouse.links.spool import Spool
from posthouse.links.store import clicks as click_store
from posthouse.links.store import links as link_store
from posthouse.links.unlocking import Unlocking

_HOSTS_S = 2.0


async def build(parts: Parts, doors: Doors) -> Built:
    """Give links their collaborators."""
    settings: LinksSettings = parts.settings
    addressing = Addressing(parts.public_url)
    hosts = HostTable(load=lambda: _hosts(parts))
    links: Links
    reads = Together[Key, Route | None](lambda keys: links.read_routes(keys))  # noqa: PLW0108  below
    resolver = Resolver(
        cache=parts.cache,
        clock=parts.clock,
        load=lambda domain, code: reads.ask((domain, code)),
        prepare=lambda route: redirect_start(route.status, route.location),
        capacity=settings.cached_links,
    )
    links = Links(
        parts.db, parts.clock, parts.passwords, resolver, hosts, settings, doors.get(AccountsDoor)
    )
    recorder = Recorder(
        cache=parts.cache,
        clock=parts.clock,
        spool=Spool(Path(parts.data_dir) / "spool", settings.spool_bytes),
        salt_of=lambda day: _salt(parts, day),
        countries=open_countries(settings.geo_database),
    )
    redirector = Redirector(
        hosts=hosts,
        resolver=resolver,
        recorder=recorder,
        limiter=parts.limiter,
        unlocking=Unlocking(
            signer=Signer.for_purpose(parts.secret, "link-cookie"),
            limiter=parts.strict_limiter,
            passwords=parts.passwords,
            clock=parts.clock,
            find_hash=links.password_hash,
        ),
        spend=links.spend,
        clock=parts.clock,
        trust=parts.trust,
        limits=parts.edge_limits,
        unknown_rate=Rate(
            "unknown-code", settings.unknown_per_minute / 60, settings.unknown_per_minute
        ),
    )
    await _seed_domains(parts, addressing, settings)
    await hosts.refresh()
    _count(parts, redirector)
    ingester = Ingester(parts.db, parts.cache, parts.clock)
    housekeeping = Housekeeping(parts.db, parts.clock, settings.raw_days)
    parts.metrics.tally("clicks_ingested", "Clicks written.", lambda: ingester.ingested)
    shortening = Shortening(links)
    return Built(
        services={
            Links: links,
            Shortening: shortening,
            Reports: Reports(parts.db, parts.clock),
            Addressing: addressing,
            Previews: Previews(
                parts.cache,
                parts.clock,
                open_outbound(settings.preview_deadline_s),
                links.check_target,
                settings.preview_ttl_s,
            ),
        },
        door=LinksDoor(shortening, addressing),
        hosts=hosts,
        front=redirector,
        listeners=[Listener(LinkChanged.name, "links.refresh", Refresh(links))],
        crons=[CronKind("links.housekeeping", "10 0 * * *", housekeeping.run)],
        loops=[
            Loop("links.recorder", recorder.run),
            Loop("links.spool", recorder.retry_spooled),
            Loop("links.changes", resolver.listen),
            Loop("links.hosts", lambda: hosts.keep_fresh(_HOSTS_S)),
        ],
        worker_loops=[
            Loop("links.partitions", housekeeping.run_at_start),
            Loop("links.ingest", ingester.run),
        ],
        on_close=recorder.close,
    )


async def _hosts(parts: Parts) -> dict[str, Domain]:
    async with parts.db.read() as connection:
        return {domain.host: domain for domain in await link_store.all_domains(connection)}


async def _seed_domains(parts: Parts, addressing: Addressing, settings: LinksSettings) -> None:
    """Make sure that the hosts of this installation are there; safe to repeat."""
    default = addressing.default_host
    aliases = {"127.0.0.1": None, "localhost": "127.0.0.1"}
    hosts = aliases | {host: None for host in [default, *settings.hosts] if host not in aliases}
    async with parts.db.begin() as tx:
        for host, alias_of in hosts.items():
            name = urlsplit(f"//{host}").hostname or host
            await link_store.add_domain(tx, DomainId(ids.fresh()), name, alias_of)


async def _salt(parts: Parts, day: date) -> bytes:
    """The salt of a day; while Postgres is away one from the secret, so that no click is lost."""
    try:
        async with parts.db.begin() as tx:
            return await click_store.salt(tx, day, secrets.token_bytes(32))
    except PosthouseError:
        return derive_key(parts.secret, f"visitors:{day}")


def _count(parts: Parts, redirector: Redirector) -> None:
    tally = parts.metrics.tally
    tally("redirects", "Follows that were led on.", lambda: redirector.followed)
    tally("redirect_misses", "Codes asked of Postgres.", lambda: redirector.resolver.misses)
    tally("clicks_recorded", "Clicks sent or spooled.", lambda: redirector.recorder.recorded)
    tally("clicks_dropped", "Clicks that had no room.", lambda: redirector.recorder.dropped)


def _rates(settings: LinksSettings) -> list[Rate]:
    per_minute = settings.preview_per_minute
    return [
        Rate("shorten", settings.shorten_per_s, settings.shorten_burst),
        Rate("preview", per_minute / 60, per_minute),
    ]


SLICE = Slice(
    name="links",
    build=build,
    routes=(routes,),
    rates=_rates,
    events=(LinkMade, LinkChanged),
    commands="posthouse.links.commands",
)
