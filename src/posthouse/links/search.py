"""Searching links: a part of the text, typed by a person, as a pattern for the database."""


def search_pattern(text: str) -> str:
    r"""The LIKE pattern that finds `text` anywhere, with `\\` to escape what LIKE means itself.

    The searched column is in lower case.
    """
    literal = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{literal}%"
