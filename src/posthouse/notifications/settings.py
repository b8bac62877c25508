"""The knobs of notifications."""

from pydantic import BaseModel, Field


class NotificationsSettings(BaseModel):
    """What an operator can turn; `POSTHOUSE_NOTIFICATIONS_NAME`."""

    private_providers: bool = Field(
        default=False, description="Providers may be on private networks, such as a local relay."
    )
    max_attempts: int = Field(
        default=10, ge=1, le=100, description="A message that was refused so often is given up."
    )
    retry_s: float = Field(
        default=900, gt=0, le=86_400, description="The longest pause before another attempt."
    )
    lease_s: float = Field(
        default=15, gt=0, le=300, description="A worker that is silent for so long has lost it."
    )
    sending_s: float = Field(
        default=60,
        gt=0,
        le=600,
        description="A message without an answer for so long is in doubt; a call takes up to 15.",
    )
    doubt_s: float = Field(
        default=5, ge=0, le=86_400, description="A receipt may still settle a doubt for so long."
    )
    buffered: int = Field(
        default=800, ge=10, le=10_000, description="Messages that a worker holds of each channel."
    )
    sms_per_day: int = Field(
        default=1000, ge=0, description="Text messages a day for each workspace."
    )
    sms_per_prefix: int = Field(
        default=200, ge=1, description="Text messages a day to numbers with the same beginning."
    )
    attachment_bytes: int = Field(
        default=10_485_760, ge=0, description="All attachments of a message together."
    )
    keep_days: int = Field(
        default=90, ge=1, le=3650, description="Notifications that ended are kept so long."
    )
