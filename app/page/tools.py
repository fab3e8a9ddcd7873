"""The endpoints as the tools of an MCP server (Model Context Protocol), at ``/gradio_api/mcp/``."""

import importlib.util
import json
import os
import re
from typing import Any
from urllib.parse import unquote

from gradio.mcp import GradioMCPServer

from app import uploads

ADDRESS = re.compile(r"https?://[^/?#\s]+/[^?#\s]+", re.IGNORECASE)
KEPT_HERE = "/gradio_api/file="
"""What stands in the address under which the lab serves a file of its own, on whatever host."""
LONGEST_ADDRESS = 4096
"""Characters of one: a stranger's text may be as long as a picture in base64."""


def wanted() -> bool:
    """Whether there is to be such a server: where ``mcp`` is installed, unless GRADIO_MCP_SERVER is false."""
    switch = os.environ.get("GRADIO_MCP_SERVER", "true")
    return switch.lower() == "true" and importlib.util.find_spec("mcp") is not None


class Tools(GradioMCPServer):
    """Gradio's own server of tools, with what it is sent checked before it acts on it.

    Gradio 6.31 calls the endpoint of a tool through a ``gradio_client`` *in this process*, which uploads any
    file of this machine that an argument names: the gate of the endpoint would then see an upload like any
    other. What keeps paths from it is that they do not fit the schema, and that is little. It writes base64
    of any length to disk, too. Here all arguments pass the gate of :mod:`app.uploads` first, and what is
    left of a picture is a name that the client leaves alone.

    Besides, it asks for an address of the web, which the lab refuses, and gives JSON as Python writes it.
    """

    @property
    def _file_data_tool_description(self) -> str:
        return ""  # the docstrings say what a picture is

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """The arguments of a tool, admitted.

        Raises:
            UploadError: a file that may not pass, in whatever argument.
        """
        return {name: _admitted(sent, [name] in filedata_positions) for name, sent in value.items()}

    def get_input_schema(
        self, tool_name: str, parameters: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        """What a tool takes: a picture is text, and what has no default may be null."""
        schema, pictures = super().get_input_schema(tool_name, parameters)
        endpoint = self.api_info["named_endpoints"][self.tool_to_endpoint[tool_name]]
        for parameter in endpoint["parameters"]:
            field = schema["properties"][parameter["parameter_name"]]
            if [parameter["parameter_name"]] in pictures:
                del field["format"]
            elif parameter.get("parameter_has_default"):
                field["default"] = parameter["parameter_default"]
                if field["default"] is None:
                    field["type"] = [field["type"], "null"]
        return schema, pictures

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """What a tool answers: pictures as they are, addresses of files, and JSON."""
        if len(data) == 1 and isinstance(data[0], list | tuple):  # of several outputs, without progress
            (data,) = data
        return super().postprocess_output_data([_written(output) for output in data], root_url)

    def _get_or_create_client(self) -> Any:
        # Before it knows its own address, Gradio would believe whatever Host a stranger's request names.
        if self.local_url is None:
            raise RuntimeError("The lab has just been started; try again in a moment.")
        return super()._get_or_create_client()


def _admitted(sent: Any, is_picture: bool) -> Any:
    """One argument of a tool. A picture is base64, or a file that the lab itself keeps, by its address."""
    if is_picture and isinstance(sent, str) and len(sent) <= LONGEST_ADDRESS and ADDRESS.fullmatch(sent):
        _, mark, name = sent.rpartition(KEPT_HERE)
        sent = unquote(name) if mark else sent
    (admitted,) = uploads.admit_all([sent], lambda _: is_picture)
    # Without `meta` it is no file to the client, which would open it and upload it once more.
    return {"path": admitted["path"]} if is_picture and admitted else admitted


def _written(output: Any) -> Any:
    is_file = isinstance(output, dict) and "meta" in output
    return json.dumps(output) if isinstance(output, dict | list) and not is_file else output
