"""Notifications: recipients, templates, providers, and each message on its way."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

# The turn of a worker's slots: notes that providers took messages, and marks the next ones as going
# out if nothing that the decision to send them was made on has changed. The lock is shared by
# those who mark, and taken alone by those who change what may be sent: when they have it, no
# message is being marked by what was true before. It has to be held before the statement that
# marks looks, which is why this is a function; both halves are in it as one trip and one commit
# cost less than two. Its plan is kept for a connection's life and may be made while the tables are
# empty, so it is told to look rows up by their keys: no scans, and no index on a state.
_TURN = """
CREATE FUNCTION turn_deliveries(
  sent_ids uuid[], sent_tokens int[], sent_references text[],
  ids uuid[], tokens int[], consents int[], addresses text[], provider_ids uuid[], lease_s float8
) RETURNS TABLE (marked_id uuid, ended_id uuid) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('consent of notifications', 0));
  RETURN QUERY WITH told AS (
    SELECT * FROM unnest(sent_ids, sent_tokens, sent_references) AS t (id, token, reference)
  ), noted AS (
    UPDATE attempts a SET ended_at = clock_timestamp(), outcome = 'accepted'
    FROM told
    WHERE a.delivery_id = told.id AND a.number = told.token
      AND (a.ended_at IS NULL OR a.code = 'worker-lost')
  ), ended AS (
    UPDATE deliveries d
    SET state = 'sent', reference = told.reference, rank = greatest(d.rank, 1),
        lease_until = NULL, version = d.version + 1, updated_at = clock_timestamp()
    FROM told WHERE d.id = told.id AND d.token = told.token AND d.state || '' = 'sending'
    RETURNING d.notification_id
  )
  SELECT DISTINCT NULL::uuid, ended.notification_id FROM ended;
  RETURN QUERY WITH held AS (
    SELECT * FROM unnest(ids, tokens, consents, addresses, provider_ids)
      AS h (id, token, consent, address, provider_id)
  ), started AS (
    UPDATE deliveries d
    SET state = 'sending', provider_id = held.provider_id, address = held.address, reason = '',
        detail = '', lease_until = clock_timestamp() + make_interval(secs => lease_s),
        version = d.version + 1, updated_at = clock_timestamp()
    FROM held
    WHERE d.id = held.id AND d.token = held.token AND d.state || '' = 'leased'
      AND (d.expires_at IS NULL OR d.expires_at > clock_timestamp())
      AND held.consent IS NOT DISTINCT FROM (
        SELECT r.consent FROM recipients r WHERE r.id = d.recipient_id)
      AND NOT EXISTS (
        SELECT FROM notifications n
        WHERE n.id = d.notification_id AND n.cancelled_at IS NOT NULL)
      AND NOT EXISTS (
        SELECT FROM suppressions s
        WHERE s.workspace_id = d.workspace_id AND s.channel = d.channel
          AND s.address = CASE d.channel WHEN 'email' THEN lower(held.address)
            ELSE held.address END
          AND s.category IN ('', d.category))
    RETURNING d.id, d.token, d.workspace_id, d.provider_id
  )
  INSERT INTO attempts (delivery_id, number, workspace_id, provider_id)
  SELECT started.id, started.token, started.workspace_id, started.provider_id FROM started
  RETURNING delivery_id, NULL::uuid;
END $$
"""


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'permanent', 'transient', 'throttled', 'config', 'unknown')",
            name=op.f("ck_attempts_outcome"),
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "categories",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_critical", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("doubts", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_categories_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "key", name=op.f("pk_categories")),
    )
    op.create_table(
        "layouts",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("source", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_layouts_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "key", name=op.f("pk_layouts")),
    )
    op.create_table(
        "providers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column(
            "secret_names",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at_once", sa.SmallInteger(), server_default=sa.text("10"), nullable=False),
        sa.Column("rate_per_s", sa.Float(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("paused_at", _TIME, nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'push')", name=op.f("ck_providers_channel")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_providers_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
        sa.UniqueConstraint("workspace_id", "name", name="uq_providers_name"),
    )
    op.create_index(
        op.f("ix_providers_workspace_id_channel"),
        "providers",
        ["workspace_id", "channel"],
        unique=False,
    )
    op.create_table(
        "recipients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_stopped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("quiet_from", sa.Time(), nullable=True),
        sa.Column("quiet_until", sa.Time(), nullable=True),
        sa.Column("consent", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_until IS NULL)", name=op.f("ck_recipients_quiet")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_recipients_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipients")),
        sa.UniqueConstraint("workspace_id", "external_id", name="uq_recipients_external_id"),
    )
    op.create_index(
        op.f("ix_recipients_workspace_id_id"), "recipients", ["workspace_id", "id"], unique=False
    )
    op.create_table(
        "sms_usage",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sms_usage_workspace_id")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "day", "prefix", name=op.f("pk_sms_usage")),
    )
    op.create_table(
        "suppressions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'push')", name=op.f("ck_suppressions_channel")
        ),
        sa.CheckConstraint(
            "reason IN ('bounced', 'complained', 'unsubscribed', 'opted-out', 'manual')",
            name=op.f("ck_suppressions_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_suppressions_workspace_id")
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "channel", "address", "category", name=op.f("pk_suppressions")
        ),
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("draft", postgresql.JSONB(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_templates_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
        sa.UniqueConstraint("workspace_id", "key", name="uq_templates_key"),
    )
    op.create_index(
        op.f("ix_templates_workspace_id_id"), "templates", ["workspace_id", "id"], unique=False
    )
    op.create_table(
        "topics",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_topics_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topics")),
        sa.UniqueConstraint("workspace_id", "key", name="uq_topics_key"),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint("kind IN ('fcm', 'webpush')", name=op.f("ck_devices_kind")),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipients.id"],
            name=op.f("fk_devices_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_devices_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("workspace_id", "token_digest", name="uq_devices_token_digest"),
    )
    op.create_index(op.f("ix_devices_recipient_id"), "devices", ["recipient_id"], unique=False)
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=True),
        sa.Column("content", postgresql.JSONB(), nullable=True),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("links", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "attachments",
            postgresql.ARRAY(sa.Uuid()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("send_at", _TIME, nullable=True),
        sa.Column("local_send_at", sa.Text(), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("topic_id", sa.Uuid(), nullable=True),
        sa.Column("fan_out", sa.Text(), server_default="done", nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("cancelled_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "fan_out IN ('waiting', 'done', 'failed')", name=op.f("ck_notifications_fan_out")
        ),
        sa.CheckConstraint(
            "(status IS NULL) = (ended_at IS NULL)", name=op.f("ck_notifications_status")
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["templates.id"],
            name=op.f("fk_notifications_template_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_notifications_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )
    op.create_index("ix_notifications_created_at", "notifications", ["created_at"], unique=False)
    op.create_index(
        "ix_notifications_open",
        "notifications",
        ["id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        op.f("ix_notifications_workspace_id_id"),
        "notifications",
        ["workspace_id", "id"],
        unique=False,
    )
    op.create_table(
        "preferences",
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "channel = '' OR channel IN ('email', 'sms', 'push')",
            name=op.f("ck_preferences_channel"),
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipients.id"],
            name=op.f("fk_preferences_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_preferences_workspace_id")
        ),
        sa.PrimaryKeyConstraint("recipient_id", "category", "channel", name=op.f("pk_preferences")),
    )
    op.create_table(
        "receipts",
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("told_at", _TIME, nullable=True),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("is_address_bad", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["providers.id"],
            name=op.f("fk_receipts_provider_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_receipts_workspace_id")
        ),
        sa.PrimaryKeyConstraint("provider_id", "event", name=op.f("pk_receipts")),
    )
    op.create_index("ix_receipts_delivery_id", "receipts", ["delivery_id"], unique=False)
    op.create_index(
        "ix_receipts_parked",
        "receipts",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("delivery_id IS NULL"),
    )
    op.create_table(
        "template_versions",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("compiled", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["templates.id"],
            name=op.f("fk_template_versions_template_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_template_versions_workspace_id")
        ),
        sa.PrimaryKeyConstraint("template_id", "number", name=op.f("pk_template_versions")),
    )
    op.create_table(
        "topic_members",
        sa.Column("topic_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipients.id"],
            name=op.f("fk_topic_members_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["topic_id"], ["topics.id"], name=op.f("fk_topic_members_topic_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_topic_members_workspace_id")
        ),
        sa.PrimaryKeyConstraint("topic_id", "recipient_id", name=op.f("pk_topic_members")),
    )
    op.create_index(
        op.f("ix_topic_members_recipient_id"), "topic_members", ["recipient_id"], unique=False
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=True),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("ready_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("token", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("doubts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("rank", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'push')", name=op.f("ck_deliveries_channel")
        ),
        sa.CheckConstraint(
            "state IN ('held', 'queued', 'leased', 'sending', 'sent', 'in_doubt', 'retry_wait', 'delivered', 'bounced', 'failed', 'dead', 'expired', 'suppressed', 'skipped', 'cancelled')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_deliveries_notification_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_expiring",
        "deliveries",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text(
            "expires_at IS NOT NULL AND state IN ('held', 'queued', 'retry_wait')"
        ),
    )
    op.create_index(
        "ix_deliveries_leased",
        "deliveries",
        ["channel"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_deliveries_notification_id", "deliveries", ["notification_id", "state"], unique=False
    )
    op.create_index(
        "ix_deliveries_queued",
        "deliveries",
        ["channel", "workspace_id", sa.literal_column("priority DESC"), "ready_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_deliveries_recipient_id",
        "deliveries",
        ["recipient_id"],
        unique=False,
        postgresql_where=sa.text("recipient_id IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_reference",
        "deliveries",
        ["provider_id", "reference"],
        unique=False,
        postgresql_where=sa.text("reference IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_sending",
        "deliveries",
        ["recipient_id"],
        unique=False,
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "ix_deliveries_trouble",
        "deliveries",
        ["workspace_id", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('dead', 'failed', 'in_doubt', 'bounced')"),
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["ready_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('held', 'retry_wait', 'in_doubt')"),
    )
    op.create_table(
        "product_waits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "(recipient_id IS NULL) <> (email IS NULL)", name=op.f("ck_product_waits_whom")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_product_waits_product_id")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_product_waits_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_waits")),
        sa.UniqueConstraint(
            "product_id",
            "recipient_id",
            "email",
            name="uq_product_waits_whom",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.execute(_TURN)
