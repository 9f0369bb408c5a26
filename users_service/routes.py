"""The API: each address with what it takes, answers and may fail with."""

import logging
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from users_service.models import MAX_ID, Health, NameGiven, Page, User
from users_service.problems import SOON, documented
from users_service.repository import NameTaken, NotReady, UserRepository
from users_service.settings import MAX_PAGE_SIZE

_UNAVAILABLE = {503: "The database cannot be used at the moment. Try again later."}
_NO_USER = {404: "There is no user 7."}
_INVALID = {422: "name: must not be empty"}
_INVALID_ID = {422: "user_id: Input should be greater than or equal to 1"}
_INVALID_QUERY = {422: "limit: Input should be greater than or equal to 1"}
_BAD_BODY = {
    400: "There was an error parsing the body",
    413: "The body of the request is too large.",
}
_TAKEN = {409: 'The name "Ada Lovelace" is taken.'}


UserIdInPath = Annotated[int, Path(ge=1, le=MAX_ID, description="The user's id.", examples=[1])]

logger = logging.getLogger(__name__)

users_api = APIRouter(prefix="/users", tags=["users"])
health_api = APIRouter(prefix="/health", tags=["health"])


@users_api.post(
    "",
    status_code=201,
    summary="Add a user",
    response_description="The new user; Location is their address.",
    responses={
        201: {
            "headers": {
                "Location": {
                    "description": "The address of the new user.",
                    "schema": {"type": "string"},
                    "example": "/users/1",
                }
            }
        },
        **documented("/users", _BAD_BODY | _TAKEN | _INVALID | _UNAVAILABLE),
    },
)
async def add_user(given: NameGiven, request: Request, response: Response) -> User:
    """Adds a user with a name that no other user has."""
    try:
        user = await _users(request).add(given.name)
    except NameTaken:
        raise _taken(given.name) from None
    response.headers["Location"] = f"/users/{user.id}"
    return user


@users_api.get(
    "",
    summary="List or search users",
    response_description="One page of users.",
    responses=documented("/users", _INVALID_QUERY | _UNAVAILABLE),
)
async def list_users(
    request: Request,
    after: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_ID,
            description="Begin after the user with this id: the next_after of the page before.",
            examples=[50],
        ),
    ] = 0,
    limit: Annotated[
        int | None,
        Query(
            ge=1,
            le=MAX_PAGE_SIZE,
            description="How many users to list at most; 50 unless the service is set otherwise.",
            examples=[20],
        ),
    ] = None,
    q: Annotated[
        str,
        Query(
            max_length=200,
            # A NUL has no place in any database's text.
            pattern=r"^[^\x00]*$",
            description="Only users whose names contain this text, in whatever case.",
            examples=["ada"],
        ),
    ] = "",
) -> Page:
    """Lists users in the order in which they were added, the newest last."""
    limit = limit or request.app.state.page_size
    return await _users(request).page(after=after, limit=limit, search=q)


@users_api.get(
    "/{user_id}",
    summary="Get a user",
    response_description="The user.",
    responses=documented("/users/7", _NO_USER | _INVALID_ID | _UNAVAILABLE),
)
async def get_user(user_id: UserIdInPath, request: Request) -> User:
    """Finds one user by id."""
    user = await _users(request).get(user_id)
    if user is None:
        raise _missing(user_id)
    return user


@users_api.patch(
    "/{user_id}",
    summary="Rename a user",
    response_description="The user under the new name.",
    responses=documented("/users/7", _BAD_BODY | _NO_USER | _TAKEN | _INVALID | _UNAVAILABLE),
)
async def rename_user(user_id: UserIdInPath, given: NameGiven, request: Request) -> User:
    """Gives a user another name, which no other user may have."""
    try:
        user = await _users(request).rename(user_id, given.name)
    except NameTaken:
        raise _taken(given.name) from None
    if user is None:
        raise _missing(user_id)
    return user


@users_api.delete(
    "/{user_id}",
    status_code=204,
    summary="Delete a user",
    response_description="The user is gone.",
    responses=documented("/users/7", _NO_USER | _INVALID_ID | _UNAVAILABLE),
)
async def delete_user(user_id: UserIdInPath, request: Request) -> None:
    """Deletes a user for good. The id is not given to anybody else."""
    if not await _users(request).delete(user_id):
        raise _missing(user_id)


@health_api.get("/live", summary="Is the process alive?", response_description="It is.")
async def live() -> Health:
    """Answers as long as the process can answer anything: restart it when it does not."""
    return Health()


@health_api.get(
    "/ready",
    summary="Can requests be answered?",
    response_description="They can.",
    responses=documented("/health/ready", {503: "The database cannot be reached."}),
)
async def ready(request: Request) -> Health:
    """Reads from the table of users: send no requests here while this fails."""
    try:
        await _users(request).check()
    except NotReady as error:
        logger.error("Not ready: %r", error.__cause__)
        raise HTTPException(503, str(error), SOON) from error
    return Health()


def _users(request: Request) -> UserRepository:
    # Not a dependency, which FastAPI would resolve anew for every request at a cost that can
    # be measured: a fifth of what it takes to answer at all.
    users: UserRepository = request.app.state.users
    return users


def _missing(user_id: int) -> HTTPException:
    return HTTPException(404, f"There is no user {user_id}.")


def _taken(name: str) -> HTTPException:
    return HTTPException(409, f'The name "{name}" is taken.')
