"""A request as WSGI hands it over, and as applications on it go on from there: for gunicorn."""

import json
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

METHODS = ["X_HTTP_METHOD_OVERRIDE", "X_HTTP_METHOD", "X_METHOD_OVERRIDE"]
PATHS = ["X_ORIGINAL_URL", "X_REWRITE_URL", "X_ORIGINAL_URI"]


def cookies(line):
    """By Python's own library, by Django's way of splitting, and with the commas of RFC 2109."""
    try:
        yield from ((name, morsel.value) for name, morsel in SimpleCookie(line).items())
    except CookieError:
        pass
    for separator in ";", "[;,]":
        for cookie in re.split(separator, line):
            name, is_pair, value = cookie.partition("=")
            if is_pair:
                yield name.strip(), value.strip().strip('"')


def query(text):
    """With `&` and with `;` between parameters, and what libraries for nested parameters find `name[x]` under."""
    for way in text, text.replace(";", "&"):
        for name, value in parse_qsl(way, keep_blank_values=True):
            yield name, value
            yield re.split(r"[\[.]", name)[0].strip(), value


def application(environ, start_response):
    headers = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    for name in METHODS:
        method = headers.get(name, method)
    for name in PATHS:
        path = headers.get(name, path)
    seen = {
        "method": method,
        "path": path,
        "headers": list(headers.items()),
        "cookies": list(cookies(headers.get("COOKIE", ""))),
        "query": list(query(environ["QUERY_STRING"])),
    }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
