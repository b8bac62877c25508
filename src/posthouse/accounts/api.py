"""The JSON routes of accounts."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.routing import iter_route_contexts

from posthouse.accounts.errors import (
    CurrentPasswordError,
    EmailTakenError,
    ExpiryPassedError,
    KeyNotFoundError,
    LastOwnerError,
    NotAUserError,
    PasswordRefusedError,
    RefreshTokenError,
    RoleTooHighError,
    ScopeTooWideError,
    UnknownScopeError,
    UserNotFoundError,
    WrongCredentialsError,
)
from posthouse.accounts.keyring import Keyring
from posthouse.accounts.model import (
    ADMINISTER,
    AUDIT,
    KEY,
    READ,
    SELF,
    USER,
    WORKSPACE,
    KeyId,
    NewKey,
    UserId,
)
from posthouse.accounts.profiles import Profile, Profiles
from posthouse.accounts.schemas import (
    AuditOut,
    KeyIn,
    KeyMade,
    KeyOut,
    LoginIn,
    MemberOut,
    MemberPatch,
    MeOut,
    MePatch,
    RefreshTokenIn,
    TokensOut,
    UserIn,
    UserOut,
    show_entry,
    show_key,
    show_me,
    show_member,
    show_new_key,
    show_tokens,
    show_user,
)
from posthouse.accounts.service import Accounts, NewUser
from posthouse.accounts.sessions import Sessions
from posthouse.kernel.auth import Principal
from posthouse.kernel.errors import FieldProblem, InvalidInputError, StaleError
from posthouse.kernel.etags import etag, if_match
from posthouse.kernel.pagination import Page, PagingDep
from posthouse.kernel.routing import Endpoint, Routes, current_principal, service
from posthouse.kernel.uploads import FORMS, TaskAccepted, UploadDep, accept
from posthouse.tasks.public import TASK, EmptyUploadError, Imports

IMPORT = "users.import"

routes = Routes.of("accounts")

the_imports = service(Imports)
the_accounts = service(Accounts)
the_sessions = service(Sessions)
the_profiles = service(Profiles)
the_keyring = service(Keyring)

Caller = Annotated[Principal, Depends(current_principal)]
ImportsDep = Annotated[Imports, Depends(the_imports)]
AccountsDep = Annotated[Accounts, Depends(the_accounts)]
SessionsDep = Annotated[Sessions, Depends(the_sessions)]
ProfilesDep = Annotated[Profiles, Depends(the_profiles)]
KeyringDep = Annotated[Keyring, Depends(the_keyring)]
UserPath = Annotated[str, Path(description="The id of a user, such as `usr_01j…`.")]
KeyPath = Annotated[str, Path(description="The id of a key, such as `key_01j…`.")]


def refuse_query(request: Request) -> None:
    """Go on if nothing is in the query, where logs and histories would keep a secret.

    Raises:
        InvalidInputError: there is something.
    """
    fields = [
        FieldProblem(f"query.{name}"[:100], "unknown-field", "send it in the JSON body")
        for name in list(request.query_params)[:20]
    ]
    if fields:
        raise InvalidInputError("Send nothing in the query here.", fields=fields)


def known_scopes(request: Request) -> frozenset[str]:
    """The scopes that routes ask for, but for the one that every principal has."""
    found = {
        policy.needs.name
        for context in iter_route_contexts(request.app.routes)
        if isinstance(context.original_route, Endpoint)
        and (policy := context.original_route.policy).needs is not None
    }
    return frozenset(found - {SELF.name})


@routes.post(
    "/login", needs=None, rate="login", is_idempotent=False, raises=(WrongCredentialsError,),
    response_model=TokensOut, dependencies=[Depends(refuse_query)], summary="Log in",
)  # fmt: skip
async def log_in(body: LoginIn, request: Request, sessions: SessionsDep) -> TokensOut:
    """Open a session by email address and password.

    The answer holds secrets, so it is not kept for an `Idempotency-Key`.
    """
    workspace_id = WORKSPACE.read(body.workspace) if body.workspace else None
    return show_tokens(
        await sessions.log_in(
            body.username,
            body.password,
            network=request.state.network,
            workspace_id=workspace_id,
        )
    )


@routes.post(
    "/login/refresh", needs=None, is_idempotent=False, raises=(RefreshTokenError,),
    response_model=TokensOut, dependencies=[Depends(refuse_query)], summary="Stay logged in",
)  # fmt: skip
async def refresh(body: RefreshTokenIn, sessions: SessionsDep) -> TokensOut:
    """Give new tokens for a refresh token, which is used up.

    A used one that comes back ends the session: somebody else has it too.
    """
    return show_tokens(await sessions.refresh(body.refresh_token))


@routes.post(
    "/logout", needs=SELF, is_idempotent=False, reads_json=False, raises=(NotAUserError,),
    status=204, summary="Log out",
)  # fmt: skip
async def log_out(caller: Caller, sessions: SessionsDep) -> None:
    """End the session; its access and refresh tokens end with it."""
    await sessions.log_out(caller)


@routes.get("/me", needs=SELF, response_model=MeOut, summary="Show who you are")
async def me(caller: Caller, response: Response, profiles: ProfilesDep) -> MeOut:
    """Show the caller, its workspace, and what it may do."""
    identity = await profiles.me(caller)
    if caller.user_id is not None:
        response.headers["ETag"] = etag(identity.version)
    return show_me(caller, identity)


@routes.patch(
    "/me", needs=SELF, raises=(NotAUserError, CurrentPasswordError, PasswordRefusedError),
    response_model=MeOut, summary="Change your account",
)  # fmt: skip
async def edit_me(
    body: MePatch, caller: Caller, request: Request, response: Response, profiles: ProfilesDep
) -> MeOut:
    """Change name or password; a new password ends all your other sessions."""
    identity = await profiles.edit(
        caller,
        Profile(body.name or None, body.password or None, body.current_password),
        network=request.state.network,
        version=if_match(request),
    )
    response.headers["ETag"] = etag(identity.version)
    return show_me(caller, identity)


@routes.post(
    "/users", needs=ADMINISTER, raises=(EmailTakenError, PasswordRefusedError, RoleTooHighError),
    status=201, response_model=UserOut, summary="Add a user",
)  # fmt: skip
async def add_user(
    body: UserIn, caller: Caller, response: Response, accounts: AccountsDep
) -> UserOut:
    """Make a user who is a member of this workspace."""
    user = await accounts.add_user(caller, NewUser(body.email, body.name, body.password, body.role))
    response.headers["Location"] = f"/api/v1/users/{USER.show(user.id)}"
    return show_user(user)


@routes.post("/users/import", needs=ADMINISTER, streams=tuple(FORMS), raises=(EmptyUploadError,),
             status=202, response_model=TaskAccepted, summary="Import users")  # fmt: skip
async def import_users(
    upload: UploadDep, caller: Caller, response: Response, imports: ImportsDep
) -> TaskAccepted:
    """Import users from a JSON array, NDJSON or CSV; the task tells how it went, row by row."""
    task_id, is_replayed = await imports.receive(caller, IMPORT, upload)
    return accept(response, TASK.show(task_id), is_replayed=is_replayed)


@routes.get("/users/{user_id}", needs=READ, raises=(UserNotFoundError,), response_model=UserOut,
            summary="Show a user")  # fmt: skip
async def find_user(user_id: UserPath, caller: Caller, accounts: AccountsDep) -> UserOut:
    """Show a user of this workspace."""
    return show_user(await accounts.find_user(caller, UserId(USER.read(user_id))))


@routes.get("/members", needs=READ, response_model=Page[MemberOut], summary="List members")
async def list_members(caller: Caller, paging: PagingDep, accounts: AccountsDep) -> Page[MemberOut]:
    """List who belongs to this workspace, the newest user first."""
    rows = await accounts.page_members(caller, paging.keyset)
    return paging.page(rows, key=lambda member: (str(member.user_id),), show=show_member)


@routes.get("/members/{user_id}", needs=READ, raises=(UserNotFoundError,),
            response_model=MemberOut, summary="Show a member")  # fmt: skip
async def find_member(
    user_id: UserPath, caller: Caller, response: Response, accounts: AccountsDep
) -> MemberOut:
    """Show a user and its role in this workspace."""
    member = await accounts.find_member(caller, UserId(USER.read(user_id)))
    response.headers["ETag"] = etag(member.version)
    return show_member(member)


@routes.patch(
    "/members/{user_id}", needs=ADMINISTER,
    raises=(UserNotFoundError, RoleTooHighError, LastOwnerError), response_model=MemberOut,
    summary="Change a member's role",
)  # fmt: skip
async def edit_member(
    user_id: UserPath,
    body: MemberPatch,
    caller: Caller,
    request: Request,
    response: Response,
    accounts: AccountsDep,
) -> MemberOut:
    """Give a member another role; the keys it made that are above that role end."""
    member = await accounts.set_role(
        caller, UserId(USER.read(user_id)), body.role, version=if_match(request)
    )
    response.headers["ETag"] = etag(member.version)
    return show_member(member)


@routes.delete(
    "/members/{user_id}", needs=ADMINISTER,
    raises=(UserNotFoundError, RoleTooHighError, LastOwnerError, StaleError),
    summary="Remove a member",
)  # fmt: skip
async def remove_member(
    user_id: UserPath, caller: Caller, request: Request, accounts: AccountsDep
) -> None:
    """Take a user out of this workspace; its sessions here and the keys it made end."""
    await accounts.remove_member(caller, UserId(USER.read(user_id)), version=if_match(request))


@routes.post(
    "/keys", needs=ADMINISTER, is_idempotent=False,
    raises=(RoleTooHighError, ScopeTooWideError, UnknownScopeError, ExpiryPassedError),
    status=201, response_model=KeyMade, summary="Make an API key",
)  # fmt: skip
async def make_key(
    body: KeyIn, caller: Caller, request: Request, response: Response, keyring: KeyringDep
) -> KeyMade:
    """Make a key and show it, this once.

    An `Idempotency-Key` does nothing here: keeping the answer would keep the key.
    """
    scopes = None if body.scopes is None else frozenset(body.scopes)
    new = NewKey(body.name, body.role, scopes, body.expires_at)
    key, text = await keyring.make(caller, new, known_scopes(request))
    response.headers["Location"] = f"/api/v1/keys/{KEY.show(key.id)}"
    return show_new_key(key, text)


@routes.get("/keys", needs=READ, response_model=Page[KeyOut], summary="List API keys")
async def list_keys(caller: Caller, paging: PagingDep, keyring: KeyringDep) -> Page[KeyOut]:
    """List the workspace's keys, newest first, revoked ones too."""
    rows = await keyring.page(caller, paging.keyset)
    return paging.page(rows, key=lambda key: (str(key.id),), show=show_key)


@routes.get("/keys/{key_id}", needs=READ, raises=(KeyNotFoundError,), response_model=KeyOut,
            summary="Show an API key")  # fmt: skip
async def find_key(key_id: KeyPath, caller: Caller, keyring: KeyringDep) -> KeyOut:
    """Show a key without its text."""
    return show_key(await keyring.find(caller, KeyId(KEY.read(key_id))))


@routes.delete("/keys/{key_id}", needs=ADMINISTER, raises=(KeyNotFoundError,),
               summary="Revoke an API key")  # fmt: skip
async def revoke_key(key_id: KeyPath, caller: Caller, keyring: KeyringDep) -> None:
    """End a key; it is refused within a second everywhere. Safe to repeat."""
    await keyring.revoke(caller, KeyId(KEY.read(key_id)))


@routes.get("/audit", needs=AUDIT, response_model=Page[AuditOut], summary="List who did what")
async def list_audit(
    caller: Caller,
    paging: PagingDep,
    accounts: AccountsDep,
    action: Annotated[
        str | None, Query(max_length=64, description="Only this, such as `key.made`.")
    ] = None,
) -> Page[AuditOut]:
    """List what was done in this workspace, newest first."""
    rows = await accounts.page_audit(caller, paging.keyset, action=action)
    return paging.page(rows, key=lambda entry: (entry.id,), show=show_entry)
