"""The policy `policy_name`: it sees requests before endpoints do, and responses before clients do.

In tidegate.yaml:

    functions:
      policy_name: { handler: "policy_name:policy_name", kind: policy }
    routes:
      - path: /
        policies: [{ type: python, function: policy_name }]
        to: "http://localhost:8081"

Add `shadow: true` to the policy to try it first: what it would have refused is logged, and not done.
"""

from tidegate import CallNext, Request, Response, policy

KEYS = {"let-me-in"}


@policy
async def policy_name(request: Request, call_next: CallNext) -> Response:
    """Asks for a key, and keeps it to itself."""
    if request.headers.get("x-key") not in KEYS:
        return Response.problem(401, "send a key in X-Key")
    del request.headers["x-key"]
    # Without the parameter `call_next`, the response is not shown.
    response = await call_next(request)
    response.headers["x-policy"] = "policy_name"
    return response
