"""The knobs of links: `POSTHOUSE_LINKS_…`."""

from pydantic import BaseModel, Field, field_validator


class LinksSettings(BaseModel):
    """What may be shortened and how following is counted."""

    anonymous_shorten: bool = Field(default=False, description="Let anybody use POST /shorten.")
    shorten_per_s: float = Field(default=10, gt=0, description="POST /shorten a second per caller.")
    shorten_burst: int = Field(default=20, ge=1, description="POST /shorten at once per caller.")
    allow_private_targets: bool = Field(
        default=False, description="Let links lead to private and local addresses."
    )
    blocked_hosts: list[str] = Field(
        default_factory=list[str], description="Hosts that links may not lead to."
    )
    hosts: list[str] = Field(
        default_factory=list[str], description="Further hosts whose short links are ours."
    )
    cached_links: int = Field(
        default=100_000, ge=100, description="Links kept in each HTTP process."
    )
    unknown_per_minute: int = Field(
        default=30, ge=1, description="Unknown codes a minute per /24 or /64 before 429."
    )
    preview_per_minute: int = Field(
        default=60, ge=1, description="Previews a minute per caller before 429."
    )
    preview_ttl_s: int = Field(
        default=3600, ge=1, description="Seconds that the preview of a page is kept."
    )
    preview_deadline_s: float = Field(
        default=5.0, gt=0, le=30, description="Seconds that a page has for its whole answer."
    )
    spool_bytes: int = Field(
        default=67_108_864, ge=0, description="Clicks kept in a file while Valkey is down."
    )
    raw_days: int = Field(
        default=90, ge=1, le=3650, description="Days that single clicks are kept."
    )
    geo_database: str = Field(
        default="", description="A MaxMind country file; without it, no countries."
    )

    @field_validator("hosts", "blocked_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip().lower() for part in value.split(",") if part.strip()]
        return value
