"""HTTP/1.1, outgoing: one pool of connections, for httpx and for the hop between our own functions.

Of the product it knows nothing.
"""
