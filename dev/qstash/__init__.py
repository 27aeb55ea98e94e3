"""A local QStash: the service's HTTP API, in memory, on the laptop.

The official `qstash` SDK must not be able to tell it from the hosted service. Knows nothing of Instagram,
and nothing of the functions it delivers to.
"""
