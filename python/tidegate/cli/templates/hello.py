"""The functions of tidegate.yaml."""

import json


async def hello(request):
    """A plain function: the request in, text or a response out."""
    return f"hello {request.parameters['name']}\n"


def users(event, context):
    """A handler as AWS Lambda calls it."""
    return {"statusCode": 200, "body": json.dumps({"id": event["pathParameters"]["id"]})}
