"""The HTTP methods a message can be delivered with (Upstash, publish, `Upstash-Method`)."""

from typing import Literal

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
