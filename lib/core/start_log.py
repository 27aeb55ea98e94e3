"""Importing this module makes every line of the process JSON. Each file of `api/` imports it before all else.

The settings are read at the first request, and until then a library's warning, a refused request or an import that
fails would be plain text in the log.
"""

from lib.core import log, stray_output
from lib.core.env_vars import DEFAULTS

log.configure(DEFAULTS["LOG_LEVEL"])
stray_output.catch()
