"""The JSON routes of files."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from posthouse.files.bodies import body_of, expiry_of, name_of
from posthouse.files.cookbook import Cookbook
from posthouse.files.errors import (
    EmptyFileError,
    FileTooLargeError,
    FileUnknownError,
    MultipartError,
    QuotaExceededError,
    RecipeInvalidError,
    RecipeNotFoundError,
    ResultNotFoundError,
    TypeNotAllowedError,
    UnknownProcessorError,
    UploadCutError,
)
from posthouse.files.model import (
    FILE,
    READ,
    WRITE,
    ChosenRecipe,
    FileFilter,
    FileId,
    NewFile,
)
from posthouse.files.multipart import Form, Part, read_form
from posthouse.files.processors import PROCESSORS
from posthouse.files.recipes import NAME, plan, read_steps
from posthouse.files.schemas import (
    CheckOut,
    FileAccepted,
    FileOut,
    LinkIn,
    LinkOut,
    ProcessAgain,
    ProcessorsOut,
    RecipeCheck,
    RecipeIn,
    RecipeOut,
    UsageOut,
    accepted,
    show,
    show_link,
    show_plan,
    show_processor,
    show_recipe,
    show_usage,
)
from posthouse.files.service import Files
from posthouse.files.uploading import Sending, Uploads, whole
from posthouse.kernel.auth import Principal
from posthouse.kernel.blobs import StorageUnavailableError
from posthouse.kernel.errors import StorageFullError
from posthouse.kernel.idempotency import require_key
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Routes, current_principal, service
from posthouse.kernel.search import pattern
from posthouse.kernel.text import Name

routes = Routes.of("files")

FORM = "multipart/form-data"
_POLL_S = "1"
_FORM_BYTES = 1_048_576  # what a form may have beside its file

the_files = service(Files)
the_uploads = service(Uploads)
the_cookbook = service(Cookbook)

Caller = Annotated[Principal, Depends(current_principal)]
FilesDep = Annotated[Files, Depends(the_files)]
UploadsDep = Annotated[Uploads, Depends(the_uploads)]
CookbookDep = Annotated[Cookbook, Depends(the_cookbook)]
FilePath = Annotated[str, Path(description="The id of a file, such as `fil_01j…`.")]
RecipePath = Annotated[str, Path(pattern=f"^{NAME.pattern}$", description="The name of a recipe.")]

_STORES = (
    FileTooLargeError, QuotaExceededError, StorageFullError, StorageUnavailableError,
    TypeNotAllowedError, EmptyFileError, RecipeInvalidError, RecipeNotFoundError,
    UnknownProcessorError, UploadCutError,
)  # fmt: skip
_COOKS = (RecipeInvalidError, RecipeNotFoundError, UnknownProcessorError, TypeNotAllowedError)


_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "recipe": {"type": "string", "description": "A saved recipe's name, or steps as JSON."},
        "expires_in": {"type": "string", "description": "Delete it after so many seconds."},
    },
    "additionalProperties": False,
}
_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}


@routes.post("/files/upload", needs=WRITE, streams=(FORM,), stream_schema=_FORM_SCHEMA,
             raises=(*_STORES, MultipartError), status=202, response_model=FileAccepted,
             summary="Upload by a form")  # fmt: skip
async def upload(
    request: Request,
    response: Response,
    caller: Caller,
    uploads: UploadsDep,
    cookbook: CookbookDep,
) -> FileAccepted:
    """Store the part `file` of a form, and work on it by the part `recipe`: a name, or steps.

    `expires_in` deletes it after so many seconds. What is said before the file is checked before
    the file is read.
    """
    form = read_form(request.headers.get("content-type", ""), body_of(request))
    sent = _SentForm(form, caller, cookbook)
    file = await sent.until_file()
    sending = Sending(
        new=await sent.new(),
        pieces=file.pieces,
        settle=sent.settle,
        most_bytes=_length(request),
        key=_key(request),
        other_bytes=_FORM_BYTES,
    )
    file_id, is_replayed = await uploads.receive(caller, sending)
    return _accept(response, file_id, (await sent.new()).recipe, is_replayed=is_replayed)


@routes.add("PUT", "/files/upload", needs=WRITE, streams=("application/octet-stream",),
            stream_schema=_BYTES, raises=_STORES, status=202, response_model=FileAccepted,
            summary="Upload a file as a body")  # fmt: skip
async def put(
    request: Request,
    response: Response,
    caller: Caller,
    uploads: UploadsDep,
    cookbook: CookbookDep,
    name: Annotated[str, Query(max_length=255, description="What the file is called.")] = "",
    recipe: Annotated[
        str | None, Query(max_length=2000, description="A saved recipe's name, or steps as JSON.")
    ] = None,
    expires_in: Annotated[
        str | None, Query(max_length=20, description="Delete it after so many seconds.")
    ] = None,
) -> FileAccepted:
    """Store the body as a file, as `curl -T photo.jpg` sends it."""
    new = NewFile(
        name=name_of(name, "query.name"),
        declared_type=request.headers.get("content-type", "")[:200],
        recipe=await cookbook.choose(caller, recipe, "query.recipe") if recipe else None,
        expires_in_s=expiry_of(expires_in, "query.expires_in"),
    )
    sending = Sending(new, body_of(request), whole(new), _length(request), _key(request))
    file_id, is_replayed = await uploads.receive(caller, sending)
    return _accept(response, file_id, new.recipe, is_replayed=is_replayed)


@routes.get("/files", needs=READ, response_model=Page[FileOut], summary="List files")
async def list_files(
    caller: Caller,
    paging: PagingDep,
    files: FilesDep,
    q: Annotated[Name | None, Query(max_length=200, description="Part of the name.")] = None,
    media_type: Annotated[
        str | None, Query(max_length=200, description="Only of this type, such as image/png.")
    ] = None,
    recipe: Annotated[
        str | None, Query(max_length=40, description="Only those that came with this recipe.")
    ] = None,
) -> Page[FileOut]:
    """List the workspace's files, newest first."""
    wanted = FileFilter(pattern(q) if q else None, media_type, recipe)
    found = await files.page(caller, wanted, paging.keyset)
    return paging.page(
        found, key=lambda one: (str(one.file.id),), show=lambda one: show(one, files.url)
    )


# Literal paths come before `/files/{file_id}`, which would take their last part for an id.
@routes.get("/files/usage", needs=READ, response_model=UsageOut, summary="Show what is stored")
async def usage(caller: Caller, files: FilesDep) -> UsageOut:
    """Show how many bytes the workspace has stored, and how many it may."""
    return show_usage(await files.usage(caller))


@routes.get("/files/processors", needs=READ, response_model=ProcessorsOut,
            summary="List kinds of step")  # fmt: skip
async def processors(caller: Caller) -> ProcessorsOut:
    """List what steps of recipes can use, and which options each takes."""
    del caller
    return ProcessorsOut(processors=[show_processor(one) for one in PROCESSORS.values()])


@routes.get("/files/recipes", needs=READ, response_model=Page[RecipeOut], summary="List recipes")
async def list_recipes(caller: Caller, paging: PagingDep, cookbook: CookbookDep) -> Page[RecipeOut]:
    """List the newest versions of the workspace's recipes, by name."""
    found = await cookbook.page(caller, paging.keyset)
    return paging.page(found, key=lambda one: (one.name,), show=show_recipe)


@routes.post("/files/recipes/check", needs=READ, raises=(*_COOKS, FileUnknownError),
             response_model=CheckOut, is_idempotent=False, summary="Try a recipe")  # fmt: skip
async def check(
    body: RecipeCheck, caller: Caller, files: FilesDep, cookbook: CookbookDep
) -> CheckOut:
    """Tell what each step would read, make and may use; nothing is run or kept."""
    recipe = await _chosen(body.recipe, caller, cookbook)
    media_type, name = body.media_type or "", "file"
    if body.file is not None:
        state = await files.find(caller, _id(body.file))
        media_type, name = state.file.media_type, state.file.name
    return show_plan(plan(recipe.steps, media_type), recipe, name)


@routes.get("/files/recipes/{name}", needs=READ, raises=(RecipeNotFoundError,),
            response_model=RecipeOut, summary="Show a recipe")  # fmt: skip
async def find_recipe(
    name: RecipePath,
    caller: Caller,
    cookbook: CookbookDep,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="This version, not the newest.")
    ] = None,
) -> RecipeOut:
    """Show a version of a recipe, or the newest."""
    return show_recipe(await cookbook.find(caller, name, version))


@routes.add("PUT", "/files/recipes/{name}", needs=WRITE,
            raises=(RecipeInvalidError, UnknownProcessorError), response_model=RecipeOut,
            summary="Save a recipe")  # fmt: skip
async def save_recipe(
    name: RecipePath, body: RecipeIn, caller: Caller, response: Response, cookbook: CookbookDep
) -> RecipeOut:
    """Save a recipe; a change makes a new version, and files keep the one that they came with."""
    steps = read_steps({"steps": body.steps}, "body")
    saved = await cookbook.save(caller, name, steps)
    response.headers["Location"] = f"/api/v1/files/recipes/{name}"
    return show_recipe(saved)


@routes.delete("/files/recipes/{name}", needs=WRITE, raises=(RecipeNotFoundError,),
               summary="Delete a recipe")  # fmt: skip
async def delete_recipe(name: RecipePath, caller: Caller, cookbook: CookbookDep) -> None:
    """Delete all versions of a recipe; files that came with it keep their steps."""
    await cookbook.delete(caller, name)


@routes.get("/files/{file_id}", needs=READ, raises=(FileUnknownError,), response_model=FileOut,
            summary="Show a file")  # fmt: skip
async def find(file_id: FilePath, caller: Caller, response: Response, files: FilesDep) -> FileOut:
    """Show a file, its results, and how far the work on it is."""
    return await _status(file_id, caller, response, files)


@routes.get("/files/{file_id}/status", needs=READ, raises=(FileUnknownError,),
            response_model=FileOut, summary="Show the work on a file")  # fmt: skip
async def status(file_id: FilePath, caller: Caller, response: Response, files: FilesDep) -> FileOut:
    """Show how far the work on a file is, and what came of it; poll here."""
    return await _status(file_id, caller, response, files)


@routes.post("/files/{file_id}/process", needs=WRITE, raises=(FileUnknownError, *_COOKS),
             status=202, response_model=FileAccepted, summary="Work on a file again")  # fmt: skip
async def process(
    file_id: FilePath,
    body: ProcessAgain,
    caller: Caller,
    response: Response,
    files: FilesDep,
    cookbook: CookbookDep,
) -> FileAccepted:
    """Work on a stored file by another recipe; the answer is a file of its own."""
    recipe = await _chosen(body.recipe, caller, cookbook)
    made = await files.again(caller, _id(file_id), recipe)
    return _accept(response, made, recipe, is_replayed=False)


@routes.post("/files/{file_id}/link", needs=READ, raises=(FileUnknownError, ResultNotFoundError),
             response_model=LinkOut, is_idempotent=False, summary="Sign an address")  # fmt: skip
async def link(file_id: FilePath, body: LinkIn, caller: Caller, files: FilesDep) -> LinkOut:
    """Make an address that a file or a result can be read at, by whoever has it, for a while."""
    url, expires_at = await files.link(
        caller, _id(file_id), body.result, ttl_s=body.expires_in, disposition=body.disposition
    )
    return show_link(url, expires_at)


@routes.delete("/files/{file_id}", needs=WRITE, raises=(FileUnknownError,),
               summary="Delete a file")  # fmt: skip
async def delete(file_id: FilePath, caller: Caller, files: FilesDep) -> None:
    """Delete a file and its results for good, and stop the work on it."""
    await files.delete(caller, _id(file_id))


def _id(text: str) -> FileId:
    return FileId(FILE.read(text))


async def _status(text: str, caller: Principal, response: Response, files: Files) -> FileOut:
    state = await files.find(caller, _id(text))
    if not state.status.is_final:
        response.headers["Retry-After"] = _POLL_S
    return show(state, files.url)


async def _chosen(
    given: str | dict[str, Any], caller: Principal, cookbook: Cookbook
) -> ChosenRecipe:
    if isinstance(given, str):
        return await cookbook.choose(caller, given, "body.recipe")
    return ChosenRecipe(read_steps(given, "body.recipe"))


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None:
        require_key(key)
    return key


def _accept(
    response: Response, file_id: FileId, recipe: ChosenRecipe | None, *, is_replayed: bool
) -> FileAccepted:
    answer = accepted(file_id, recipe)
    response.headers["Location"] = f"/api/v1/files/{answer.job_id}/status"
    response.headers["Retry-After"] = _POLL_S
    if is_replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return answer


class _SentForm:
    """The fields of an upload form, and its one file, in the order in which they come."""

    def __init__(self, form: Form, caller: Principal, cookbook: Cookbook) -> None:
        self._parts: AsyncGenerator[Part] = form.parts()
        self._caller = caller
        self._cookbook = cookbook
        self._fields: dict[str, str] = {}
        self._file: Part | None = None
        self._recipe: ChosenRecipe | None = None

    async def until_file(self) -> Part:
        """Read on to the file.

        Raises:
            MultipartError: there is none.
        """
        async for part in self._parts:
            if part.filename is not None:
                if part.name != "file":
                    raise MultipartError(f"Name the part of the file `file`, not `{part.name}`.")
                self._file = part
                return part
            await self._read(part)
        raise MultipartError("The form has no part `file` with a file name.")

    async def settle(self) -> NewFile:
        """Read the fields behind the file, and give what is said of it.

        Raises:
            MultipartError: there is a second file.
        """
        async for part in self._parts:
            if part.filename is not None:
                raise MultipartError("Send one file in a form.")
            await self._read(part)
        return await self.new()

    async def _read(self, part: Part) -> None:
        if part.name not in {"recipe", "expires_in"} or part.name in self._fields:
            raise MultipartError("Beside `file`, a form has `recipe` and `expires_in`, each once.")
        self._fields[part.name] = await part.text()
        if part.name == "recipe":
            self._recipe = await self._cookbook.choose(
                self._caller, self._fields["recipe"], "form.recipe"
            )

    async def new(self) -> NewFile:
        """What is said of the file so far."""
        file = self._file
        return NewFile(
            name=name_of(file.filename if file else "", "form.file"),
            declared_type=(file.media_type if file else "")[:200],
            recipe=self._recipe,
            expires_in_s=expiry_of(self._fields.get("expires_in"), "form.expires_in"),
        )
