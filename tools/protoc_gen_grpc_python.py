"""The gRPC generator inside grpcio-tools, offered to buf as an ordinary protoc plugin."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(
    request: plugin_pb2.CodeGeneratorRequest,
) -> plugin_pb2.CodeGeneratorResponse:
    """Run protoc's built-in gRPC generator over the files that buf hands us."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as folder:
        descriptors, out = Path(folder, "in.binpb"), Path(folder, "out")
        out.mkdir()
        descriptors.write_bytes(
            FileDescriptorSet(file=request.proto_file).SerializeToString()
        )
        failed = protoc.main(
            [
                "protoc",
                f"--descriptor_set_in={descriptors}",
                f"--grpc_python_out={out}",
                *request.file_to_generate,
            ]
        )
        if failed:
            response.error = "grpc_tools.protoc failed"
        for file in sorted(out.rglob("*.py")):
            text = file.read_text()
            # protoc writes an empty module for a file without a service.
            if "Stub" in text:
                response.file.add(name=file.relative_to(out).as_posix(), content=text)
    return response


if __name__ == "__main__":
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString())
