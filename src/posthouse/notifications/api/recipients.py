"""The JSON routes of recipients and their devices."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import NotFoundError, StaleError, UnavailableError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.search import pattern
from posthouse.kernel.text import Name
from posthouse.kernel.uploads import FORMS, TaskAccepted, UploadDep, accept
from posthouse.notifications.contacts import Found, Profile, Recipient
from posthouse.notifications.errors import (
    DeviceNotFoundError,
    ExternalIdTakenError,
    RecipientNotFoundError,
    TooManyDevicesError,
)
from posthouse.notifications.model import DEVICE, READ, RECIPIENT, WRITE, DeviceId
from posthouse.notifications.people import Devices, Recipients, Wanted, read_wanted
from posthouse.notifications.schemas.recipients import (
    OWN_ID,
    DeviceIn,
    DeviceOut,
    Email,
    OwnId,
    Phone,
    ProfileIn,
    RecipientIn,
    RecipientOut,
    RecipientPatch,
    show,
    show_device,
)
from posthouse.tasks.public import TASK, EmptyUploadError, Imports

IMPORT = "recipients.import"

routes = Routes.of("recipients")

the_recipients = service(Recipients)
the_devices = service(Devices)
the_imports = service(Imports)


async def read_recipient(
    recipient_id: Annotated[
        str, Path(max_length=200, description="The id of a recipient, or your own id of it.")
    ],
) -> Wanted:
    """The recipient in the path.

    Raises:
        RecipientNotFoundError: it is an id that none can have.
    """
    return read_wanted(recipient_id)


async def read_device(
    device_id: Annotated[str, Path(max_length=100, description="The id of a device.")],
) -> DeviceId:
    """The device in the path.

    Raises:
        DeviceNotFoundError: it is an id that none can have.
    """
    try:
        return DeviceId(DEVICE.read(device_id))
    except NotFoundError as error:
        raise DeviceNotFoundError from error


async def read_filter(
    email: Annotated[Email | None, Query(description="This email address.")] = None,
    phone: Annotated[Phone | None, Query(description="This number; write + as %2B.")] = None,
    external_id: Annotated[OwnId | None, Query(description="This own id of yours.")] = None,
    q: Annotated[
        Name | None,
        Query(max_length=200, description="How your own id, the name or the email begins."),
    ] = None,
) -> Found:
    """What the list shows; for `Depends`."""
    begins = pattern(q).removeprefix("%") if q else None
    return Found(email=email, phone=phone, external_id=external_id, pattern=begins)


Caller = Annotated[Principal, Depends(current_principal)]
RecipientsDep = Annotated[Recipients, Depends(the_recipients)]
DevicesDep = Annotated[Devices, Depends(the_devices)]
RecipientPath = Annotated[Wanted, Depends(read_recipient)]
OwnIdPath = Annotated[
    str, Path(pattern=OWN_ID, description="Your own id; none that begins with rcp_.")
]
DevicePath = Annotated[DeviceId, Depends(read_device)]


@routes.post("/recipients", needs=WRITE, raises=(ExternalIdTakenError,), status=201,
             response_model=RecipientOut, summary="Make a recipient")  # fmt: skip
async def make(
    body: RecipientIn, caller: Caller, response: Response, recipients: RecipientsDep
) -> RecipientOut:
    """Make somebody who can be written to."""
    made = await recipients.make(caller, body.external_id, Profile(**body.changes()))
    response.headers["Location"] = f"/api/v1/recipients/{RECIPIENT.show(made.id)}"
    return _tagged(made, response)


@routes.post("/recipients/import", needs=WRITE, streams=tuple(FORMS), raises=(EmptyUploadError,),
             status=202, response_model=TaskAccepted, summary="Import recipients")  # fmt: skip
async def import_recipients(
    upload: UploadDep,
    caller: Caller,
    response: Response,
    imports: Annotated[Imports, Depends(the_imports)],
) -> TaskAccepted:
    """Make or change recipients from a JSON array, NDJSON or CSV; the task tells how it went."""
    task_id, is_replayed = await imports.receive(caller, IMPORT, upload)
    return accept(response, TASK.show(task_id), is_replayed=is_replayed)


@routes.get("/recipients", needs=READ, response_model=Page[RecipientOut],
            summary="List recipients")  # fmt: skip
async def list_recipients(
    caller: Caller,
    paging: PagingDep,
    wanted: Annotated[Found, Depends(read_filter)],
    recipients: RecipientsDep,
) -> Page[RecipientOut]:
    """List recipients, newest first."""
    found = await recipients.page(caller, wanted, paging.keyset)
    return paging.page(found, key=lambda one: (str(one.id),), show=show)


@routes.get("/recipients/{recipient_id}", needs=READ, raises=(RecipientNotFoundError,),
            response_model=RecipientOut, summary="Show a recipient")  # fmt: skip
async def find(
    recipient: RecipientPath, caller: Caller, response: Response, recipients: RecipientsDep
) -> RecipientOut:
    """Show a recipient, by our id or your own."""
    return _tagged(await recipients.find(caller, recipient), response)


@routes.add("PUT", "/recipients/{recipient_id}", needs=WRITE,
            raises=(RecipientNotFoundError, UnavailableError), response_model=RecipientOut,
            responses={201: {"model": RecipientOut, "description": "It was made."}},
            summary="Make or replace a recipient")  # fmt: skip
async def put(
    recipient_id: OwnIdPath,
    body: ProfileIn,
    caller: Caller,
    response: Response,
    recipients: RecipientsDep,
) -> RecipientOut:
    """Make a recipient under your own id, or replace what you know of it; its choices stay.

    Raises:
        RecipientNotFoundError: the id is one of ours; such a recipient is changed with PATCH.
    """
    if not isinstance(read_wanted(recipient_id), str):
        raise RecipientNotFoundError("Ids that begin with rcp_ are ours; use PATCH.")
    saved, is_new = await recipients.put(caller, recipient_id, body.changes())
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/recipients/{RECIPIENT.show(saved.id)}"
    return _tagged(saved, response)


@routes.patch("/recipients/{recipient_id}", needs=WRITE,
              raises=(RecipientNotFoundError, UnavailableError), response_model=RecipientOut,
              summary="Change a recipient")  # fmt: skip
async def edit(
    recipient: RecipientPath,
    body: RecipientPatch,
    caller: Caller,
    request: Request,
    response: Response,
    recipients: RecipientsDep,
) -> RecipientOut:
    """Change the fields that are named; nothing goes to an old address once this is answered."""
    version = if_match(request)
    saved = await recipients.edit(caller, recipient, body.changes(), version=version)
    return _tagged(saved, response)


@routes.delete("/recipients/{recipient_id}", needs=WRITE,
               raises=(RecipientNotFoundError, StaleError, UnavailableError),
               summary="Erase a recipient")  # fmt: skip
async def erase(
    recipient: RecipientPath, caller: Caller, request: Request, recipients: RecipientsDep
) -> None:
    """Erase a person: addresses, devices, choices; what waits is cancelled. For good."""
    await recipients.erase(caller, recipient, version=if_match(request))


@routes.post("/recipients/{recipient_id}/devices", needs=WRITE, status=201, is_idempotent=False,
             raises=(RecipientNotFoundError, TooManyDevicesError, UnavailableError),
             response_model=DeviceOut, summary="Add a device")  # fmt: skip
async def add_device(
    recipient: RecipientPath, body: DeviceIn, caller: Caller, devices: DevicesDep
) -> DeviceOut:
    """Add a device, or move it here from who had it; the same token makes no second one."""
    added = await devices.add(caller, recipient, body.kind, body.value(), name=body.name)
    return show_device(added)


@routes.get("/recipients/{recipient_id}/devices", needs=READ, raises=(RecipientNotFoundError,),
            response_model=Page[DeviceOut], summary="List devices")  # fmt: skip
async def list_devices(
    recipient: RecipientPath, caller: Caller, paging: PagingDep, devices: DevicesDep
) -> Page[DeviceOut]:
    """List the devices of a recipient, newest first."""
    found = await devices.page(caller, recipient, paging.keyset)
    return paging.page(found, key=lambda one: (str(one.id),), show=show_device)


@routes.delete("/recipients/{recipient_id}/devices/{device_id}", needs=WRITE,
               raises=(RecipientNotFoundError, DeviceNotFoundError, UnavailableError),
               summary="Delete a device")  # fmt: skip
async def delete_device(
    recipient: RecipientPath, device: DevicePath, caller: Caller, devices: DevicesDep
) -> None:
    """Delete a device; nothing goes to it once this is answered."""
    await devices.delete(caller, recipient, device)


def _tagged(recipient: Recipient, response: Response) -> RecipientOut:
    response.headers["ETag"] = etag(recipient.version)
    return show(recipient)
