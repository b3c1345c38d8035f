"""The WSGI application: `gunicorn wsgi:app`, `flask --app wsgi`."""

import sys
from pathlib import Path

from wallet_app import create_app, production
from wallet_app.access import keys
from wallet_app.config import ConfigurationError, Settings
from wallet_app.standalone.embedded import EmbeddedDatabaseError

try:
    settings = Settings.from_environment()
    app = create_app(settings)
    production.refuse_unmigrated(app, settings, Path(__file__).with_name("migrations"))
    production.hint_first_key(app, settings, keys.count)
except (ConfigurationError, EmbeddedDatabaseError) as error:
    print(error, file=sys.stderr)  # noqa: T201
    # gunicorn would restart a worker that ends in any other way, for ever.
    sys.exit(3)
