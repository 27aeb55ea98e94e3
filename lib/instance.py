"""What one function instance holds: its settings, and each client from its first use to its end.

The one place where the parts are put together. Must not know any route. Imports happen where a part is first
needed: a webhook that QStash takes never loads the database client (cold start).
"""

import os
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from lib import log
from lib.settings import Settings, load
from lib.variables import DEFAULTS

if TYPE_CHECKING:
    import httpx

    from lib.account_store import AccountStore
    from lib.archive_store import ArchiveStore
    from lib.dead_letter_store import DeadLetterStore
    from lib.dispatch import Dispatcher
    from lib.erasure_store import ErasureStore
    from lib.graph import Graph
    from lib.hop import Hop
    from lib.ingest import Ingestor
    from lib.process import Processor
    from lib.queue import Queue
    from lib.reconcile import Reconciler
    from lib.redrive import Redriver
    from lib.store import Store
    from lib.sweep_store import SweepStore


class Instance:
    """Clients are made once and reused: Vercel runs one event loop for the life of an instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def http(self) -> "httpx.AsyncClient":
        """For the Graph API; never follows a redirect, as no destination of ours makes one."""
        import httpx  # noqa: PLC0415

        return httpx.AsyncClient(
            timeout=httpx.Timeout(10.0, connect=3.0), follow_redirects=False, limits=httpx.Limits(max_connections=64)
        )

    @cached_property
    def queue(self) -> "Queue":
        from lib.queue import Queue  # noqa: PLC0415

        return Queue(self.settings)

    @cached_property
    def store(self) -> "Store":
        from lib.store import Store  # noqa: PLC0415

        return Store(self.settings)

    @cached_property
    def archive(self) -> "ArchiveStore":
        from lib.archive_store import ArchiveStore  # noqa: PLC0415

        return ArchiveStore(self.store)

    @cached_property
    def unfinished(self) -> "SweepStore":
        from lib.sweep_store import SweepStore  # noqa: PLC0415

        return SweepStore(self.store)

    @cached_property
    def dead_letters(self) -> "DeadLetterStore":
        from lib.dead_letter_store import DeadLetterStore  # noqa: PLC0415

        return DeadLetterStore(self.store)

    @cached_property
    def reconciler(self) -> "Reconciler":
        from lib.reconcile import Reconciler  # noqa: PLC0415
        from lib.reconcile_store import ReconcileStore  # noqa: PLC0415

        return Reconciler(self.settings, store=ReconcileStore(self.store), accounts=self.accounts, graph=self.graph)

    @cached_property
    def accounts(self) -> "AccountStore":
        from lib.account_store import AccountStore  # noqa: PLC0415

        return AccountStore(self.store)

    @cached_property
    def erasures(self) -> "ErasureStore":
        from lib.erasure_store import ErasureStore  # noqa: PLC0415

        return ErasureStore(self.store)

    @cached_property
    def graph(self) -> "Graph":
        from lib.graph import Graph  # noqa: PLC0415

        return Graph(
            self.http,
            version=self.settings.graph_api_version,
            instagram_url=self.settings.graph_instagram_url,
            facebook_url=self.settings.graph_facebook_url,
        )

    @cached_property
    def processor(self) -> "Processor":
        from lib.process import Processor  # noqa: PLC0415

        return Processor(self.settings, store=self.store, queue=self.queue, graph=self.graph)

    @cached_property
    def ingestor(self) -> "Ingestor":
        from lib.ingest import Ingestor  # noqa: PLC0415

        return Ingestor(queue=self.queue, store=lambda: self.store, processor=lambda: self.processor)

    @cached_property
    def redriver(self) -> "Redriver":
        from lib.dlq import DeadLetterQueue  # noqa: PLC0415
        from lib.redrive import Redriver  # noqa: PLC0415

        return Redriver(self.dead_letters, ingestor=self.ingestor, dlq=DeadLetterQueue(self.settings))

    @cached_property
    def hop(self) -> "Hop":
        from lib.dispatch import INGEST_PATH  # noqa: PLC0415
        from lib.hop import Hop  # noqa: PLC0415

        return Hop(self.settings.base_url + INGEST_PATH)

    @cached_property
    def dispatcher(self) -> "Dispatcher":
        from lib.dispatch import Dispatcher  # noqa: PLC0415

        return Dispatcher(self.settings, hop=self.hop, ingestor=lambda: self.ingestor)

    async def close(self) -> None:
        """Closes the connections that were opened, for a command that ends; a function is simply stopped."""
        if "http" in self.__dict__:
            await self.http.aclose()
        if "hop" in self.__dict__:
            await self.hop.close()
        if "store" in self.__dict__:
            await self.store.close()


@lru_cache(maxsize=1)
def instance() -> Instance:
    """The instance of this process. Raises `BadConfiguration` naming every setting that is missing or wrong."""
    log.configure(DEFAULTS["LOG_LEVEL"])  # what is wrong with the settings is to be a line like any other
    settings = load(os.environ)
    log.configure(settings.log_level)
    return Instance(settings)
