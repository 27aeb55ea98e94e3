"""A local QStash: the service's HTTP API, in memory, on the laptop.

It has what our code, our commands and the official `qstash` SDK call. `publisher` takes messages in, `engine` delivers
them, `consumer` is one delivery, `routes/` is the HTTP API, `faults` and `misbehaviour` are what goes wrong on purpose.
"""
