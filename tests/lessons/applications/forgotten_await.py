"""The lesson's question 4: the endpoint whose author forgot an await."""

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
    result = database.fetch_one(query)
    return {'number': result['number']}
