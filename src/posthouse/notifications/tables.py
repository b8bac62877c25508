"""The tables of notifications: the schema, for Alembic only."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from posthouse.kernel.tables import NOW, TIME, made_at, metadata

_CHANNELS = "channel IN ('email', 'sms', 'push')"
_STATES = (
    "'held', 'queued', 'leased', 'sending', 'sent', 'in_doubt', 'retry_wait', 'delivered', "
    "'bounced', 'failed', 'dead', 'expired', 'suppressed', 'skipped', 'cancelled'"
)


def _workspace(*, is_key: bool = False) -> Column[object]:
    owner = ForeignKey("workspaces.id")
    return Column("workspace_id", Uuid, owner, nullable=False, primary_key=is_key)


def _version() -> Column[object]:
    return Column("version", Integer, nullable=False, server_default=text("1"))


def _changed_at() -> Column[object]:
    return Column("updated_at", TIME, nullable=False, server_default=NOW)


def _recipient(**options: object) -> Column[object]:
    owner = ForeignKey("recipients.id", ondelete="CASCADE")
    return Column("recipient_id", Uuid, owner, **options)  # type: ignore[arg-type]


# `consent` grows with every change that may forbid a message: of preferences, addresses, quiet
# hours. A delivery goes out only if it is what the decision was made on.
recipients = Table(
    "recipients",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("external_id", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("locale", Text),
    Column("timezone", Text),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("is_stopped", Boolean, nullable=False, server_default=text("false")),
    Column("quiet_from", Time),
    Column("quiet_until", Time),
    Column("consent", Integer, nullable=False, server_default=text("1")),
    _version(),
    made_at(),
    _changed_at(),
    CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet"),
    UniqueConstraint("workspace_id", "external_id", name="uq_recipients_external_id"),
    Index(None, "workspace_id", "id"),
)

# `token` is an FCM token, or a Web Push subscription as JSON.
devices = Table(
    "devices",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    _recipient(nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("token_digest", LargeBinary, nullable=False),
    Column("name", Text),
    made_at(),
    CheckConstraint("kind IN ('fcm', 'webpush')", name="kind"),
    UniqueConstraint("workspace_id", "token_digest", name="uq_devices_token_digest"),
)

topics = Table(
    "topics",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    made_at(),
    UniqueConstraint("workspace_id", "key", name="uq_topics_key"),
)

topic_members = Table(
    "topic_members",
    metadata,
    Column("topic_id", Uuid, ForeignKey("topics.id", ondelete="CASCADE"), primary_key=True),
    _recipient(primary_key=True, index=True),
    _workspace(),
    made_at(),
)

# `doubts` says for each channel what becomes of a message in doubt, where it is not the usual.
categories = Table(
    "categories",
    metadata,
    _workspace(is_key=True),
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("is_critical", Boolean, nullable=False, server_default=text("false")),
    Column("doubts", JSONB, nullable=False, server_default=text("'{}'")),
    _version(),
    made_at(),
)

# One choice of a recipient; channel '' is all of them. No row: on.
preferences = Table(
    "preferences",
    metadata,
    _recipient(primary_key=True),
    Column("category", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    _workspace(),
    Column("is_on", Boolean, nullable=False),
    _changed_at(),
    CheckConstraint(f"channel = '' OR {_CHANNELS}", name="channel"),
)

# Addresses that are not written to any more; category '' is all of them.
suppressions = Table(
    "suppressions",
    metadata,
    _workspace(is_key=True),
    Column("channel", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    made_at(),
    CheckConstraint(_CHANNELS, name="channel"),
    CheckConstraint(
        "reason IN ('bounced', 'complained', 'unsubscribed', 'opted-out', 'manual')", name="reason"
    ),
)

# `draft` is what the next version will be; `content` of a version is frozen with its layout in it,
# and `compiled` is what sending works with.
templates = Table(
    "templates",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("draft", JSONB, nullable=False),
    Column("published", Integer),
    _version(),
    made_at(),
    _changed_at(),
    UniqueConstraint("workspace_id", "key", name="uq_templates_key"),
    Index(None, "workspace_id", "id"),
)

template_versions = Table(
    "template_versions",
    metadata,
    Column("template_id", Uuid, ForeignKey("templates.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _workspace(),
    Column("content", JSONB, nullable=False),
    Column("compiled", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    made_at(),
)

layouts = Table(
    "layouts",
    metadata,
    _workspace(is_key=True),
    Column("key", Text, primary_key=True),
    Column("source", JSONB, nullable=False),
    _version(),
    made_at(),
    _changed_at(),
)

# A provider that refuses our credentials is paused until somebody has looked at it.
providers = Table(
    "providers",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("secret_names", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("at_once", SmallInteger, nullable=False, server_default=text("10")),
    Column("rate_per_s", Float),
    Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
    Column("paused_at", TIME),
    Column("paused_reason", Text),
    _version(),
    made_at(),
    _changed_at(),
    CheckConstraint(_CHANNELS, name="channel"),
    UniqueConstraint("workspace_id", "name", name="uq_providers_name"),
    Index(None, "workspace_id", "channel"),
)

# What was asked for. With `local_send_at` each recipient's own clock counts. `status` is written
# when nothing of it is open any more; before that it is read off the deliveries.
notifications = Table(
    "notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("template_id", Uuid, ForeignKey("templates.id", ondelete="SET NULL")),
    Column("template_version", Integer),
    Column("content", JSONB),
    Column("channels", ARRAY(Text)),
    Column("data", JSONB, nullable=False, server_default=text("'{}'")),
    Column("links", JSONB, nullable=False, server_default=text("'{}'")),
    Column("attachments", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("category", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("send_at", TIME),
    Column("local_send_at", Text),
    Column("expires_at", TIME),
    Column("topic_id", Uuid),
    Column("fan_out", Text, nullable=False, server_default="done"),
    Column("task_id", Uuid),
    Column("cancelled_at", TIME),
    Column("ended_at", TIME),
    Column("status", Text),
    Column("trace_id", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    made_at(),
    CheckConstraint("fan_out IN ('waiting', 'done', 'failed')", name="fan_out"),
    CheckConstraint("(status IS NULL) = (ended_at IS NULL)", name="status"),
    Index(None, "workspace_id", "id"),
    Index("ix_notifications_created_at", "created_at"),
    Index("ix_notifications_open", "id", postgresql_where=text("ended_at IS NULL")),
)

# One message to one address. Its id is made of the notification, the channel and whom it goes to,
# so fanning out twice makes none twice, and a provider is given the same key for each attempt.
# Each row is written five times on its way, so it has one foreign key; the others are kept by the
# statements that erase.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column(
        "notification_id", Uuid, ForeignKey("notifications.id", ondelete="CASCADE"), nullable=False
    ),
    Column("recipient_id", Uuid),
    Column("device_id", Uuid),
    Column("channel", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("address", Text),
    Column("locale", Text),
    Column("timezone", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("priority", SmallInteger, nullable=False),
    Column("ready_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("started_at", TIME),
    Column("lease_until", TIME),
    Column("token", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("doubts", SmallInteger, nullable=False, server_default=text("0")),
    _version(),
    Column("provider_id", Uuid),
    Column("reference", Text),
    Column("rank", SmallInteger, nullable=False, server_default=text("0")),
    made_at(),
    _changed_at(),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint(_CHANNELS, name="channel"),
    Index(
        "ix_deliveries_queued",
        "channel",
        "workspace_id",
        text("priority DESC"),
        "ready_at",
        "id",
        postgresql_where=text("state = 'queued'"),
    ),
    Index(
        "ix_deliveries_waiting",
        "ready_at",
        postgresql_where=text("state IN ('held', 'retry_wait', 'in_doubt')"),
    ),
    Index("ix_deliveries_leased", "channel", postgresql_where=text("state = 'leased'")),
    Index(
        "ix_deliveries_sending",
        "recipient_id",
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_deliveries_expiring",
        "expires_at",
        postgresql_where=text(
            "expires_at IS NOT NULL AND state IN ('held', 'queued', 'retry_wait')"
        ),
    ),
    Index("ix_deliveries_notification_id", "notification_id", "state"),
    Index(
        "ix_deliveries_recipient_id",
        "recipient_id",
        postgresql_where=text("recipient_id IS NOT NULL"),
    ),
    Index(
        "ix_deliveries_reference",
        "provider_id",
        "reference",
        postgresql_where=text("reference IS NOT NULL"),
    ),
    Index(
        "ix_deliveries_trouble",
        "workspace_id",
        "id",
        postgresql_where=text("state IN ('dead', 'failed', 'in_doubt', 'bounced')"),
    ),
)

# Written before the provider is called; without an outcome it is under way, or its worker died.
attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("workspace_id", Uuid, nullable=False),
    Column("provider_id", Uuid, nullable=False),
    Column("started_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("ended_at", TIME),
    Column("outcome", Text),
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    CheckConstraint(
        "outcome IN ('accepted', 'permanent', 'transient', 'throttled', 'config', 'unknown')",
        name="outcome",
    ),
)

# What providers told. One whose reference nobody knows yet has no delivery and waits for a day.
receipts = Table(
    "receipts",
    metadata,
    Column("provider_id", Uuid, ForeignKey("providers.id", ondelete="CASCADE"), primary_key=True),
    Column("event", Text, primary_key=True),
    _workspace(),
    Column("reference", Text, nullable=False),
    Column("delivery_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("told_at", TIME),
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("is_address_bad", Boolean, nullable=False, server_default=text("false")),
    made_at(),
    Index("ix_receipts_delivery_id", "delivery_id"),
    Index("ix_receipts_parked", "created_at", postgresql_where=text("delivery_id IS NULL")),
)

# Text messages of a day: prefix '' counts all of the workspace's.
sms_usage = Table(
    "sms_usage",
    metadata,
    _workspace(is_key=True),
    Column("day", Date, primary_key=True),
    Column("prefix", Text, primary_key=True),
    Column("messages", BigInteger, nullable=False),
)
