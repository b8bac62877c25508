"""Email addresses: which are taken, and how they are kept.

The part before the `@` is kept as it is written, because only its host may say that case does
not matter; the domain has one form. Two addresses that differ only in case are one user.
Source: RFC 5321 (64 characters before the `@`, 254 in all), RFC 6531 (Unicode).
"""

from pydantic_core import PydanticCustomError

MAX_LENGTH = 254


def normalise(text: str) -> str:
    """Give the address as we keep it. No network is asked.

    Raises:
        PydanticCustomError: `email-invalid`: it is no address that mail can be sent to.
    """
    # Imported at the first login: it would hold up every start.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    try:
        return validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError as error:
        # The library's words repeat the input, which may hold control characters.
        raise PydanticCustomError("email-invalid", "Not an email address") from error


def as_username(text: str) -> str:
    """The form to look a login up by: as `normalise`, but no text is refused."""
    try:
        return normalise(text)
    except PydanticCustomError:
        return text
