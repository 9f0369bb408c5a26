"""The lesson "Async database with databases library", mini project: its four steps, as written."""

import databases
from fastapi import FastAPI

DATABASE_URL = "sqlite:///./test.db"

database = databases.Database(DATABASE_URL)


async def fetch_users():
    query = "SELECT * FROM users"
    return await database.fetch_all(query)


app = FastAPI()


@app.on_event("startup")
async def startup():
    await database.connect()


@app.on_event("shutdown")
async def shutdown():
    await database.disconnect()
