"""The bytes between two nodes: the schema, what is generated from it, and what keeps the rules it cannot say.

``p2p.proto`` is written by hand; ``p2p_pb2.py`` and ``p2p_pb2.pyi`` are generated from it and committed, so that nobody
needs a compiler to install the node. To make them again, at the root of a checkout, in an environment of its own
(the compiler is an old one on purpose: newer ones write code that refuses older protobuf runtimes)::

    pip install "grpcio-tools==1.64.3" "mypy-protobuf==3.6.0"
    python -m grpc_tools.protoc -I .dev --python_out=.dev --mypy_out=.dev ziggurat/node/wire/p2p.proto
"""
