"""The JSON routes of templates and layouts."""

from typing import Annotated

from fastapi import Depends, Path, Request, Response

from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.sandbox import SandboxLostError
from posthouse.notifications.composing import Templates
from posthouse.notifications.drawers import Layout, Template
from posthouse.notifications.errors import (
    InUseError,
    NotificationInvalidError,
    RenderBudgetError,
    TemplateInvalidError,
    TemplateNotFoundError,
    TemplateVariableMissingError,
    VersionNotFoundError,
)
from posthouse.notifications.model import READ, WRITE
from posthouse.notifications.schemas.recipients import KEY_PATTERN
from posthouse.notifications.schemas.templates import (
    LayoutIn,
    LayoutOut,
    PreviewIn,
    PreviewOut,
    TemplateIn,
    TemplateOut,
    TemplateSummary,
    VersionOut,
    VersionSummary,
    show,
    show_layout,
    show_summary,
    show_version,
    show_version_summary,
)

routes = Routes.of("templates")

the_templates = service(Templates)

Caller = Annotated[Principal, Depends(current_principal)]
TemplatesDep = Annotated[Templates, Depends(the_templates)]
TemplatePath = Annotated[str, Path(pattern=KEY_PATTERN, description="The key of a template.")]
LayoutPath = Annotated[str, Path(pattern=KEY_PATTERN, description="The key of a layout.")]
NumberPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a version.")]


@routes.get("/templates", needs=READ, response_model=Page[TemplateSummary],
            summary="List templates")  # fmt: skip
async def list_templates(
    caller: Caller, paging: PagingDep, templates: TemplatesDep
) -> Page[TemplateSummary]:
    """List templates by key."""
    found = await templates.page(caller, paging.keyset)
    return paging.page(found, key=lambda one: (one.key,), show=show_summary)


@routes.add("PUT", "/templates/{template_key}", needs=WRITE, raises=(StaleError,),
            response_model=TemplateOut, summary="Make a template, or write its draft",
            responses={201: {"model": TemplateOut, "description": "It was made."}})  # fmt: skip
async def put(
    template_key: TemplatePath,
    body: TemplateIn,
    caller: Caller,
    request: Request,
    response: Response,
    templates: TemplatesDep,
) -> TemplateOut:
    """Make a template, or replace its draft; what is published stays as it is."""
    saved, is_new = await templates.put(
        caller, template_key, body.name, body.draft(), version=if_match(request)
    )
    response.status_code = 201 if is_new else 200
    return _tagged(saved, response)


@routes.get("/templates/{template_key}", needs=READ, raises=(TemplateNotFoundError,),
            response_model=TemplateOut, summary="Show a template")  # fmt: skip
async def find(
    template_key: TemplatePath, caller: Caller, response: Response, templates: TemplatesDep
) -> TemplateOut:
    """Show a template with its draft."""
    return _tagged(await templates.find(caller, template_key), response)


@routes.delete("/templates/{template_key}", needs=WRITE,
               raises=(TemplateNotFoundError, StaleError, InUseError),
               summary="Delete a template")  # fmt: skip
async def delete(
    template_key: TemplatePath, caller: Caller, request: Request, templates: TemplatesDep
) -> None:
    """Delete a template and its versions, once all that was made with it has ended."""
    await templates.delete(caller, template_key, version=if_match(request))


@routes.post("/templates/{template_key}/publish", needs=WRITE, is_idempotent=False,
             reads_json=False, response_model=VersionOut, summary="Publish a template",
             responses={201: {"model": VersionOut, "description": "A new version."}},
             raises=(TemplateNotFoundError, StaleError, TemplateInvalidError, RenderBudgetError,
                     SandboxLostError))  # fmt: skip
async def publish(
    template_key: TemplatePath,
    caller: Caller,
    request: Request,
    response: Response,
    templates: TemplatesDep,
) -> VersionOut:
    """Compile the draft and send with it from now on; an unchanged one gives the same version."""
    version, is_new = await templates.publish(caller, template_key, version=if_match(request))
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/templates/{template_key}/versions/{version.number}"
    return show_version(version)


@routes.get("/templates/{template_key}/versions", needs=READ, raises=(TemplateNotFoundError,),
            response_model=Page[VersionSummary], summary="List versions")  # fmt: skip
async def list_versions(
    template_key: TemplatePath, caller: Caller, paging: PagingDep, templates: TemplatesDep
) -> Page[VersionSummary]:
    """List the versions of a template, newest first."""
    found = await templates.versions(caller, template_key, paging.keyset)
    return paging.page(found, key=lambda one: (one.number,), show=show_version_summary)


@routes.get("/templates/{template_key}/versions/{number}", needs=READ,
            raises=(TemplateNotFoundError, VersionNotFoundError), response_model=VersionOut,
            summary="Show a version")  # fmt: skip
async def find_version(
    template_key: TemplatePath, number: NumberPath, caller: Caller, templates: TemplatesDep
) -> VersionOut:
    """Show a version as it was published, with its layout."""
    return show_version(await templates.version_of(caller, template_key, number))


@routes.post("/templates/{template_key}/preview", needs=READ, is_idempotent=False,
             response_model=PreviewOut, summary="Preview a template",
             raises=(TemplateNotFoundError, VersionNotFoundError, TemplateInvalidError,
                     TemplateVariableMissingError, RenderBudgetError, NotificationInvalidError,
                     SandboxLostError))  # fmt: skip
async def preview(
    template_key: TemplatePath, body: PreviewIn, caller: Caller, templates: TemplatesDep
) -> PreviewOut:
    """Render the draft or a version; what sending fills in is made up. Nothing is sent."""
    made = await templates.preview(
        caller,
        template_key,
        body.channel,
        body.data,
        locale=body.locale,
        number=body.template_version,
    )
    return PreviewOut.model_validate(made)


@routes.get("/layouts", needs=READ, response_model=Page[LayoutOut], summary="List layouts")
async def list_layouts(
    caller: Caller, paging: PagingDep, templates: TemplatesDep
) -> Page[LayoutOut]:
    """List layouts by key."""
    found = await templates.layouts(caller, paging.keyset)
    return paging.page(found, key=lambda one: (one.key,), show=show_layout)


@routes.add("PUT", "/layouts/{layout_key}", needs=WRITE, response_model=LayoutOut,
            raises=(StaleError, TemplateInvalidError, RenderBudgetError, SandboxLostError),
            summary="Make or change a layout")  # fmt: skip
async def put_layout(
    layout_key: LayoutPath,
    body: LayoutIn,
    caller: Caller,
    request: Request,
    response: Response,
    templates: TemplatesDep,
) -> LayoutOut:
    """Make or change a layout; templates take it up when they are published again."""
    saved = await templates.put_layout(caller, layout_key, body.source(), version=if_match(request))
    return _tagged_layout(saved, response)


@routes.get("/layouts/{layout_key}", needs=READ, raises=(TemplateNotFoundError,),
            response_model=LayoutOut, summary="Show a layout")  # fmt: skip
async def find_layout(
    layout_key: LayoutPath, caller: Caller, response: Response, templates: TemplatesDep
) -> LayoutOut:
    """Show a layout."""
    return _tagged_layout(await templates.find_layout(caller, layout_key), response)


@routes.delete("/layouts/{layout_key}", needs=WRITE, raises=(TemplateNotFoundError, StaleError),
               summary="Delete a layout")  # fmt: skip
async def delete_layout(
    layout_key: LayoutPath, caller: Caller, request: Request, templates: TemplatesDep
) -> None:
    """Delete a layout; versions that were published with it keep it."""
    await templates.delete_layout(caller, layout_key, version=if_match(request))


def _tagged(template: Template, response: Response) -> TemplateOut:
    response.headers["ETag"] = etag(template.version)
    return show(template)


def _tagged_layout(layout: Layout, response: Response) -> LayoutOut:
    response.headers["ETag"] = etag(layout.version)
    return show_layout(layout)
