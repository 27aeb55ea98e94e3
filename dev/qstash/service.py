"""All parts of one stand-in, made and ended together. The routes reach every part through it."""

from starlette.requests import Request

from dev.qstash.config import Config
from dev.qstash.consumer import Consumer
from dev.qstash.dlq import DeadLetters
from dev.qstash.engine import Engine
from dev.qstash.faults import Faults
from dev.qstash.flow import FlowControl
from dev.qstash.logs import Logs
from dev.qstash.publisher import Publisher
from dev.qstash.schedules import Schedules
from dev.qstash.signing import SigningKeys
from dev.qstash.url_groups import UrlGroups


class Service:
    """One stand-in. Must be made inside a running event loop."""

    def __init__(self, config: Config, faults: Faults) -> None:
        self.config = config
        self.faults = faults
        self.keys = SigningKeys(config.current_key, config.next_key)
        self.logs = Logs(config.kept_logs)
        self.dlq = DeadLetters(config.kept_dead)
        self.flow = FlowControl(config)
        self.url_groups = UrlGroups()
        self._consumer = Consumer(config, self.keys)
        self.engine = Engine(
            config,
            consumer=self._consumer,
            flow=self.flow,
            logs=self.logs,
            dlq=self.dlq,
            faults=faults,
        )
        self.queues = self.engine.queues
        self.publisher = Publisher(config, self.engine, self.flow, self.url_groups)
        self.schedules = Schedules(config, self.publisher.publish)
        self.engine.on_end.append(self.schedules.note_end)

    async def reset(self) -> None:
        """Brings every part back to its state at the start."""
        await self.schedules.stop()
        await self.engine.stop()
        self.publisher.deduplication.reset()
        for part in (self.flow, self.url_groups, self.logs, self.dlq, self.keys, self.faults):
            part.reset()

    async def close(self) -> None:
        """Ends all tasks and connections."""
        await self.schedules.stop()
        await self.engine.stop()
        self.flow.reset()
        await self._consumer.close()


def service_of(request: Request) -> Service:
    """Returns the stand-in that a request is for."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
