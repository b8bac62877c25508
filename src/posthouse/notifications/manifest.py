"""What notifications plug into the application."""

from pathlib import Path

from posthouse.files.public import FilesDoor
from posthouse.kernel.jobs import CronKind
from posthouse.kernel.leases import Leases, LeaseStates
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.outbound import Outbound, OutboundLimits
from posthouse.kernel.ratelimit import Rate
from posthouse.kernel.signing import Signer
from posthouse.kernel.supervise import Loop
from posthouse.kernel.work import WorkKind
from posthouse.links.public import LinksDoor
from posthouse.notifications.api import (
    callbacks,
    consentpages,
    consents,
    recipients,
    templates,
    topics,
)
from posthouse.notifications.api import providers as providers_api
from posthouse.notifications.api import sending as sending_api
from posthouse.notifications.attaching import Attaching
from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.channels.protocol import Surroundings
from posthouse.notifications.composing import Templates
from posthouse.notifications.consenting import Consents
from posthouse.notifications.consentlinks import ConsentLinks
from posthouse.notifications.explaining import Explaining
from posthouse.notifications.fanningout import FanningOut, FanOutInput
from posthouse.notifications.importing import RecipientImport
from posthouse.notifications.lanes import Ledger
from posthouse.notifications.model import WRITE, NotificationEnded
from posthouse.notifications.people import Devices, Recipients, Topics
from posthouse.notifications.planning import Planning
from posthouse.notifications.preparing import Preparing
from posthouse.notifications.providing import Providers
from posthouse.notifications.public import NotificationsDoor
from posthouse.notifications.receiving import Receiving
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.schemas.recipients import RecipientRow
from posthouse.notifications.sending import Sender
from posthouse.notifications.service import FAN_OUT, Notifications
from posthouse.notifications.settings import NotificationsSettings
from posthouse.notifications.store.outgoing import CLAIMED
from posthouse.notifications.switchboard import Switchboard
from posthouse.notifications.vault import Vault
from posthouse.tasks.public import ImportKind, TasksDoor

STATES = LeaseStates(waiting=("retry_wait", "held"), ready="queued", running="leased")
_FAN_OUT_S = 3600.0


async def build(parts: Parts, doors: Doors) -> Built:
    """Give notifications their collaborators."""
    settings: NotificationsSettings = parts.settings
    leases = Leases(
        "deliveries", "channel", settings.lease_s, settings.max_attempts, STATES, CLAIMED
    )
    files = doors.get(FilesDoor)
    composing = Templates(parts.db, parts.sandbox)
    planning = Planning(parts.clock, composing, files, settings)
    links = ConsentLinks(Signer.for_purpose(parts.secret, "consent"), parts.public_url.rstrip("/"))
    notifications = Notifications(
        parts.db,
        parts.clock,
        leases,
        planning,
        doors.get(TasksDoor),
        doors.get(LinksDoor),
        settings,
    )
    providers = Providers(
        parts.db,
        Vault.of(parts.secret),
        Surroundings(
            parts.clock, Path(parts.data_dir), Hosts(settings.private_providers), _strangers()
        ),
        parts.public_url,
    )
    consenting = Consents(parts.db)
    sender = _sender(parts, leases, composing, links, files, providers)
    fanning = FanningOut(parts.db, leases, notifications, sender.preparing)
    parts.metrics.tally(
        "messages_sent",
        "Messages that providers were handed here.",
        lambda: sender.handed_over,
    )
    return Built(
        services={
            Notifications: notifications,
            Explaining: Explaining(parts.db, parts.clock, planning, Renderer()),
            Recipients: Recipients(parts.db),
            Devices: Devices(parts.db),
            Topics: Topics(parts.db),
            Consents: consenting,
            Templates: composing,
            ConsentLinks: links,
            Providers: providers,
            Receiving: Receiving(parts.db, providers),
            consentpages.ConsentPages: consentpages.ConsentPages(consenting, links),
        },
        door=NotificationsDoor(notifications, consenting),
        crons=[
            CronKind("notifications.end", "* * * * *", sender.end_left),
            CronKind("notifications.forget", "50 * * * *", sender.forget),
        ],
        work=[
            WorkKind(
                FAN_OUT,
                FanOutInput,
                fanning.run,
                "Send a notification to all who follow a topic.",
                timeout_s=_FAN_OUT_S,
                mourn=fanning.mourn,
            ),
            doors.get(TasksDoor).importing(
                ImportKind(
                    recipients.IMPORT,
                    RecipientRow,
                    RecipientImport().write,
                    "Import recipients from a file.",
                    WRITE,
                )
            ),
        ],
        worker_loops=[
            Loop("notifications.send", sender.run),
            Loop("notifications.listen", sender.listen),
            Loop("notifications.keep", sender.keep),
            Loop("notifications.tend", sender.tend),
            Loop("notifications.end", sender.end),
        ],
        drain=sender.drain,
    )


def _sender(
    parts: Parts,
    leases: Leases,
    composing: Templates,
    links: ConsentLinks,
    files: FilesDoor,
    providers: Providers,
) -> Sender:
    """The sender and its parts: the ledger tells it of ends, the lanes of room."""
    settings: NotificationsSettings = parts.settings
    ledger = Ledger(parts.db, settings)
    board = Switchboard(
        parts.db,
        parts.clock,
        parts.limiter,
        settings,
        ledger,
        Attaching(files),
        providers.opened,
    )
    preparing = Preparing(parts.db, board, composing, links)
    sender = Sender(parts.db, leases, board, preparing, settings)
    ledger.touched = sender.touch
    board.freed, board.wants = sender.free, sender.want
    return sender


def _rates(settings: NotificationsSettings) -> list[Rate]:
    del settings
    # Mail services click for many of their users from a few addresses, and so do providers call.
    return [Rate(consentpages.RATE, 50, 200), Rate(callbacks.RATE, 500, 2000)]


def _strangers() -> Outbound:
    """Calls what recipients chose: of what it answers only the begin is read."""
    return Outbound(OutboundLimits(deadline_s=10.0, ports=frozenset({443}), cuts_body=True))


SLICE = Slice(
    name="notifications",
    build=build,
    routes=(
        providers_api.routes,
        sending_api.routes,
        recipients.routes,
        topics.routes,
        consents.routes,
        templates.routes,
    ),
    bare_routes=(consentpages.routes, callbacks.routes),
    rates=_rates,
    sandboxed=("posthouse.notifications.schemas.recipients", "posthouse.notifications.drafts"),
    events=(NotificationEnded,),
    commands="posthouse.notifications.commands",
)
