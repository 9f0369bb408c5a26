"""Users service: a FastAPI application that keeps a list of user names in a SQL database."""

__version__ = "0.1.0"
