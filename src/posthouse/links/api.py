"""The JSON routes of links."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.moments import Moment
from posthouse.kernel.outbound import (
    OutboundFailedError,
    OutboundRefusedError,
    OutboundTimeoutError,
)
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.search import pattern
from posthouse.kernel.text import Str
from posthouse.links.addressing import Addressing
from posthouse.links.errors import (
    CodeTakenError,
    LinkNotFoundError,
    NoFreeCodeError,
    StatsRangeError,
    TargetRefusedError,
    UnknownDomainError,
)
from posthouse.links.model import (
    LINK,
    READ,
    WRITE,
    ClickClass,
    Facet,
    Filter,
    Interval,
    LinkId,
    LinkSort,
    LinkState,
    NewLink,
    Question,
)
from posthouse.links.previews import Previews
from posthouse.links.qr import QR_RESPONSE, QrFormat, draw_qr
from posthouse.links.reports import Reports, parse_facets
from posthouse.links.schemas import (
    ClickKind,
    LinkIn,
    LinkOut,
    LinkPatch,
    PreviewOut,
    ShortenIn,
    ShortLink,
    StatsOut,
    show,
    show_preview,
    show_report,
)
from posthouse.links.service import Links
from posthouse.links.shortening import Shortening

routes = Routes.of("links")

the_links = service(Links)
the_shortening = service(Shortening)
the_reports = service(Reports)
the_previews = service(Previews)
the_addressing = service(Addressing)

Caller = Annotated[Principal, Depends(current_principal)]
LinksDep = Annotated[Links, Depends(the_links)]
ShorteningDep = Annotated[Shortening, Depends(the_shortening)]
ReportsDep = Annotated[Reports, Depends(the_reports)]
PreviewsDep = Annotated[Previews, Depends(the_previews)]
AddressingDep = Annotated[Addressing, Depends(the_addressing)]
LinkPath = Annotated[str, Path(description="The id of a link, such as `lnk_01j…`.")]

_MAKING = (TargetRefusedError, NoFreeCodeError)


@routes.post(
    "/shorten", needs=WRITE, is_open=True, rate="shorten", raises=_MAKING, status=201,
    response_model=ShortLink, summary="Shorten a URL",
)  # fmt: skip
async def shorten(
    body: ShortenIn,
    request: Request,
    response: Response,
    shortening: ShorteningDep,
    where: AddressingDep,
) -> ShortLink:
    """Make a short link with a random code."""
    principal = await shortening.links.maker(request.state.principal)
    link = await shortening.shorten(principal, body.url, host=where.default_host)
    response.headers["Location"] = f"/api/v1/links/{LINK.show(link.id)}"
    return ShortLink(
        id=LINK.show(link.id), code=link.code, short_url=where.short_url(link), url=link.url
    )


@routes.post(
    "/links", needs=WRITE, raises=(*_MAKING, CodeTakenError, UnknownDomainError), status=201,
    response_model=LinkOut, summary="Make a link",
)  # fmt: skip
async def make(
    body: LinkIn, caller: Caller, response: Response, links: LinksDep, where: AddressingDep
) -> LinkOut:
    """Make a link with all that it can have."""
    chosen = body.model_dump(exclude={"code", "domain", "password", "utm", "tags"})
    link = await links.make(
        caller,
        NewLink(**chosen, tags=tuple(body.tags), utm=body.utm.given()),
        host=body.domain.lower() if body.domain else where.default_host,
        code=body.code,
        password=body.password,
    )
    response.headers["Location"] = f"/api/v1/links/{LINK.show(link.id)}"
    response.headers["ETag"] = etag(link.version)
    return show(link, where.short_url(link))


@routes.get("/links", needs=READ, response_model=Page[LinkOut], summary="List links")
async def list_links(
    caller: Caller,
    paging: PagingDep,
    links: LinksDep,
    where: AddressingDep,
    q: Annotated[str | None, Query(max_length=200, description="Part of code, title, URL.")] = None,
    tag: Annotated[list[str] | None, Query(max_length=10, description="All of these tags.")] = None,
    state: Annotated[LinkState | None, Query(description="Without it all but deleted.")] = None,
    sort: Annotated[
        LinkSort, Query(description="Newest first, or oldest first.")
    ] = LinkSort.NEWEST,
) -> Page[LinkOut]:
    """List the workspace's links, newest first unless `sort` says otherwise."""
    wanted = Filter(
        pattern=pattern(q) if q else None, tags=tuple(tag) if tag else None, state=state
    )
    rows = await links.page(caller, wanted, sort, paging.keyset)
    return paging.page(
        rows,
        key=lambda row: (row[1], str(row[0].id)),
        show=lambda row: show(row[0], where.short_url(row[0])),
    )


# In front of /links/{link_id}, or "preview" would be read as an id.
@routes.get(
    "/links/preview", needs=READ, rate="preview", response_model=PreviewOut,
    raises=(TargetRefusedError, OutboundRefusedError, OutboundFailedError, OutboundTimeoutError),
    summary="Preview a page",
)  # fmt: skip
async def preview(
    previews: PreviewsDep,
    url: Annotated[
        Str, Query(min_length=1, max_length=16_384, description="An http or https page.")
    ],
) -> PreviewOut:
    """Say what a page says of itself: title, description, image, icon."""
    return show_preview(await previews.preview(url))


@routes.get("/links/{link_id}", needs=READ, raises=(LinkNotFoundError,), response_model=LinkOut,
            summary="Show a link")  # fmt: skip
async def find(
    link_id: LinkPath, caller: Caller, response: Response, links: LinksDep, where: AddressingDep
) -> LinkOut:
    """Show a link, a deleted one too."""
    link = await links.find(caller, LinkId(LINK.read(link_id)))
    response.headers["ETag"] = etag(link.version)
    return show(link, where.short_url(link))


@routes.patch(
    "/links/{link_id}", needs=WRITE, raises=(LinkNotFoundError, TargetRefusedError),
    response_model=LinkOut, summary="Change a link",
)  # fmt: skip
async def edit(
    link_id: LinkPath,
    body: LinkPatch,
    caller: Caller,
    request: Request,
    response: Response,
    links: LinksDep,
    where: AddressingDep,
) -> LinkOut:
    """Change the fields that are named; `If-Match` guards against changing what you never saw."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if "utm" in changes:
        changes["utm"] = body.utm.given()
    if "tags" in changes:
        changes["tags"] = tuple(body.tags)
    link = await links.edit(caller, LinkId(LINK.read(link_id)), changes, version=if_match(request))
    response.headers["ETag"] = etag(link.version)
    return show(link, where.short_url(link))


@routes.delete("/links/{link_id}", needs=WRITE, raises=(LinkNotFoundError, StaleError),
               summary="Delete a link")  # fmt: skip
async def delete(link_id: LinkPath, caller: Caller, request: Request, links: LinksDep) -> None:
    """Delete a link; its code stays taken, and it can be restored."""
    await links.set_state(
        caller, LinkId(LINK.read(link_id)), LinkState.DELETED, version=if_match(request)
    )


@routes.post("/links/{link_id}/disable", needs=WRITE, raises=(LinkNotFoundError,),
             response_model=LinkOut, summary="Disable a link", reads_json=False)  # fmt: skip
async def disable(
    link_id: LinkPath, caller: Caller, links: LinksDep, where: AddressingDep
) -> LinkOut:
    """Stop a link at once; who follows it is told that it is gone."""
    link = await links.set_state(caller, LinkId(LINK.read(link_id)), LinkState.DISABLED)
    return show(link, where.short_url(link))


@routes.post("/links/{link_id}/restore", needs=WRITE, raises=(LinkNotFoundError,),
             response_model=LinkOut, summary="Restore a link", reads_json=False)  # fmt: skip
async def restore(
    link_id: LinkPath, caller: Caller, links: LinksDep, where: AddressingDep
) -> LinkOut:
    """Bring back a link that was disabled or deleted."""
    link = await links.set_state(caller, LinkId(LINK.read(link_id)), LinkState.ACTIVE)
    return show(link, where.short_url(link))


@routes.get("/links/{link_id}/stats", needs=READ, raises=(LinkNotFoundError, StatsRangeError),
            response_model=StatsOut, summary="Count a link's clicks")  # fmt: skip
async def stats(
    link_id: LinkPath,
    caller: Caller,
    reports: ReportsDep,
    start: Annotated[
        Moment | None, Query(alias="from", description="Without it 30 days back.")
    ] = None,
    end: Annotated[
        Moment | None, Query(alias="to", description="Exclusive; without it now.")
    ] = None,
    tz: Annotated[str, Query(max_length=64, description="An IANA time zone.")] = "UTC",
    interval: Annotated[Interval, Query(description="The step of the series.")] = Interval.DAY,
    by: Annotated[
        str | None,
        Query(max_length=40, description="One facet, or two with a comma: " + ", ".join(Facet)),
    ] = None,
    kind: Annotated[
        ClickKind | None, Query(alias="class", description="Only clicks of this class.")
    ] = None,
) -> StatsOut:
    """Count clicks by local hour or day, and by where they came from."""
    question = Question(
        start, end, tz, interval, parse_facets(by), ClickClass[kind.name] if kind else None
    )
    report = await reports.report(caller, LinkId(LINK.read(link_id)), question)
    return show_report(link_id, question, report)


@routes.get("/links/{link_id}/qr", needs=READ, raises=(LinkNotFoundError,), response_class=Response,
            responses={200: QR_RESPONSE}, summary="Draw a link's QR code")  # fmt: skip
async def qr(
    link_id: LinkPath,
    caller: Caller,
    links: LinksDep,
    where: AddressingDep,
    kind: Annotated[QrFormat, Query(alias="format", description="svg or png.")] = QrFormat.SVG,
    scale: Annotated[int, Query(ge=1, le=40, description="Pixels of one module.")] = 8,
) -> Response:
    """Draw the short URL as a QR code with a quiet zone."""
    link = await links.find(caller, LinkId(LINK.read(link_id)))
    body, media_type = draw_qr(where.short_url(link), kind, scale)
    return Response(body, media_type=media_type)
