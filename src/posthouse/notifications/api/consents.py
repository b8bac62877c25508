"""The JSON routes of categories, preferences and suppressions."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import StaleError, UnavailableError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.text import Line
from posthouse.notifications.api.recipients import RecipientPath
from posthouse.notifications.choices import ALL, Category, Reason, suppressed_form
from posthouse.notifications.consenting import Consents
from posthouse.notifications.errors import (
    CategoryFixedError,
    CategoryNotFoundError,
    PreferencesInvalidError,
    RecipientNotFoundError,
    SuppressionNotFoundError,
)
from posthouse.notifications.model import READ, WRITE, Channel
from posthouse.notifications.schemas.consents import (
    CategoryIn,
    CategoryOut,
    PreferencesIn,
    PreferencesOut,
    SuppressionIn,
    SuppressionKeyIn,
    SuppressionOut,
    show_category,
    show_preferences,
    show_suppression,
)
from posthouse.notifications.schemas.recipients import KEY_PATTERN

routes = Routes.of("preferences")

the_consents = service(Consents)

Caller = Annotated[Principal, Depends(current_principal)]
ConsentsDep = Annotated[Consents, Depends(the_consents)]
CategoryPath = Annotated[str, Path(pattern=KEY_PATTERN, description="The key of a category.")]


@routes.get("/notification-categories", needs=READ, response_model=Page[CategoryOut],
            summary="List categories")  # fmt: skip
async def list_categories(
    caller: Caller, paging: PagingDep, consents: ConsentsDep
) -> Page[CategoryOut]:
    """List categories by key; `general` is always there."""
    found = await consents.categories(caller, paging.keyset)
    return paging.page(found, key=lambda one: (one.key,), show=show_category)


@routes.add("PUT", "/notification-categories/{category_key}", needs=WRITE,
            raises=(StaleError, CategoryFixedError), response_model=CategoryOut,
            summary="Make or change a category")  # fmt: skip
async def put_category(
    category_key: CategoryPath,
    body: CategoryIn,
    caller: Caller,
    request: Request,
    response: Response,
    consents: ConsentsDep,
) -> CategoryOut:
    """Make a category that people can switch off, or one that is critical; or change it."""
    version, wanted = if_match(request), body.value(category_key)
    return _tagged(await consents.put_category(caller, wanted, version=version), response)


@routes.get("/notification-categories/{category_key}", needs=READ,
            raises=(CategoryNotFoundError,), response_model=CategoryOut,
            summary="Show a category")  # fmt: skip
async def find_category(
    category_key: CategoryPath, caller: Caller, response: Response, consents: ConsentsDep
) -> CategoryOut:
    """Show a category."""
    return _tagged(await consents.find_category(caller, category_key), response)


@routes.delete("/notification-categories/{category_key}", needs=WRITE,
               raises=(CategoryNotFoundError, CategoryFixedError, StaleError),
               summary="Delete a category")  # fmt: skip
async def delete_category(
    category_key: CategoryPath, caller: Caller, request: Request, consents: ConsentsDep
) -> None:
    """Delete a category; what people chose for it is kept, in case it is made again."""
    await consents.delete_category(caller, category_key, version=if_match(request))


@routes.get("/recipients/{recipient_id}/preferences", needs=READ,
            raises=(RecipientNotFoundError,), response_model=PreferencesOut,
            summary="Show preferences")  # fmt: skip
async def find_preferences(
    recipient: RecipientPath, caller: Caller, response: Response, consents: ConsentsDep
) -> PreferencesOut:
    """Show what a recipient wants; what is not shown is on."""
    found, preferences, _ = await consents.preferences(caller.workspace_id, recipient)
    response.headers["ETag"] = etag(found.version)
    return show_preferences(preferences)


@routes.add("PUT", "/recipients/{recipient_id}/preferences", needs=WRITE,
            raises=(RecipientNotFoundError, PreferencesInvalidError, StaleError, UnavailableError),
            response_model=PreferencesOut, summary="Replace preferences")  # fmt: skip
async def put_preferences(
    recipient: RecipientPath,
    body: PreferencesIn,
    caller: Caller,
    request: Request,
    response: Response,
    consents: ConsentsDep,
) -> PreferencesOut:
    """Replace all preferences; nothing that they forbid is sent once this is answered."""
    wanted, version = body.value(), if_match(request)
    saved = await consents.choose(
        caller.workspace_id, recipient, wanted, principal=caller, version=version
    )
    response.headers["ETag"] = etag(saved.version)
    return show_preferences(wanted)


@routes.get("/suppressions", needs=READ, response_model=Page[SuppressionOut],
            summary="List suppressed addresses")  # fmt: skip
async def list_suppressions(
    caller: Caller,
    paging: PagingDep,
    consents: ConsentsDep,
    channel: Annotated[Channel | None, Query(description="Through this channel.")] = None,
    reason: Annotated[Reason | None, Query(description="For this reason.")] = None,
    address: Annotated[Line | None, Query(max_length=2000, description="This address.")] = None,
) -> Page[SuppressionOut]:
    """List addresses that are not used."""
    form = address if address is None else suppressed_form(_likely(channel, address), address)
    found = await consents.suppressions(caller, (channel, reason, form), paging.keyset)
    return paging.page(
        found, key=lambda one: (one.channel, one.address, one.category), show=show_suppression
    )


@routes.post("/suppressions", needs=WRITE, status=201, is_idempotent=False,
             raises=(UnavailableError,), response_model=SuppressionOut,
             summary="Suppress an address")  # fmt: skip
async def suppress(body: SuppressionIn, caller: Caller, consents: ConsentsDep) -> SuppressionOut:
    """Stop the use of an address; nothing is sent to it once this is answered. Safe to repeat."""
    return show_suppression(await consents.suppress(caller, body.value()))


@routes.post("/suppressions/remove", needs=WRITE, status=204, raises=(SuppressionNotFoundError,),
             summary="Use an address again")  # fmt: skip
async def unsuppress(body: SuppressionKeyIn, caller: Caller, consents: ConsentsDep) -> None:
    """Let an address be used again."""
    await consents.unsuppress(caller, body.channel, body.form, body.category or ALL)


def _likely(channel: Channel | None, address: str) -> Channel:
    return channel or (Channel.EMAIL if "@" in address else Channel.PUSH)


def _tagged(category: Category, response: Response) -> CategoryOut:
    response.headers["ETag"] = etag(category.version)
    return show_category(category)
