"""The Celery application: `celery -A celery_worker:celery worker`."""

from wsgi import app as flask_app

# Not named app: `celery -A` would take the Flask application for its own.
celery = flask_app.extensions["celery"]
