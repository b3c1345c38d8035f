"""How gunicorn serves: the worker that gunicorn.conf.py names.

gunicorn's master imports it, and what the master holds its workers inherit: with
anything of wallet_app in here, a reload would go on with the application's old code,
and gevent would patch the standard library too late for it.
"""
