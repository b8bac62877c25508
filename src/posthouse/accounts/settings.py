"""The knobs of accounts: `POSTHOUSE_ACCOUNTS_…`."""

from pydantic import BaseModel, Field


class AccountsSettings(BaseModel):
    """How long credentials live and how often a login may be tried."""

    access_token_s: int = Field(default=900, ge=60, le=3600, description="Life of an access token.")
    refresh_token_s: int = Field(
        default=30 * 86_400, ge=3600, description="Life of a refresh token that is not used."
    )
    password_min_length: int = Field(
        default=15, ge=8, le=64, description="Shortest password (NIST 15)."
    )
    login_per_minute: int = Field(
        default=10, ge=1, description="Logins tried a minute per account."
    )
    login_per_minute_address: int = Field(
        default=30, ge=1, description="Logins tried a minute per address."
    )
