"""Under which account the servers run: Postgres refuses to run as root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from posthouse.embedded.errors import EmbeddedError

UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An operating system user that we, as root, hand a process or a folder to."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make this account the owner of `path` and of what is in it."""
        for each in (path, *path.rglob("*")):
            os.chown(each, self.uid, self.gid, follow_symlinks=False)


def server_account(owned: Path) -> Account | None:
    """Choose who runs the servers whose files are under `owned`, if that exists already.

    Returns:
        None where the servers run as we do, which is the case for every user but root.

    Raises:
        EmbeddedError: the files belong to somebody else, or root has nobody to hand them to.
    """
    owner = owned.stat().st_uid if owned.exists() else None
    mine = os.geteuid()
    if mine != 0:
        if owner not in {None, mine}:
            raise EmbeddedError(
                f"{owned} belongs to user {_name(owner)}, and this is user {_name(mine)}. "
                f"Run posthouse as {_name(owner)}, or choose another directory with --data."
            )
        return None
    if owner:
        return Account(_name(owner), owner, owned.stat().st_gid)
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "Postgres refuses to run as root, and neither `postgres` nor `nobody` is a user here. "
        "Run posthouse as an ordinary user, or make one: useradd --system postgres"
    )


def check_has_name(account: Account | None) -> None:
    """Refuse a numeric user id that no passwd entry names: initdb cannot work under it.

    Raises:
        EmbeddedError: there is no such entry.
    """
    uid = account.uid if account else os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedError(
            f"User id {uid} has no entry in /etc/passwd, and Postgres cannot make its files "
            f"without one. Add it (in a container: RUN useradd --uid {uid} posthouse), "
            "or set POSTHOUSE_DATABASE_URL to a Postgres of your own."
        ) from error


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return str(uid)
