"""What the API of files takes and gives."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from posthouse.files.model import (
    FILE,
    SOURCE,
    TASK,
    ChosenRecipe,
    Disposition,
    File,
    FileId,
    FileState,
    FileStatus,
    Recipe,
    Result,
    Usage,
)
from posthouse.files.processors.protocol import Processor
from posthouse.files.recipes import NAME, Planned, result_filename, result_name, shown
from posthouse.kernel.text import Str

UrlOf = Callable[[File, str], str]

# A recipe is checked by `recipes.read_steps`, whose errors name the step.
RecipeBody = Annotated[
    dict[str, Any],
    Field(
        description='Steps by name: {"steps": {"thumb": {"use": "image.resize", "width": 320}}}.',
        examples=[{"steps": {"thumb": {"use": "image.resize", "width": 320, "fit": "contain"}}}],
    ),
]
RecipeName = Annotated[Str, Field(pattern=f"^{NAME.pattern}$", max_length=40)]
MediaType = Annotated[Str, Field(max_length=200, examples=["image/jpeg"])]
ResultName = Annotated[Str, Field(min_length=1, max_length=100)]


class FileAccepted(BaseModel):
    """A file that was stored; `Location` says where to look at the work on it."""

    job_id: str
    status: Literal["pending", "completed"]


class ResultOut(BaseModel):
    """A result of a file."""

    name: str = Field(description="The step, or the step and what it made beside.")
    url: str = Field(description="Where it can be read for a while, by whoever has this address.")
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    facts: dict[str, Any] = Field(description="What is known of it: width, rows, pages, …")


class FileProgress(BaseModel):
    """How far the work is, in hundredths of a step."""

    done: int
    total: int | None
    message: str


class FileProblem(BaseModel):
    """Why the work failed: a problem document (RFC 9457) without a request id."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str


class FileOut(BaseModel):
    """A file, and the work on it."""

    id: str
    job_id: str
    task_id: str | None = Field(description="Its task under /tasks; null without a recipe.")
    status: FileStatus
    progress: FileProgress
    name: str
    media_type: str = Field(description="What it is by its content.")
    declared_type: str = Field(description="What its sender said it was.")
    size_bytes: int
    sha256: str
    url: str = Field(description="Where the file itself can be read for a while.")
    recipe: dict[str, Any] | None
    recipe_name: str | None
    recipe_version: int | None
    results: list[ResultOut]
    result_url: str | None = Field(description="The address of the first result.")
    problem: FileProblem | None
    receipt: dict[str, Any] | None = Field(
        description="For each step: what it read and made, by what, what that cost, how confined."
    )
    created_by: str
    created_at: datetime
    expires_at: datetime | None


class ProcessAgain(BaseModel):
    """By which recipe a stored file is to be worked on: a saved one's name, or steps."""

    model_config = ConfigDict(extra="forbid")

    recipe: RecipeName | RecipeBody


class LinkIn(BaseModel):
    """What an address is to lead to, for how long and how."""

    model_config = ConfigDict(extra="forbid")

    result: ResultName = Field(default=SOURCE, description="A result's name, or source.")
    expires_in: int | None = Field(
        default=None, ge=1, le=604_800, strict=True, description="Seconds, seven days at most."
    )
    disposition: Disposition = Field(
        default=Disposition.ATTACHMENT, description="inline shows it, if it cannot run scripts."
    )


class LinkOut(BaseModel):
    """A signed address."""

    url: str
    expires_at: datetime


class UsageOut(BaseModel):
    """What the workspace has stored."""

    used_bytes: int
    reserved_bytes: int = Field(description="Kept for uploads under way.")
    quota_bytes: int


class RecipeIn(BaseModel):
    """A recipe to save."""

    model_config = ConfigDict(extra="forbid")

    steps: dict[str, Any]


class RecipeOut(BaseModel):
    """A saved recipe."""

    name: str
    version: int
    steps: dict[str, Any]
    created_by: str
    created_at: datetime


class RecipeCheck(BaseModel):
    """A recipe to try without running it, on a type of file or a stored file."""

    model_config = ConfigDict(extra="forbid")

    recipe: RecipeName | RecipeBody
    media_type: MediaType | None = None
    file: Str | None = Field(default=None, description="A stored file, instead of a type.")


class PromisedOut(BaseModel):
    """An output that a step would make."""

    name: str
    media_type: str
    filename: str
    is_certain: bool = Field(description="False: only if there is something to put into it.")


class StepOut(BaseModel):
    """What a step would do, and what it may use."""

    step: str
    use: str
    takes: str
    outputs: list[PromisedOut]
    memory_bytes: int
    cpu_s: int
    wall_s: float
    written_bytes: int


class CheckOut(BaseModel):
    """What a recipe would do."""

    steps: list[StepOut]
    recipe: dict[str, Any] = Field(description="With all options in their full form.")


class ProcessorOut(BaseModel):
    """A kind of step."""

    name: str
    summary: str
    version: int
    takes: list[str]
    options: dict[str, Any] = Field(description="JSON Schema of its options.")


class ProcessorsOut(BaseModel):
    """All kinds of step."""

    processors: list[ProcessorOut]


def show(state: FileState, url: UrlOf) -> FileOut:
    """Say a file as the API does; its addresses are made anew each time."""
    file = state.file
    recipe = file.recipe
    results = [_result(one, state, url) for one in state.results]
    return FileOut(
        id=FILE.show(file.id),
        job_id=FILE.show(file.id),
        task_id=TASK.show(file.task_id) if file.task_id else None,
        status=state.status,
        progress=FileProgress(done=state.done, total=state.total, message=state.message),
        name=file.name,
        media_type=file.media_type,
        declared_type=file.declared_type,
        size_bytes=file.blob.size_bytes,
        sha256=file.blob.sha256.hex(),
        url=url(file, SOURCE),
        recipe=None if recipe is None else shown(recipe.steps),
        recipe_name=None if recipe is None else recipe.name,
        recipe_version=None if recipe is None else recipe.version,
        results=results,
        result_url=results[0].url if results else None,
        problem=FileProblem.model_validate(state.problem) if state.problem else None,
        receipt=None if file.receipt is None else dict(file.receipt),
        created_by=file.created_by,
        created_at=file.created_at,
        expires_at=file.expires_at,
    )


def _result(result: Result, state: FileState, url: UrlOf) -> ResultOut:
    return ResultOut(
        name=result.name,
        url=url(state.file, result.name),
        filename=result.filename,
        media_type=result.media_type,
        size_bytes=result.blob.size_bytes,
        sha256=result.blob.sha256.hex(),
        facts=dict(result.facts),
    )


def accepted(file_id: FileId, recipe: ChosenRecipe | None) -> FileAccepted:
    """Say that a file was stored."""
    status: Literal["pending", "completed"] = "completed" if recipe is None else "pending"
    return FileAccepted(job_id=FILE.show(file_id), status=status)


def show_link(url: str, expires_at: int) -> LinkOut:
    """Say an address as the API does."""
    return LinkOut(url=url, expires_at=datetime.fromtimestamp(expires_at, UTC))


def show_usage(usage: Usage) -> UsageOut:
    """Say what is stored as the API does."""
    return UsageOut(
        used_bytes=usage.used_bytes,
        reserved_bytes=usage.reserved_bytes,
        quota_bytes=usage.quota_bytes,
    )


def show_recipe(recipe: Recipe) -> RecipeOut:
    """Say a recipe as the API does."""
    return RecipeOut(
        name=recipe.name,
        version=recipe.version,
        steps=shown(recipe.steps)["steps"],
        created_by=recipe.created_by,
        created_at=recipe.created_at,
    )


def show_plan(planned: list[Planned], recipe: ChosenRecipe, name: str) -> CheckOut:
    """Say what a recipe would do as the API does."""
    return CheckOut(steps=[_step(one, name) for one in planned], recipe=shown(recipe.steps))


def _step(one: Planned, filename: str) -> StepOut:
    limits = one.processor.limits
    outputs: list[PromisedOut] = []
    for gives in one.gives:
        name = result_name(one.step.name, gives.key)
        outputs.append(
            PromisedOut(
                name=name,
                media_type=gives.media_type,
                filename=result_filename(filename, name, gives.extension),
                is_certain=gives.is_certain,
            )
        )
    return StepOut(
        step=one.step.name,
        use=one.step.use,
        takes=one.takes,
        outputs=outputs,
        memory_bytes=limits.memory_bytes,
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        written_bytes=limits.written_bytes,
    )


def show_processor(processor: Processor) -> ProcessorOut:
    """Say a processor as the API does."""
    return ProcessorOut(
        name=processor.name,
        summary=processor.summary,
        version=processor.version,
        takes=sorted(processor.takes),
        options=processor.options.model_json_schema(),
    )
