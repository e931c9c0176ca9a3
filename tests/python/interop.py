"""What the interoperability client and server share: the protocol's messages, the headers, the limits.

Messages are made from tests/interop/proto when this is imported; see tests/interop/src/lib.rs for the
headers that are not the protocol's.
"""

import pathlib
import sys

import grpc
import grpc_tools

# As a module `grpc.testing` would be looked for in grpcio itself, so the file stands alone here.
PROTO = pathlib.Path(__file__).parent.parent / "interop/proto/grpc/testing"
sys.path.insert(0, str(PROTO))
messages, services = grpc.protos_and_services("test.proto")
# ORCA's reports, and google/protobuf/duration.proto for them.
sys.path += [str(PROTO.parents[4] / "proto/proto"), str(pathlib.Path(grpc_tools.__file__).parent / "_proto")]
load_messages = grpc.protos("xds/data/orca/v3/orca_load_report.proto")
load_requests, load_services = grpc.protos_and_services("xds/service/orca/v3/orca.proto")

ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"
CALL = "x-strife-test-call"
HOLD = "x-strife-test-hold"
DETAILS = "x-strife-test-details-bin"
LOAD = "endpoint-load-metrics-bin"

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


def load_report(wanted):
    """What a test asks for (TestOrcaReport) as ORCA has it."""
    return load_messages.OrcaLoadReport(
        cpu_utilization=wanted.cpu_utilization,
        mem_utilization=wanted.memory_utilization,
        request_cost=wanted.request_cost,
        utilization=wanted.utilization,
    )


def flag(text):
    return text.lower() == "true"
