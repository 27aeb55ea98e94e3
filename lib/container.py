"""What one function instance holds: its settings, and each client from its first use on.

The parts are put together here and nowhere else. Each import waits until its part is needed: a webhook that
QStash takes never loads the database client, and a cold start is that much shorter.
"""

import os
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from lib.core import log
from lib.core.env_vars import DEFAULTS
from lib.core.settings import Settings, load

if TYPE_CHECKING:
    import httpx

    from lib.accounts.store import AccountStore
    from lib.archive.store import ArchiveStore
    from lib.database import Database
    from lib.dead_letters.store import DeadLetterStore
    from lib.graph.client import GraphClient
    from lib.ingest.forwarder import Forwarder
    from lib.ingest.http_client import IngestHttpClient
    from lib.ingest.ingestor import Ingestor
    from lib.privacy.store import ErasureStore
    from lib.processing.processor import Processor
    from lib.processing.store import EventStore
    from lib.qstash.dlq import DeadLetterQueue
    from lib.qstash.publisher import Publisher
    from lib.recovery.reconciler import Reconciler
    from lib.recovery.redrive import Redriver
    from lib.recovery.sweep_store import SweepStore


class Container:
    """Each client is made once and reused: Vercel runs one event loop for the life of an instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def http(self) -> "httpx.AsyncClient":
        """The HTTP client for reading from the Graph API: it keeps its connections for the next call."""
        return self._graph_client(max_idle=20)

    @cached_property
    def fresh_http(self) -> "httpx.AsyncClient":
        """The HTTP client for sends: each has a connection of its own (`graph.transport` says why)."""
        return self._graph_client(max_idle=0)

    def _graph_client(self, *, max_idle: int) -> "httpx.AsyncClient":
        from lib.graph.transport import MAX_ANSWER_BYTES  # noqa: PLC0415
        from lib.http.transport import client  # noqa: PLC0415

        return client(timeout_s=10.0, max_connections=64, max_idle=max_idle, max_bytes=MAX_ANSWER_BYTES)

    @cached_property
    def publisher(self) -> "Publisher":
        """Publishes to QStash."""
        from lib.qstash.publisher import Publisher  # noqa: PLC0415

        return Publisher(self.settings)

    @cached_property
    def database(self) -> "Database":
        """Calls the SQL functions."""
        from lib.database import Database  # noqa: PLC0415

        return Database(self.settings)

    @cached_property
    def event_store(self) -> "EventStore":
        """Records events and their effects."""
        from lib.processing.store import EventStore  # noqa: PLC0415

        return EventStore(self.database, self.settings)

    @cached_property
    def archive(self) -> "ArchiveStore":
        """Reads and empties the raw archive."""
        from lib.archive.store import ArchiveStore  # noqa: PLC0415

        return ArchiveStore(self.database)

    @cached_property
    def sweep_store(self) -> "SweepStore":
        """Finds the events that nobody finished."""
        from lib.recovery.sweep_store import SweepStore  # noqa: PLC0415

        return SweepStore(self.database)

    @cached_property
    def dead_letters(self) -> "DeadLetterStore":
        """Keeps and closes dead letters."""
        from lib.dead_letters.store import DeadLetterStore  # noqa: PLC0415

        return DeadLetterStore(self.database)

    @cached_property
    def reconciler(self) -> "Reconciler":
        """Looks up unknown sends in their conversations."""
        from lib.recovery.reconcile_store import ReconcileStore  # noqa: PLC0415
        from lib.recovery.reconciler import Reconciler  # noqa: PLC0415

        return Reconciler(self.settings, store=ReconcileStore(self.database), accounts=self.accounts, graph=self.graph)

    @cached_property
    def accounts(self) -> "AccountStore":
        """Our accounts and their stored tokens."""
        from lib.accounts.store import AccountStore  # noqa: PLC0415

        return AccountStore(self.database, self.settings)

    @cached_property
    def erasures(self) -> "ErasureStore":
        """Takes up erasure requests and carries them out."""
        from lib.privacy.store import ErasureStore  # noqa: PLC0415

        return ErasureStore(self.database)

    @cached_property
    def graph(self) -> "GraphClient":
        """Calls Instagram's Graph API."""
        from lib.graph.client import GraphClient  # noqa: PLC0415

        return GraphClient(
            self.http,
            version=self.settings.graph_api_version,
            instagram_url=self.settings.graph_instagram_url,
            facebook_url=self.settings.graph_facebook_url,
            fresh_http=self.fresh_http,
        )

    @cached_property
    def processor(self) -> "Processor":
        """Makes one event take effect."""
        from lib.processing.processor import Processor  # noqa: PLC0415

        return Processor(
            self.settings,
            store=self.event_store,
            accounts=self.accounts,
            publisher=self.publisher,
            graph=self.graph,
        )

    @cached_property
    def ingestor(self) -> "Ingestor":
        """Makes events durable: through QStash, or by processing them here."""
        from lib.ingest.ingestor import Ingestor  # noqa: PLC0415

        return Ingestor(
            publisher=self.publisher, processor=lambda: self.processor, dead_letters=lambda: self.dead_letters
        )

    @cached_property
    def redriver(self) -> "Redriver":
        """Works off dead letters."""
        from lib.recovery.redrive import Redriver  # noqa: PLC0415

        return Redriver(self.dead_letters, ingestor=self.ingestor, dlq=self.dlq)

    @cached_property
    def dlq(self) -> "DeadLetterQueue":
        """QStash's own dead letter queue."""
        from lib.qstash.dlq import DeadLetterQueue  # noqa: PLC0415

        return DeadLetterQueue(self.settings)

    @cached_property
    def ingest_client(self) -> "IngestHttpClient":
        """Posts to our own ingest endpoint."""
        from lib.ingest.forwarder import INGEST_PATH  # noqa: PLC0415
        from lib.ingest.http_client import IngestHttpClient  # noqa: PLC0415

        return IngestHttpClient(self.settings.base_url + INGEST_PATH)

    @cached_property
    def forwarder(self) -> "Forwarder":
        """Hands a webhook's events on to the ingest endpoint."""
        from lib.ingest.forwarder import Forwarder  # noqa: PLC0415

        return Forwarder(self.settings, client=self.ingest_client, ingestor=lambda: self.ingestor)

    async def close(self) -> None:
        """Closes the connections that were opened, for a command that ends. The platform simply stops a function."""
        opened = self.__dict__
        for name in opened.keys() & {"http", "fresh_http"}:
            await opened[name].aclose()
        for name in opened.keys() & {"ingest_client", "database", "publisher", "dlq"}:
            await opened[name].close()


@lru_cache(maxsize=1)
def container() -> Container:
    """Returns the container of this process. Raises `BadConfiguration`, which names every wrong setting."""
    log.configure(DEFAULTS["LOG_LEVEL"])  # so that a complaint about the settings is a log line like any other
    settings = load(os.environ)
    log.configure(settings.log_level)
    return Container(settings)
