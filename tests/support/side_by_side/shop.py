"""A web service of Flask: two views that fail, asked by itself."""

import threading
import time
import urllib.error
import urllib.request

import flask
from werkzeug.serving import make_server

app = flask.Flask("shop")


def total(cart):
    """Fail."""
    return sum(item["price"] for item in cart)


@app.route("/basket/<int:number>")
def basket(number):
    """Fail."""
    return str(total([{"name": number}]))


@app.route("/pay", methods=["POST"])
def pay():
    """Fail."""
    raise PermissionError("card declined")


server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path, data in (("/basket/7", None), ("/basket/8", None), ("/pay", b"x")):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", data)
    except urllib.error.HTTPError as error:
        print(path, error.code)
    time.sleep(0.2)
