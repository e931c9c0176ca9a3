"""What the interoperability client and server share: the protocol's messages, the headers, the limits.

Messages are made from tests/interop/proto when this is imported; see tests/interop/src/lib.rs for the
headers that are not the protocol's.
"""

import pathlib
import sys

import grpc

# As a module `grpc.testing` would be looked for in grpcio itself, so the file stands alone here.
PROTO = pathlib.Path(__file__).parent.parent / "interop/proto/grpc/testing"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("test.proto")

ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"
CALL = "x-strife-test-call"
HOLD = "x-strife-test-hold"
DETAILS = "x-strife-test-details-bin"

OPTIONS = [
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", 8 << 20),
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 64 << 10),
]


def pem(certs, name):
    return (pathlib.Path(certs) / name).read_bytes()


def payload(size):
    return messages.Payload(body=bytes(size))


def flag(text):
    return text.lower() == "true"
