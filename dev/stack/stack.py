"""The local stack as one object: start it, use its URLs, break parts of it, stop it.

Holds which components there are and how they depend on each other. `components` says how each is run.
"""

import atexit
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.stack import components, environment, keys, migrations
from dev.stack.component import Component, Spec
from dev.stack.config import StackConfig
from dev.stack.errors import StackError
from dev.stack.lock import DataLock
from dev.stack.ports import answers, free_port, is_free, taken
from dev.stack.postgres import SUPERUSER, Cluster

Report = Callable[[str], None]
# The database is stopped last, when nothing uses it any more.
DATABASE = ("rest", "postgrest", "postgres")


def _silent(_: str) -> None:
    """No report."""


class Stack:
    """Everything the pipeline needs, on one machine. `with Stack(config) as stack: ...` starts and stops it.

    Component names: `functions`, `qstash`, `graph`, `rest` (the Supabase gateway), `postgrest`, `postgres`.
    """

    def __init__(self, config: StackConfig | None = None) -> None:
        self.config = config or StackConfig()
        self._cluster = Cluster(self.config.data_dir.resolve(), self.config.ports.postgres, self.config.fast)
        self._lock = DataLock(self.config.data_dir)
        self._cancelled = threading.Event()
        self._components: dict[str, Component] = {}
        self._report: Report = _silent

    # Where things are.

    @property
    def functions_url(self) -> str:
        """Where the functions are served."""
        return components.on(self.config.ports.functions)

    @property
    def qstash_url(self) -> str:
        """The QStash in use."""
        return self.env["QSTASH_URL"]

    @property
    def graph_url(self) -> str:
        """The Instagram Graph API in use."""
        return self.env["GRAPH_INSTAGRAM_URL"]

    @property
    def supabase_url(self) -> str:
        """The Supabase project in use."""
        return self.env["SUPABASE_URL"]

    @property
    def service_role_key(self) -> str:
        """The server's key for that project."""
        return self.env["SUPABASE_SERVICE_ROLE_KEY"]

    @property
    def anon_key(self) -> str:
        """The key that a browser would hold. It opens nothing here. For the local database only."""
        return keys.supabase_jwt("anon")

    @property
    def local_database(self) -> bool:
        """Whether the database is the stack's own."""
        return not self._is_remote("SUPABASE_URL")

    @property
    def dsn(self) -> str:
        """The local database for psycopg, as `postgres`: owner of the schema, no superuser."""
        if not self.local_database:
            raise StackError("SUPABASE_URL is set, so there is no local database to connect to.")
        return self._cluster.dsn("postgres")

    @property
    def env(self) -> dict[str, str]:
        """Every variable the functions need. Raises `StackError` if a setting lacks the one that belongs to it."""
        ports, user = self.config.ports, self.config.env
        return environment.functions_environment(
            user,
            functions_url=self.functions_url,
            qstash=environment.qstash_settings(user, components.on(ports.qstash)),
            supabase=environment.supabase_settings(user, components.on(ports.rest)),
            graph=environment.graph_settings(user, components.on(ports.graph)),
        )

    # Its life.

    def start(self, report: Report = _silent) -> None:
        """Starts everything and reports each step. If it raises (`StackError`), nothing is left running."""
        self._report = report
        self._cancelled.clear()
        began = time.monotonic()
        environment_of_functions = self.env
        self._lock.acquire()
        atexit.register(self.stop)
        try:
            self._prepare(environment_of_functions)
            self._start_all()
        except BaseException:
            self.stop()
            raise
        report(f"ready after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """Stops everything this stack has started. The data stays. Safe to call twice."""
        atexit.unregister(self.stop)
        self._cancelled.set()
        others = [component for name, component in self._components.items() if name not in DATABASE]
        for component in others:
            component.ask_to_stop()
        for component in others:
            component.stop()
        for name in DATABASE:
            if name in self._components:
                self._components[name].stop()
        self._components.clear()
        self._lock.release()

    def __enter__(self) -> Self:
        self.start(self._report)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log_path(self, name: str) -> Path:
        """The log of a component."""
        return self.config.data_dir / "logs" / f"{name}.log"

    # Breaking and mending parts.

    @property
    def names(self) -> list[str]:
        """The components this stack runs itself."""
        return list(self._components)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to a component. SIGKILL, SIGSTOP and SIGCONT reach its own children too."""
        self._component(name).kill(number)

    def start_component(self, name: str) -> None:
        """Starts a component that was stopped or killed. Does nothing if it runs."""
        self._component(name).start()

    def stop_component(self, name: str) -> None:
        """Stops a component in good order. Its port then refuses connections."""
        self._component(name).stop()

    def pid(self, name: str) -> int | None:
        """Returns the component's process id, or None if it does not run."""
        return self._component(name).pid

    def is_running(self, name: str) -> bool:
        """Whether the component's process exists."""
        return self._component(name).running

    @contextlib.contextmanager
    def functions(self, extra_env: Mapping[str, str]) -> Iterator[str]:
        """Starts another process that serves the functions, with `extra_env` on top of `env`. Yields its base URL.

        Its `PUBLIC_URL` is its own address unless `extra_env` has another, so QStash delivers to it.
        """
        port = free_port()
        env = {**self.env, "PUBLIC_URL": components.on(port), **extra_env}
        extra = self._add(components.functions(self.config, env, port), f"functions-{port}")
        try:
            extra.start()
            yield components.on(port)
        finally:
            extra.stop()
            del self._components[f"functions-{port}"]

    def dead(self) -> list[str]:
        """Returns, for each component that has ended by itself, a sentence with the end of its log."""
        return [component.obituary() for component in self._components.values() if component.died]

    # How it starts.

    def _prepare(self, env: Mapping[str, str]) -> None:
        """Decides which components this stack runs. Raises `StackError` if a port is taken."""
        ports = self.config.ports
        (self.config.data_dir / "logs").mkdir(exist_ok=True)
        if self._is_remote("SUPABASE_URL"):
            self._report(f"supabase: using {env['SUPABASE_URL']}")
        else:
            self._add(components.gateway(ports.rest, ports.postgrest))
            self._add(components.postgrest_server(self._cluster, ports.postgrest))
            self._add(components.postgres(self._cluster, self._heal))
        if self._is_remote("QSTASH_URL"):
            self._report(f"qstash: using {env['QSTASH_URL']}")
        elif answers(ports.qstash) and components.is_qstash(ports.qstash):
            self._report(f"qstash: using the one that answers on port {ports.qstash}")
        else:
            self._add(components.qstash(ports.qstash, self.config.time_scale))
        if self._is_remote("GRAPH_INSTAGRAM_URL"):
            self._report(f"graph: using {env['GRAPH_INSTAGRAM_URL']}")
        else:
            self._add(components.graph(self.config, self.functions_url))
        self._add(components.functions(self.config, env, ports.functions))
        for component in self._components.values():
            if not is_free(component.spec.port):
                raise taken(component.spec.name, component.spec.port)

    def _start_all(self) -> None:
        independent = [name for name in self._components if name not in ("postgres", "postgrest")]
        with ThreadPoolExecutor(max_workers=8) as pool:
            tasks = [pool.submit(self._start_one, name) for name in independent]
            if "postgres" in self._components:
                tasks.append(pool.submit(self._start_database))
            try:
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            except BaseException:
                self._cancelled.set()
                raise
            failures = [error for task in done if (error := task.exception()) is not None]
            if failures:
                self._cancelled.set()  # the others stop waiting
                raise failures[0]

    def _start_one(self, name: str) -> None:
        began = time.monotonic()
        self._component(name).start()
        self._report(f"{name}: ready ({time.monotonic() - began:.1f} s)")

    def _start_database(self) -> None:
        if not self._cluster.exists():
            self._report("postgres: creating the database (first start)")
            self._cluster.create()
        self._start_one("postgres")
        migrations.create_roles(self._cluster.dsn(SUPERUSER), new_project=self.config.new_project)
        self.migrate()
        self._start_one("postgrest")

    def migrate(self) -> int:
        """Applies the new migrations. Returns how many there were."""
        return migrations.migrate(self.dsn, self.config.migrations_dir, self._report)

    def _heal(self) -> None:
        leftover = self._cluster.heal()
        if leftover is not None:
            self._report(leftover)

    def _add(self, spec: Spec, log_name: str | None = None) -> Component:
        name = log_name or spec.name
        log_path = self.log_path(name)
        log_path.write_bytes(b"")
        component = Component(spec, log_path, self._lock, self._cancelled)
        self._components[name] = component
        return component

    def _component(self, name: str) -> Component:
        try:
            return self._components[name]
        except KeyError:
            raise StackError(
                f"This stack runs no {name!r}; it runs {', '.join(self._components) or 'nothing'}."
            ) from None

    def _is_remote(self, variable: str) -> bool:
        return bool(self.config.env.get(variable))
