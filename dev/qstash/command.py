"""`python -m dev qstash`: the stand-in as a process of its own."""

import click

from dev.qstash.config import DEV_CURRENT_KEY, DEV_NEXT_KEY, DEV_TOKEN, Config


@click.command(name="qstash")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65_535), help="Port.")
@click.option(
    "--time-scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0.0, min_open=True),
    help="Factor on every wait: retry delays, delays, rate periods, the deduplication window, schedules. "
    "0.001 turns 12 s into 12 ms.",
)
@click.option("--keep-delays", is_flag=True, help="Do not shorten the delay that a publisher asks for.")
@click.option("--token", default=DEV_TOKEN, help="QSTASH_TOKEN.  [default: the dev server's first user]")
@click.option("--current-key", default=DEV_CURRENT_KEY, help="QSTASH_CURRENT_SIGNING_KEY.  [default: likewise]")
@click.option("--next-key", default=DEV_NEXT_KEY, help="QSTASH_NEXT_SIGNING_KEY.  [default: likewise]")
def qstash(
    host: str, port: int, time_scale: float, *, keep_delays: bool, token: str, current_key: str, next_key: str
) -> None:
    """A local QStash: in memory, same API, same port, token and keys as Upstash's own dev server."""
    from dev.qstash.server import Server, port_is_free  # noqa: PLC0415  --help should not load a web server

    if not port_is_free(host, port):
        raise click.ClickException(f"{host}:{port} is in use. Choose another one with --port.")
    config = Config(
        host=host,
        port=port,
        time_scale=time_scale,
        keep_delays=keep_delays,
        token=token,
        current_key=current_key,
        next_key=next_key,
    )
    shown_host = f"[{host}]" if ":" in host else host
    click.echo(
        f"QStash stand-in on http://{shown_host}:{port}"
        f" (token {token[:6]}…, time scale {time_scale:g}; stop with Ctrl-C)"
    )
    Server(config).run()
