"""How each component of the stack is run: command line, environment, check of readiness. Starts nothing itself."""

import sys
from collections.abc import Callable, Mapping

from dev.stack import environment, keys, migrations, postgrest
from dev.stack.component import Spec, http_status
from dev.stack.config import ROOT, StackConfig
from dev.stack.ports import HOST
from dev.stack.postgres import SUPERUSER, Cluster


def postgres(cluster: Cluster, before: Callable[[], None]) -> Spec:
    """The database server."""
    run_as = cluster.run_as()
    return Spec(
        name="postgres",
        argv=cluster.command(),
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        port=cluster.port,
        ready=lambda: migrations.accepts_connections(cluster.dsn(SUPERUSER)),
        cwd=cluster.path,
        before=before,
        uid=run_as.uid,
        gid=run_as.gid,
        stop_signal=cluster.STOP_SIGNAL,
    )


def postgrest_server(cluster: Cluster, port: int) -> Spec:
    """PostgREST. Raises `StackError` if its binary is missing or there is none for this machine."""
    settings = postgrest.environment(db_uri=cluster.dsn("authenticator"), port=port, jwt_secret=keys.JWT_SECRET)
    return Spec(
        name="postgrest",
        argv=(str(postgrest.find_binary(ROOT)),),
        env=environment.child_environment(settings),
        port=port,
        ready=lambda: http_status(port) == 200,
        cwd=ROOT,
    )


def gateway(port: int, upstream_port: int) -> Spec:
    """Supabase's gateway."""
    options = ("--port", str(port), "--upstream-port", str(upstream_port))
    return _python("rest", port, ("-m", "dev.stack.gateway", *options))


def qstash(port: int, time_scale: float) -> Spec:
    """The QStash stand-in."""
    options = ("--port", str(port), "--time-scale", f"{time_scale:g}", "--keep-delays")
    return _python("qstash", port, ("-m", "dev", "qstash", *options), ready=lambda: is_qstash(port))


def graph(config: StackConfig, functions_url: str) -> Spec:
    """The Graph API stand-in, which posts echoes to the webhook."""
    account = config.env.get("INSTAGRAM_ACCOUNT_ID")
    app_secret = config.env.get("INSTAGRAM_APP_SECRET") or keys.APP_SECRET
    options = (
        "--port", str(config.ports.graph), "--echo", config.echo,
        "--webhook-url", f"{functions_url}/api/webhooks/instagram",
        "--app-secret", app_secret.split(",")[0].strip(),
        *(("--account-id", account) if account else ()),
    )  # fmt: skip
    return _python("graph", config.ports.graph, ("-m", "dev", "graph", *options))


def functions(config: StackConfig, env: Mapping[str, str], port: int) -> Spec:
    """The functions under `api/`, with their settings."""
    options = ("--port", str(port), "--root", str(config.functions_dir), "--workers", str(config.instances))
    return _python("functions", port, ("-m", "dev", "functions", *options), env=env)


def is_qstash(port: int) -> bool:
    """Whether a QStash with the local token answers on `port`: the stand-in, or Upstash's own local server."""
    headers = {"Authorization": f"Bearer {keys.QSTASH_TOKEN}"}
    return http_status(port, "/v2/keys", headers) == 200


def _python(
    name: str,
    port: int,
    arguments: tuple[str, ...],
    *,
    env: Mapping[str, str] | None = None,
    ready: Callable[[], bool] | None = None,
) -> Spec:
    return Spec(
        name=name,
        argv=(sys.executable, *arguments),
        env=environment.child_environment(env or {}),
        port=port,
        ready=ready or (lambda: http_status(port) is not None),
        cwd=ROOT,
    )


def on(port: int) -> str:
    """The address of a local server."""
    return f"http://{HOST}:{port}"
