"""`python -m dev graph`: starts the Graph stand-in."""

import click

_HELP = """A stand-in for Instagram's Graph API, with the echo webhook that a real send causes.

Tokens that begin with `local-` are good. A token that ends in an account's id is that account's alone. Tokens
that begin with `local-young-` or `local-short-` are not refreshed, as those that are younger than a day or live
for an hour. Tokens that begin with `EXPIRED` are expired. Everybody with a numeric id has a profile, except for
ids that end in 000230 (no consent), 009010 or 2534014 (no such person), 2534022 (outside the 24 hours), 000551
(not receiving messages).

The paths of graph.facebook.com are below /facebook.

Set faults while it runs: POST /__dev/faults {"endpoint": "send", "fault": "cut_after_accept",
"times": 1}. A refusal with "accepts": true is of a message that was sent all the same. GET /__dev/sent lists
every accepted message.
"""


@click.command(help=_HELP)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--webhook-url", default="", help="Where to post echoes. Without it there are no echoes.")
@click.option(
    "--app-secret",
    default="local-app-secret",
    show_default=True,
    help="Signs echoes, and checks appsecret_proof if a call has one.",
)
@click.option(
    "--account-id",
    default="17841400000000001",
    show_default=True,
    help="The account behind `me`, for a token that belongs to no account.",
)
@click.option(
    "--echo",
    default="on",
    show_default=True,
    type=click.Choice(["on", "early", "late", "off"]),
    help="When to post an echo: shortly after the send, before its answer, late, or never.",
)
def graph(  # noqa: PLR0917  click passes by name
    port: int,
    host: str,
    webhook_url: str,
    app_secret: str,
    account_id: str,
    echo: str,
) -> None:
    import uvicorn  # noqa: PLC0415  `--help` need not load a server

    from dev.graph import GraphConfig, create_app  # noqa: PLC0415
    from dev.graph.config import EchoMode  # noqa: PLC0415

    config = GraphConfig(
        webhook_url=webhook_url,
        app_secret=app_secret,
        account_id=account_id,
        echo=EchoMode(echo),
    )
    click.echo(f"Graph stand-in on http://{host}:{port} (echoes to {webhook_url or 'nowhere'})")
    # A caller left hanging by a fault must not keep the server from ending.
    uvicorn.run(
        create_app(config),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
