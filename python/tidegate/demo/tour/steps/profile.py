# SPDX-License-Identifier: Apache-2.0
"""Step: the page is served and its form updates a database, both through the gateways alone."""

from __future__ import annotations

import re
import time

from tidegate.demo.running import ConfigFile
from tidegate.demo.tour.step import Step, Tour

ROUTE = re.compile(r"  - name: users\n(    .*\n)*?    to: user\n")


def _run(tour: Tour) -> None:
    mark = tour.evidence.mark()
    entry = tour.running.places.entry
    page = tour.ask("/", fields={"accept": "text/html"})
    text = page.body.decode("utf-8", "replace")
    tour.check(
        page.status == 200, f"the page is served by {page.instance or 'nobody'} (status {page.status})"
    )
    tour.check('action="/users/1"' in text and "//127" not in text, "its form knows a path and no address")

    name = f"Mara {time.time_ns() % 1_000_000:06d}"
    fields = {"accept": "text/html", "origin": entry}
    answer = tour.ask("/users/1", form={"name": name}, fields=fields)
    tour.check(
        answer.status == 303,
        f"Update Profile is answered with a redirect to the page (status {answer.status})",
    )
    tour.check(
        answer.fields.get("location", "").startswith("/?"), "and the browser stays on the gateway's address"
    )

    rows = tour.evidence.rows("user", "SELECT name, updated_by FROM users WHERE id = 1")
    tour.check(bool(rows) and rows[0][0] == name, f"the user service's database says {name!r}")
    posts = [seen for seen in tour.evidence.since(mark, "user-*", "/users/1") if seen.method == "POST"]
    tour.check(len(posts) == 1, f"one user instance logged one POST ({len(posts)} found)")
    way = posts[0].fields.get("via", "")
    tour.check("load-balancer" in way and "gateway-" in way, f"it came by way of {way or 'nobody'}")
    tour.check(
        posts[0].instance == rows[0][1], f"the instance that logged it, {posts[0].instance}, wrote the row"
    )
    client = posts[0].fields.get("x-forwarded-for", "")
    tour.check(client.startswith("127.0.0.1"), f"and was told who the client is: {client or 'nobody'}")


def _without_route(config: ConfigFile) -> None:
    # Its `retries` stay for the others, on a route that nobody asks for.
    config.write(ROUTE.sub("  - name: users\n    path: /nobody\n    to: user\n", config.text))


STEP = Step(
    name="profile",
    title="The page is served, and Update Profile reaches the user service's database",
    run=_run,
    broken="the gateways' route to the user service",
    edits={"gateway.yaml": _without_route},
)
