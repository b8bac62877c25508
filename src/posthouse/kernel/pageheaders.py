"""The headers of a small page of ours: no script, nothing from elsewhere, one style inside."""

import base64
import hashlib


def page_headers(style: str) -> dict[str, str]:
    """The headers of a page whose only style is this text, within its own `<style>`.

    Source: W3C, Content Security Policy Level 3, section 2.3.1 (hashes of inline styles).
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
        "Cache-Control": "no-store",
    }
