"""The smallest Flask app: the baseline of bench.api."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "hello"
