"""All settings, and the only reader of the environment.

The kernel's are plain `POSTHOUSE_NAME`; a slice's block is `POSTHOUSE_<SLICE>_NAME`.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from posthouse.accounts.settings import AccountsSettings
from posthouse.catalog.settings import CatalogSettings
from posthouse.files.settings import FilesSettings
from posthouse.links.settings import LinksSettings
from posthouse.notifications.settings import NotificationsSettings
from posthouse.tasks.settings import TasksSettings

CommaList = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """What an operator can turn. Every field is documented in `docs/reference/settings.md`."""

    model_config = SettingsConfigDict(
        env_prefix="POSTHOUSE_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        hide_input_in_errors=True,
    )

    data: Path = Field(default=Path("posthouse-data"), description="Where everything is kept.")
    database_url: str = Field(
        default="", description="Postgres, such as postgresql://user@host/posthouse."
    )
    valkey_url: str = Field(
        default="", description="Valkey, such as redis://host:6379 or unix:///path."
    )
    blobs_url: str = Field(
        default="",
        repr=False,
        description="Where files are kept: file:///path, or s3://key:secret@bucket/prefix"
        "?endpoint=URL&region=NAME; without it the folder blobs of the data directory.",
    )
    secret: str = Field(
        default="", repr=False, description="At least 32 bytes; signs tokens and cursors."
    )
    postgres_bin: Path | None = Field(
        default=None, description="Folder of postgres and initdb to run."
    )

    host: str = Field(default="127.0.0.1", description="The address that `serve` listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="The port that `serve` listens on.")
    admin_host: str = Field(default="127.0.0.1", description="The address of the admin listener.")
    admin_port: int = Field(
        default=9100, ge=0, le=65535, description="Metrics are here; 0 turns it off."
    )
    public_url: str = Field(default="http://127.0.0.1:8000", description="How users reach us.")
    docs: bool = Field(default=True, description="Show the reference of the API under /docs.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    otel_endpoint: str = Field(default="", description="OTLP address for traces (extra otel).")
    otel_sample: float = Field(default=0.01, ge=0, le=1, description="Share of requests traced.")

    connections: int = Field(
        default=16, ge=2, le=200, description="Database connections per process."
    )
    http_processes: int = Field(
        default=1, ge=1, description="HTTP processes that share the limits."
    )
    trusted_proxies: CommaList = Field(
        default_factory=list[str], description="Networks whose X-Forwarded-For counts."
    )
    cors_origins: CommaList = Field(
        default_factory=list[str], description="Origins that browsers may call us from."
    )
    rate_per_s: float = Field(default=10, gt=0, description="Requests a second per caller.")
    rate_burst: int = Field(default=20, ge=1, description="Requests at once per caller.")
    hash_threads: int = Field(
        default=2, ge=1, le=16, description="Password checks at the same time."
    )
    body_bytes: int = Field(default=1_048_576, ge=1024, description="The largest JSON body.")
    stop_grace_s: float = Field(
        default=2, ge=0, description="Not ready for so long before we stop."
    )

    tasks: TasksSettings = TasksSettings()
    accounts: AccountsSettings = AccountsSettings()
    links: LinksSettings = LinksSettings()
    files: FilesSettings = FilesSettings()
    notifications: NotificationsSettings = NotificationsSettings()
    catalog: CatalogSettings = CatalogSettings()

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("cors_origins")
    @classmethod
    def _refuse_any_origin(cls, origins: list[str]) -> list[str]:
        if "*" in origins:
            raise ValueError("name the origins; * would let any site use a visitor's session")
        return origins


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        ValueError: a variable is not valid; the text names it.
    """
    return Settings()
