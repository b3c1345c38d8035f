FROM python:3.13-slim AS dependencies

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# The lock files come alone: a change of the code does not install anew.
COPY requirements.lock requirements-fast.lock /
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes -r /requirements.lock -r /requirements-fast.lock


FROM python:3.13-slim

ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

RUN useradd --system --no-create-home --uid 10001 --shell /usr/sbin/nologin wallet

WORKDIR /app
COPY --from=dependencies /venv /venv
COPY gunicorn.conf.py wsgi.py celery_worker.py ./
COPY migrations migrations
COPY wallet_app wallet_app

USER 10001
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

CMD ["gunicorn", "--bind", "0.0.0.0:8000", "wsgi:app"]
