"""The lesson "Async database with databases library", step by step, with its endpoint."""

import databases
from fastapi import FastAPI

database = databases.Database('sqlite:///test.db')
app = FastAPI()

@app.on_event('startup')
async def startup():
    await database.connect()

@app.on_event('shutdown')
async def shutdown():
    await database.disconnect()

@app.get('/')
async def read_data():
    query = 'SELECT 1 as number'
    result = await database.fetch_one(query)
    print(result['number'])
    return {'number': result['number']}
