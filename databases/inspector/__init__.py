"""The inspector: a page that shows live what a database does, for which request, step by step."""

from databases.inspector.app import Inspector

__all__ = ["Inspector"]
