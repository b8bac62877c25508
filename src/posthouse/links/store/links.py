"""The statements about links and domains."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any
from uuid import UUID

from posthouse.kernel import search
from posthouse.kernel.db import Row, Tx
from posthouse.kernel.pagination import Keyset
from posthouse.links.model import (
    Domain,
    DomainId,
    Filter,
    Link,
    LinkId,
    LinkState,
    NewLink,
    PlainLink,
)
from posthouse.links.routes import Route
from posthouse.links.targets import with_utm

_COLUMNS = """
  l.id, l.workspace_id, l.domain_id, l.code, l.url, l.title, l.notes, l.tags, l.utm,
  l.redirect_status, l.forwards_query, l.forwards_path, l.valid_from, l.valid_until, l.max_clicks,
  l.used, l.password_hash IS NOT NULL AS has_password, l.state, l.version, l.created_at,
  l.updated_at
"""
_INSERT = f"""
WITH l AS (
  INSERT INTO links (id, workspace_id, domain_id, code, url, title, notes, tags, utm,
    redirect_status, forwards_query, forwards_path, valid_from, valid_until, max_clicks,
    password_hash, created_by)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
  ON CONFLICT (domain_id, code) DO NOTHING
  RETURNING *
)
SELECT {_COLUMNS}, d.host, l.tx::text AS tx FROM l JOIN domains d ON d.id = l.domain_id
"""
_INSERT_PLAIN = f"""
WITH l AS (
  INSERT INTO links (id, workspace_id, domain_id, code, url, created_by)
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[])
  ON CONFLICT (domain_id, code) DO NOTHING
  RETURNING *
)
SELECT {_COLUMNS}, d.host, l.tx::text AS tx FROM l JOIN domains d ON d.id = l.domain_id
"""
_FIND = f"""
SELECT {_COLUMNS}, d.host, l.tx::text AS tx
FROM links l JOIN domains d ON d.id = l.domain_id
WHERE l.workspace_id = $1 AND l.id = $2
"""
_UPDATE = f"""
WITH l AS (
  UPDATE links SET url = $4, title = $5, notes = $6, tags = $7, utm = $8, redirect_status = $9,
    forwards_query = $10, forwards_path = $11, valid_from = $12, valid_until = $13,
    max_clicks = $14, password_hash = CASE WHEN $15 THEN $16 ELSE password_hash END,
    state = $17, version = version + 1, updated_at = now()
  WHERE workspace_id = $1 AND id = $2 AND version = $3
  RETURNING *
)
SELECT {_COLUMNS}, d.host, l.tx::text AS tx FROM l JOIN domains d ON d.id = l.domain_id
"""
_FILTERS = """
  l.workspace_id = $1
  AND ($2::text IS NULL OR l.search LIKE $2 ESCAPE '\\')
  AND ($3::text[] IS NULL OR l.tags @> $3)
  AND (($4::text IS NULL AND l.state <> 'deleted') OR l.state = $4)
"""
_NEWEST = f"""
SELECT {_COLUMNS}, d.host, l.tx::text AS tx
FROM links l JOIN domains d ON d.id = l.domain_id
WHERE {_FILTERS} AND ($5::uuid IS NULL OR l.id < $5)
ORDER BY l.id DESC LIMIT $6
"""
_OLDEST = f"""
SELECT {_COLUMNS}, d.host, l.tx::text AS tx
FROM links l JOIN domains d ON d.id = l.domain_id
WHERE {_FILTERS}
  AND l.tx < pg_snapshot_xmin(pg_current_snapshot())
  AND ($5::xid8 IS NULL OR (l.tx, l.id) > ($5, $6))
ORDER BY l.tx, l.id LIMIT $7
"""
_NAME = "coalesce(nullif(title, ''), code)"
_BY_WORDS = search.by_words("links", "uuid", _NAME)
_BY_LIKENESS = search.by_likeness("links", "uuid", _NAME)
_PLAN_EACH_TIME = "SET LOCAL plan_cache_mode = force_custom_plan"
_ROUTE_COLUMNS = """
  l.id, l.workspace_id, l.code, l.domain_id, l.version, l.state, l.url, l.utm, l.redirect_status,
  l.forwards_query, l.forwards_path, l.valid_from, l.valid_until, l.max_clicks,
  l.password_hash IS NOT NULL AS has_password
"""
_ROUTES = f"""
SELECT {_ROUTE_COLUMNS} FROM unnest($1::uuid[], $2::text[]) AS asked (domain_id, code)
JOIN links l ON l.domain_id = asked.domain_id AND l.code = asked.code
"""
_ROUTE_BY_ID = f"SELECT {_ROUTE_COLUMNS} FROM links l WHERE l.id = $1"
_SPEND = """
UPDATE links SET used = used + 1 WHERE id = $1 AND state = 'active' AND used < max_clicks
"""
_PASSWORD_HASH = "SELECT password_hash FROM links WHERE id = $1"  # noqa: S105  a statement
_DOMAINS = "SELECT coalesce(alias_of, id) AS id, host, workspace_id FROM domains"
_DOMAIN = """
SELECT coalesce(a.id, d.id) AS id, coalesce(a.host, d.host) AS host, d.workspace_id
FROM domains d LEFT JOIN domains a ON a.id = d.alias_of
WHERE d.host = $2 AND (d.workspace_id IS NULL OR d.workspace_id = $1)
"""
_ADD_DOMAIN = """
INSERT INTO domains (id, host, alias_of, verified_at)
VALUES ($1, $2, (SELECT id FROM domains WHERE host = $3), now())
ON CONFLICT (host) DO NOTHING
"""


def _link(row: Row) -> Link:
    fields: dict[str, Any] = dict(row)
    del fields["tx"]
    tags, state = tuple(fields.pop("tags")), LinkState(fields.pop("state"))
    return Link(**fields, tags=tags, state=state)


def _route(row: Row) -> Route:
    utm: dict[str, str] = row["utm"]
    return Route(
        link_id=row["id"].bytes,
        workspace_id=row["workspace_id"].bytes,
        version=row["version"],
        state=row["state"],
        location=with_utm(row["url"], utm),
        status=row["redirect_status"],
        forwards_query=row["forwards_query"],
        forwards_path=row["forwards_path"],
        valid_from=row["valid_from"].timestamp() if row["valid_from"] else None,
        valid_until=row["valid_until"].timestamp() if row["valid_until"] else None,
        is_counted=row["max_clicks"] is not None,
        has_password=row["has_password"],
        campaign=utm.get("campaign", ""),
    )


async def insert(  # noqa: PLR0913  a row is its columns
    tx: Tx,
    link_id: LinkId,
    workspace_id: UUID,
    domain_id: DomainId,
    code: str,
    new: NewLink,
    *,
    password_hash: str | None,
    created_by: str,
) -> Link | None:
    """Add a link; None if the code is taken."""
    row = await tx.fetchrow(
        _INSERT,
        link_id,
        workspace_id,
        domain_id,
        code,
        *_chosen(new),
        password_hash,
        created_by,
    )
    return _link(row) if row else None


async def insert_plain(tx: Tx, wanted: Sequence[PlainLink]) -> dict[LinkId, Link]:
    """Add links, but for those whose code is taken; give the added ones by id."""
    columns = zip(*(astuple(one) for one in wanted), strict=True)
    rows = await tx.fetch(_INSERT_PLAIN, *(list(column) for column in columns))
    return {row["id"]: _link(row) for row in rows}


def _chosen(new: NewLink) -> tuple[Any, ...]:
    return (
        new.url,
        new.title,
        new.notes,
        list(new.tags),
        dict(new.utm or {}),
        new.redirect_status,
        new.forwards_query,
        new.forwards_path,
        new.valid_from,
        new.valid_until,
        new.max_clicks,
    )


async def find(tx: Tx, workspace_id: UUID, link_id: LinkId) -> Link | None:
    """Find a link, deleted ones too."""
    row = await tx.fetchrow(_FIND, workspace_id, link_id)
    return _link(row) if row else None


async def update(
    tx: Tx,
    link: Link,
    new: NewLink,
    *,
    state: LinkState,
    password_hash: str | None,
    sets_password: bool,
) -> Link | None:
    """Replace what may be changed, unless the version is another by now; None then."""
    row = await tx.fetchrow(
        _UPDATE,
        link.workspace_id,
        link.id,
        link.version,
        *_chosen(new),
        sets_password,
        password_hash,
        state,
    )
    return _link(row) if row else None


async def page_newest(
    tx: Tx, workspace_id: UUID, wanted: Filter, keyset: Keyset
) -> list[tuple[Link, str]]:
    """Read links from the newest on, one more than the page holds; each with its transaction."""
    after = UUID(str(keyset.after[1])) if keyset.after else None
    await tx.execute(_PLAN_EACH_TIME)
    rows = await tx.fetch(_NEWEST, *_arguments(workspace_id, wanted), after, keyset.limit + 1)
    return [(_link(row), row["tx"]) for row in rows]


async def page_oldest(
    tx: Tx, workspace_id: UUID, wanted: Filter, keyset: Keyset
) -> list[tuple[Link, str]]:
    """Read links from the oldest on, without the commit-order hole; see `kernel.pagination`."""
    after_tx, after_id = keyset.after if keyset.after else (None, None)
    await tx.execute(_PLAN_EACH_TIME)
    rows = await tx.fetch(
        _OLDEST,
        *_arguments(workspace_id, wanted),
        None if after_tx is None else int(after_tx),
        None if after_id is None else UUID(str(after_id)),
        keyset.limit + 1,
    )
    return [(_link(row), row["tx"]) for row in rows]


async def find_hits(tx: Tx, workspace_id: UUID, wanted: search.Wanted) -> Sequence[search.Hit]:
    """Search titles, codes and targets."""
    statements = search.Statements(_BY_WORDS, _BY_LIKENESS)
    return await search.find(tx, statements, workspace_id, wanted)


def _arguments(workspace_id: UUID, wanted: Filter) -> tuple[Any, ...]:
    tags = None if wanted.tags is None else list(wanted.tags)
    return workspace_id, wanted.pattern, tags, wanted.state


async def find_routes(tx: Tx, keys: Sequence[tuple[str, str]]) -> list[Route | None]:
    """Find what following each (domain, code) means, in any workspace: codes are public."""
    rows = await tx.fetch(_ROUTES, [key[0] for key in keys], [key[1] for key in keys])
    found = {(str(row["domain_id"]), row["code"]): _route(row) for row in rows}
    return [found.get(key) for key in keys]


async def find_route_by_id(tx: Tx, link_id: UUID) -> tuple[UUID, str, Route] | None:
    """Find domain, code and route of a link, in any workspace."""
    row = await tx.fetchrow(_ROUTE_BY_ID, link_id)
    return (row["domain_id"], row["code"], _route(row)) if row else None


async def spend(tx: Tx, link_id: UUID) -> bool:
    """Use up one click of a link with a limit; False if none was left."""
    return await tx.execute(_SPEND, link_id) == "UPDATE 1"


async def password_hash(tx: Tx, link_id: UUID) -> str | None:
    """Read the hash of a link's password."""
    return await tx.fetchval(_PASSWORD_HASH, link_id)


async def all_domains(tx: Tx) -> Sequence[Domain]:
    """Read all domains of all workspaces; an alias bears the id of the domain it stands for."""
    return [Domain(**dict(row)) for row in await tx.fetch(_DOMAINS)]


async def find_domain(tx: Tx, workspace_id: UUID, host: str) -> Domain | None:
    """Find a domain that a workspace may use."""
    row = await tx.fetchrow(_DOMAIN, workspace_id, host)
    return Domain(**dict(row)) if row else None


async def add_domain(tx: Tx, domain_id: DomainId, host: str, alias_of: str | None) -> None:
    """Add a domain that all workspaces share, unless it is there."""
    await tx.execute(_ADD_DOMAIN, domain_id, host, alias_of)
