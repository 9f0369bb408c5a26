"""What goes in and out of the API."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from users_service import names

MAX_ID = 2**63 - 1

UserId = Annotated[int, Field(ge=1, le=MAX_ID, description="Never given twice.", examples=[1])]
Name = Annotated[
    str,
    AfterValidator(names.clean),
    Field(
        description=(
            f"1 to {names.MAX_LENGTH} characters of any script, at least one of them visible; "
            "spaces around them are dropped. No control characters, line separators, or "
            "characters that reverse the direction of the text around them. Two names are the "
            "same if they differ only in case, width or invisible characters."
        ),
        examples=["Ada Lovelace"],
    ),
]
_ADA: JsonDict = {"id": 1, "name": "Ada Lovelace", "created_at": "2026-01-31T09:26:53Z"}


class NameGiven(BaseModel):
    """A name for a user: what a new one needs, and what can be changed of an old one."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class User(BaseModel):
    """One user."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_ADA]})

    id: UserId
    name: str = Field(description="As it was given, trimmed and in Unicode's NFC.")
    created_at: datetime = Field(description="In UTC, to the second.")


class Page(BaseModel):
    """A part of the list of users, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"users": [_ADA], "next_after": None}]}
    )

    users: list[User]
    next_after: int | None = Field(
        description="Ask for the next page with after= this; null on the last page."
    )


class Health(BaseModel):
    """A sign of life."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: str = "ok"
