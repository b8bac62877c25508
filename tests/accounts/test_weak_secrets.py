"""Posthouse does not start with a secret that can be guessed."""

from pathlib import Path

import pytest

from posthouse.kernel.signing import WeakSecretError, check_secret
from posthouse.runtime import open_runtime
from posthouse.settings import Settings

KNOWN = Path(__file__).parent.parent / "corpora" / "jwt-secrets" / "jwt.secrets.list"


@pytest.mark.parametrize("secret", ["", "secret", "secret123", "x" * 31, "a" * 64, "ab" * 32])
async def test_a_weak_secret_refuses_to_start(settings: Settings, secret: str) -> None:
    with pytest.raises(WeakSecretError):
        async with open_runtime(settings.model_copy(update={"secret": secret})):
            pass


def test_no_published_secret_is_taken() -> None:
    secrets = [line.strip() for line in KNOWN.read_text("utf-8", "replace").splitlines()]
    assert len(secrets) > 1000
    taken: list[str] = []
    for secret in filter(None, secrets):
        try:
            check_secret(secret)
        except WeakSecretError:
            continue
        taken.append(secret)
    assert taken == []
