"""The knobs of files: `POSTHOUSE_FILES_…`."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

_TYPES = (
    "image/jpeg,image/png,image/webp,image/avif,image/gif,image/tiff,image/svg+xml,"
    "application/pdf,text/plain,text/csv,text/tab-separated-values,application/json,"
    "application/x-ndjson,application/vnd.apache.parquet"
)
_GIB = 1024 * 1024 * 1024


class FilesSettings(BaseModel):
    """What may be stored, for how long, and how it is handed out."""

    max_bytes: int = Field(default=5 * _GIB, ge=1024, description="The largest file.")
    quota_bytes: int = Field(
        default=100 * _GIB, ge=1024, description="What one workspace may store."
    )
    types: Annotated[list[str], NoDecode] = Field(
        default=[*_TYPES.split(",")], description="Media types that are taken, decided by content."
    )
    upload_hours: int = Field(
        default=24, ge=1, le=720, description="An unfinished resumable upload is kept so long."
    )
    url_ttl_s: int = Field(
        default=3600, ge=1, le=604_800, description="Seconds that the address of a result is valid."
    )
    base_url: str = Field(
        default="", description="Where files are downloaded from; without it the public URL."
    )
    least_free: float = Field(
        default=0.1, ge=0, lt=1, description="Uploads stop when less of the disk is free."
    )
    orphan_s: int = Field(
        default=2400, ge=1, description="Bytes that no row knows are deleted after so many seconds."
    )
    downloads_per_s: float = Field(
        default=50, gt=0, description="Downloads a second from one address."
    )
    downloads_burst: int = Field(
        default=200, ge=1, description="Downloads at once from one address."
    )

    @field_validator("types", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value
