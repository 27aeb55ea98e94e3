"""The one TLS context of a process: to read the list of authorities takes about 20 ms."""

import ssl
from functools import cache

import certifi


@cache
def tls_context() -> ssl.SSLContext:
    """Returns the context that trusts the authorities of Mozilla's list, and no others."""
    return ssl.create_default_context(cafile=certifi.where())
