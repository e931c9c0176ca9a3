"""A gRPC client that knows nothing of Strife: grpcio, unchanged, through the balancer over mutual TLS.

usage: client.py BALANCER CERTS ACCOUNT

Unary calls, a bidirectional stream (reflection), a server stream (health watch) and a failing call; prints
`ok` and what it did, or fails with what was wrong. All messages are built from what reflection says.
"""

import pathlib
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CALLS = 200
SERVICE = "strife.bank.v1.BankService"


def channel(balancer, certs):
    read = lambda name: (pathlib.Path(certs) / name).read_bytes()
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read("ca.pem"),
        private_key=read("loadgen-1-key.pem"),
        certificate_chain=read("loadgen-1.pem"),
    )
    return grpc.secure_channel(balancer, credentials, [("grpc.default_authority", "bank.icici")])


def main(balancer, certs, account):
    with channel(balancer, certs) as bank:
        grpc.channel_ready_future(bank).result(timeout=30)

        database = ProtoReflectionDescriptorDatabase(bank)
        assert SERVICE in database.get_services(), database.get_services()
        service = descriptor_pool.DescriptorPool(database).FindServiceByName(SERVICE)
        method = service.FindMethodByName("ValidateAccount")
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        validate = bank.unary_unary(
            f"/{SERVICE}/ValidateAccount",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )

        servers = set()
        for _ in range(CALLS):
            answer, call = validate.with_call(request_type(account_id=account), timeout=30)
            assert answer.account_id == account and answer.currency == "INR", answer
            servers |= {value for key, value in call.initial_metadata() if key == "x-strife-endpoint"}
        assert len(servers) == 2, f"round robin over both servers, not {servers}"

        futures = [validate.future(request_type(account_id=account), timeout=30) for _ in range(CALLS)]
        assert all(future.result().account_id == account for future in futures)

        watch = health_pb2_grpc.HealthStub(bank).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()

        balance = bank.unary_unary(f"/{SERVICE}/GetAccountBalance")
        try:
            balance(request_type(account_id="nobody").SerializeToString(), timeout=30)
            raise AssertionError("an unknown account has no balance")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
    print(f"ok: {2 * CALLS} unary calls to {len(servers)} servers, two kinds of streams, one refusal")


if __name__ == "__main__":
    main(*sys.argv[1:])
