"""The reference MCP client on an errand: connects, lists the tools, calls some, and writes down what it was told.

Reads {"url", "clients": [{"mode", "headers", "calls": [{"tool", "arguments"}]}]} and writes one entry for each client.
All clients are at work at once; each numbers its messages from the same start.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def told(result):
    answer = result.model_dump(by_alias=True, mode="json")
    texts = [block["text"] for block in answer["content"] if block["type"] == "text"]
    return {
        "isError": bool(answer.get("isError")),
        "structured": answer.get("structuredContent"),
        "text": "".join(texts),
    }


async def errand(url, wanted):
    async with httpx2.AsyncClient(headers=wanted["headers"], timeout=60, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=wanted["mode"]) as client:
            tools = await client.list_tools()
            answers = [told(await client.call_tool(call["tool"], call["arguments"])) for call in wanted["calls"]]
            return {
                "protocol": client.protocol_version,
                "tools": [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in tools.tools],
                "answers": answers,
            }


async def attempt(url, wanted):
    try:
        return await errand(url, wanted)
    except Exception as error:  # what the client tells its user is what is asked for
        return {"error": repr(error)}
    except BaseExceptionGroup as errors:
        return {"error": repr(errors.exceptions)}


async def main():
    asked = json.load(sys.stdin)
    answers = await asyncio.gather(*(attempt(asked["url"], wanted) for wanted in asked["clients"]))
    json.dump(answers, sys.stdout)


asyncio.run(main())
