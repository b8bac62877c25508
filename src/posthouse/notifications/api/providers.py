"""The JSON routes of providers."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import NotFoundError, StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.errors import (
    NameTakenError,
    ProviderInvalidError,
    ProviderNotFoundError,
    SecretsUnreadableError,
)
from posthouse.notifications.model import (
    MANAGE,
    PROVIDER,
    READ,
    Channel,
    ProviderId,
    ProviderSetup,
)
from posthouse.notifications.providing import Providers
from posthouse.notifications.schemas.providers import (
    ProviderIn,
    ProviderOut,
    ProviderPatch,
    TrialOut,
    TrialWanted,
    show,
    show_outcome,
)

routes = Routes.of("providers")

the_providers = service(Providers)


async def read_id(
    provider_id: Annotated[str, Path(description="The id of a provider.")],
) -> ProviderId:
    """The id in the path.

    Raises:
        ProviderNotFoundError: no provider can have it.
    """
    try:
        return ProviderId(PROVIDER.read(provider_id))
    except NotFoundError as error:
        raise ProviderNotFoundError from error


Caller = Annotated[Principal, Depends(current_principal)]
ProvidersDep = Annotated[Providers, Depends(the_providers)]
ProviderPath = Annotated[ProviderId, Depends(read_id)]


@routes.post("/notifications/providers", needs=MANAGE, status=201, response_model=ProviderOut,
             raises=(ProviderInvalidError, NameTakenError),
             summary="Set up a provider")  # fmt: skip
async def make(
    body: ProviderIn, caller: Caller, response: Response, providers: ProvidersDep
) -> ProviderOut:
    """Set up a provider; it is connected to when there is something to send."""
    made = await providers.make(
        caller,
        body.kind,
        body.options,
        body.secrets,
        name=body.name,
        priority=body.priority,
        at_once=body.at_once,
        rate_per_s=body.rate_per_s,
        is_enabled=body.is_enabled,
    )
    response.headers["Location"] = f"/api/v1/notifications/providers/{PROVIDER.show(made.id)}"
    return _tagged(made, response, providers)


@routes.get("/notifications/providers", needs=READ, response_model=Page[ProviderOut],
            summary="List providers")  # fmt: skip
async def list_providers(
    caller: Caller,
    paging: PagingDep,
    providers: ProvidersDep,
    channel: Annotated[Channel | None, Query(description="Of this channel.")] = None,
) -> Page[ProviderOut]:
    """List providers, the newest first."""
    found = await providers.page(caller, paging.keyset, channel)
    return paging.page(
        found, key=lambda one: (str(one.id),), show=lambda one: _shown(one, providers)
    )


@routes.get("/notifications/providers/{provider_id}", needs=READ, response_model=ProviderOut,
            raises=(ProviderNotFoundError,), summary="Show a provider")  # fmt: skip
async def find(
    provider_id: ProviderPath, caller: Caller, response: Response, providers: ProvidersDep
) -> ProviderOut:
    """Show a provider; of its secrets only which are set."""
    return _tagged(await providers.find(caller, provider_id), response, providers)


@routes.patch("/notifications/providers/{provider_id}", needs=MANAGE, response_model=ProviderOut,
              raises=(ProviderNotFoundError, ProviderInvalidError, NameTakenError,
                      SecretsUnreadableError),
              summary="Change a provider")  # fmt: skip
async def edit(
    provider_id: ProviderPath,
    body: ProviderPatch,
    caller: Caller,
    request: Request,
    response: Response,
    providers: ProvidersDep,
) -> ProviderOut:
    """Change what is named; an option or secret that is absent stays, and null takes it away."""
    changed = await providers.edit(caller, provider_id, body.changes(), version=if_match(request))
    return _tagged(changed, response, providers)


@routes.delete("/notifications/providers/{provider_id}", needs=MANAGE,
               raises=(ProviderNotFoundError, StaleError), summary="Delete a provider")  # fmt: skip
async def delete(
    provider_id: ProviderPath, caller: Caller, request: Request, providers: ProvidersDep
) -> None:
    """Delete a provider; what it sent stays sent, but it tells nothing of it any more."""
    await providers.delete(caller, provider_id, version=if_match(request))


@routes.post("/notifications/providers/{provider_id}/test", needs=MANAGE, response_model=TrialOut,
             raises=(ProviderNotFoundError, ProviderInvalidError, SecretsUnreadableError),
             is_idempotent=False, summary="Send a test message")  # fmt: skip
async def test(
    provider_id: ProviderPath, body: TrialWanted, caller: Caller, providers: ProvidersDep
) -> TrialOut:
    """Send a message that says what it is, now, and tell what the provider said."""
    return show_outcome(await providers.test(caller, provider_id, body.to))


@routes.post("/notifications/providers/{provider_id}/resume", needs=MANAGE, reads_json=False,
             response_model=ProviderOut, raises=(ProviderNotFoundError,),
             summary="Resume a provider")  # fmt: skip
async def resume(
    provider_id: ProviderPath, caller: Caller, response: Response, providers: ProvidersDep
) -> ProviderOut:
    """Let a provider that was paused because it refused us be tried again."""
    return _tagged(await providers.resume(caller, provider_id), response, providers)


def _shown(found: ProviderSetup, providers: Providers) -> ProviderOut:
    has_receipts = KINDS[found.kind].receive is not None
    return show(found, providers.callback_url(found.id) or None if has_receipts else None)


def _tagged(found: ProviderSetup, response: Response, providers: Providers) -> ProviderOut:
    response.headers["ETag"] = etag(found.version)
    return _shown(found, providers)
