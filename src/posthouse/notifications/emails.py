"""Email addresses as they are written to: normalised, the domain in its ASCII form."""


def parse_email(text: str) -> str:
    """The address that mail goes to.

    Raises:
        ValueError: it is none. The library's words repeat the input, so they are not passed on.
    """
    # Imported at the first use: it would hold up every start.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    try:
        found = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError("Not an email address") from error
    return f"{found.local_part}@{found.ascii_domain}"
