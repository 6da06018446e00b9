"""A request as aiohttp reads it. `python handler.py PORT`"""

import json
import sys

from aiohttp import web

METHODS = ["x-http-method-override", "x-http-method", "x-method-override"]
PATHS = ["x-original-url", "x-rewrite-url", "x-original-uri"]


async def handle(request):
    method, path = request.method, request.path
    for name in METHODS:
        method = request.headers.get(name, method)
    for name in PATHS:
        path = request.headers.get(name, path)
    seen = {
        "method": method,
        "path": path,
        "headers": list(request.headers.items()),
        "cookies": list(request.cookies.items()),
        "query": list(request.query.items()),
    }
    # Bytes that are no text stand for themselves there.
    text = json.dumps(seen, ensure_ascii=False).encode(errors="replace")
    return web.Response(body=text, content_type="application/json")


app = web.Application()
app.router.add_route("*", "/{path:.*}", handle)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
