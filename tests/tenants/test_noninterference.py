"""Whatever others do, a tenant's answers are those that it would have without them.

Hypothesis draws requests of two tenants, who use the same uuids and references and ask
for each other's. What the first one is answered is compared with what a third one is
answered that makes the first one's requests alone.
"""

import json
import re
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wallet_app.statements import lifecycle, writer
from wallet_app.statistics import rollup
from wallet_app.webhooks import recording

API = "/api/v1"
# Both tenants use the first two; the others are the second one's alone.
NAMES = [str(uuid.UUID(int=number + 2**100)) for number in range(4)]
FIRST_ONES = st.sampled_from(NAMES[:2])
names = st.sampled_from(NAMES)
references = st.sampled_from([str(uuid.UUID(int=n + 2**101)) for n in range(4)])
amounts = st.sampled_from(["1.00", "2.50", "40.00"])
PERIOD = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


def post(path, body):
    return ("POST", path, body)


def get(path):
    return ("GET", path, None)


creations = st.builds(
    lambda name, currency: post("/wallets", {"uuid": name, "currency": currency}),
    FIRST_ONES,
    st.sampled_from(["USD", "USD", "EUR"]),
)
operations = st.builds(
    lambda name, kind, amount, reference: post(
        f"/wallets/{name}/operation",
        {"operation_type": kind, "amount": amount, "reference_id": reference},
    ),
    names,
    st.sampled_from(["DEPOSIT", "DEPOSIT", "WITHDRAW"]),
    amounts,
    references,
)
transfers = st.builds(
    lambda source, target, amount, reference: post(
        "/transfers",
        {
            "from_wallet": source,
            "to_wallet": target,
            "amount": amount,
            "reference_id": reference,
        },
    ),
    names,
    names,
    amounts,
    references,
)
batches = st.builds(
    lambda members, atomic: post(
        "/operations/batch",
        {
            "operations": [
                {
                    "operation_type": "DEPOSIT",
                    "wallet": name,
                    "amount": amount,
                    "reference_id": reference,
                }
                for name, amount, reference in members
            ],
            "atomic": atomic,
        },
    ),
    st.lists(st.tuples(names, amounts, references), min_size=1, max_size=3),
    st.booleans(),
)
reads = st.one_of(
    st.builds(
        lambda name, end: get(f"/wallets/{name}{end}"),
        names,
        st.sampled_from(
            [
                "",
                "/balance",
                "/transactions",
                "/transactions?limit=1&order=asc",
                "/statistics",
                "/summaries?from=2026-01-01&to=2026-01-03",
            ]
        ),
    ),
    st.builds(lambda name: get(f"/events?wallet={name}"), names),
    st.builds(lambda reference: get(f"/operations/{reference}"), references),
    st.sampled_from(
        [
            get("/wallets"),
            get("/wallets?limit=1"),
            get("/statistics"),
            get("/events"),
            get("/events?limit=2&types=transaction.posted"),
            get("/webhooks"),
        ]
    ),
)
others = st.one_of(
    st.builds(
        lambda name, form: post(
            f"/wallets/{name}/statements", PERIOD | {"format": form}
        ),
        names,
        st.sampled_from(["csv", "json"]),
    ),
    st.just(post("/webhooks", {"url": "https://example.com/hook"})),
)
requests = st.one_of(creations, operations, transfers, batches, reads, others)
# True: the first tenant's. None: the background works.
steps = st.lists(
    st.one_of(st.tuples(st.booleans(), requests), st.none()),
    min_size=10,
    max_size=40,
)

# What no two runs have in common, and what tells of it.
VOLATILE = re.compile(
    r'"(?:id|position|next_after|request_id|secret|sha256|next_cursor)": '
    r'(?:[0-9]+|"[^"]*")'
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?"
)
UUIDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KNOWN = re.compile("000000[0-9a-f]{2}-0000-0000-0000-00000000000[0-9]")


def plain(text):
    text = VOLATILE.sub("~", text)
    return UUIDS.sub(lambda one: one[0] if KNOWN.fullmatch(one[0]) else "~", text)


def answer_of(client, request):
    method, path, body = request
    with client.open(API + path, method=method, json=body) as answer:
        headers = {
            name: plain(value)
            for name, value in answer.headers
            if name in ("Location", "ETag", "Idempotent-Replayed", "Retry-After")
        }
        text = answer.text
        location = answer.headers.get("Location", "")
        if "application" in answer.content_type:
            text = json.dumps(answer.get_json())
    found = [(request, answer.status_code, headers, plain(text))]
    if "/statements/" in location:
        for end in ("", "/file"):
            with client.get(location + end) as more:
                found.append((end, more.status_code, plain(more.text)))
    elif "/webhooks/" in location:
        found.append(plain(client.get(f"{location}/deliveries").text))
    return found


def work_in_the_background():
    rollup.roll_up()
    while recording.record():
        pass
    for statement in lifecycle.due():
        writer.write(statement)


def open_books(client):
    """What a tenant has before it begins."""
    post_wallet = {"uuid": NAMES[0], "currency": "USD"}
    client.post(f"{API}/wallets", json=post_wallet)
    client.post(
        f"{API}/wallets/{NAMES[0]}/operation",
        json={"operation_type": "DEPOSIT", "amount": "100.00"},
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_answers_are_those_of_a_tenant_alone(new_tenant, tenants_app, drawn):
    first, second, alone = new_tenant(), new_tenant(), new_tenant()
    for name in NAMES[2:]:
        second.post(f"{API}/wallets", json={"uuid": name, "currency": "USD"})
    with tenants_app.app_context():
        for client in (first, second):
            open_books(client)
        mixed, lone = [], []
        for step in drawn:
            if step is None:
                work_in_the_background()
                continue
            is_first, request = step
            if is_first:
                mixed.append(answer_of(first, request))
            else:
                answer_of(second, request)
        open_books(alone)
        for step in drawn:
            if step is None:
                work_in_the_background()
            elif step[0]:
                lone.append(answer_of(alone, step[1]))
    assert mixed == lone
