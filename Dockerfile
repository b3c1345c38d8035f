FROM python:3.13-slim AS dependencies

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

WORKDIR /build
# pip has nothing to do in what runs: it stays here, in a folder of its own.
RUN python -m venv /pip && python -m venv --without-pip /venv

# A layer of their own: a change of the code neither installs nor ships them anew.
COPY requirements.lock requirements-otel.lock requirements-fast.lock ./
# requirements-otel.lock is the same with OpenTelemetry, for WALLET_TRACING=on.
ARG LOCK=requirements.lock
RUN /pip/bin/pip --python /venv install --require-hashes \
        -r "$LOCK" -r requirements-fast.lock


FROM dependencies AS application

COPY LICENSE README.md pyproject.toml setup.cfg ./
COPY wallet_app wallet_app
RUN /pip/bin/pip install --no-deps --target /application .


FROM python:3.13-slim

ENV PATH="/venv/bin:$PATH" \
    PYTHONPATH=/application \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# A volume over a folder of the image belongs to whom the folder belongs to.
RUN useradd --system --no-create-home --uid 10001 --shell /usr/sbin/nologin wallet \
    && install --directory --owner=wallet /var/lib/wallet/statements

WORKDIR /app
COPY --from=dependencies /venv /venv
COPY --from=application /application /application
COPY gunicorn.conf.py wsgi.py celery_worker.py ./
COPY serving serving
COPY migrations migrations

USER 10001
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

CMD ["gunicorn", "--bind", "0.0.0.0:8000", "wsgi:app"]
