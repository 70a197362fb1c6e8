"""The stub and the base class of grpclib's tests, made by grpclib's plugin for protoc."""

import subprocess
import sys

import dummy_pb2
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse


def generate() -> str:
    """Return the module that the plugin makes of ``dummy.proto``."""
    request = CodeGeneratorRequest(file_to_generate=["dummy.proto"], proto_file=[dummy_pb2.describe()])
    command = [sys.executable, "-c", "from grpclib.plugin.main import main; main()"]
    done = subprocess.run(command, input=request.SerializeToString(), capture_output=True, check=True)
    (file,) = CodeGeneratorResponse.FromString(done.stdout).file
    assert file.name == "dummy_grpc.py"
    return file.content


exec(compile(generate(), "dummy_grpc.py", "exec"))
