"""The MCP server as an agent meets it: a process, the real client library, three tools."""
import asyncio
import sys
from pathlib import Path
import pytest
from aivd_nb.synth import generated_frames, write_clip

mcp = pytest.importorskip("mcp")


def test_three_tools_over_standard_input_and_output(tmp_path):
    clip = write_clip(tmp_path/"clip.mp4", list(generated_frames(48, (320, 240))), fps=24)
    env = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin", "AIVD_CACHE": str(tmp_path/"cache")}
    server = mcp.StdioServerParameters(command=sys.executable, args=["-c", "from aivd_nb.cli import main; main()", "mcp"], env=env)

    async def talk():
        async with mcp.Client(server) as client:
            tools = (await client.list_tools()).tools
            calls = [await client.call_tool(t.name, {"path": str(clip)}) for t in tools]
            lost = await client.call_tool("check_video", {"path": str(tmp_path/"none.mp4")})
            return tools, calls, lost

    tools, calls, lost = asyncio.run(talk())
    assert [t.name for t in tools] == ["check_video", "explain", "provenance"] and all(t.description and t.input_schema["required"] == ["path"] for t in tools)
    check, explain, provenance = [c.structured_content for c in calls]
    assert check["label"] in ("Real", "AI-Generated", "Inconclusive") and 0 <= check["probability"] <= 1 and "not proof" in check["caveat"]
    assert explain["verdict"]["label"] == check["label"] and explain["explanation"]
    assert provenance["sentence"] == check["origin"]["sentence"]
    assert lost.is_error and "none.mp4" in lost.content[0].text and "Traceback" not in lost.content[0].text
