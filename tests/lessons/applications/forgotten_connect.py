"""The lesson's last question: what happens without the await before database.connect()."""

import databases
from fastapi import FastAPI

database = databases.Database('sqlite:///test.db')
app = FastAPI()

@app.on_event('startup')
async def startup():
    database.connect()

@app.get('/')
async def read_data():
    result = await database.fetch_one('SELECT 1 as number')
    return {'number': result['number']}
