"""Pay through the balancer with nothing but grpcio: the messages come from the gateway's reflection.

usage: pay.py BALANCER CERTS USER AMOUNT

USER pays AMOUNT minor units from the first of his accounts to the second, under a fresh payment id, and then asks
again with the same id: the money moves once. Needs: pip install grpcio grpcio-reflection
"""

import pathlib
import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "strife.gateway.v1.PaymentGateway"


def connect(balancer, certs, user):
    read = lambda name: (pathlib.Path(certs) / name).read_bytes()
    identity = grpc.ssl_channel_credentials(
        read("ca.pem"), read(f"client-{user}-key.pem"), read(f"client-{user}.pem")
    )
    # The balancer routes by :authority; its certificate is valid for the names of its pools.
    return grpc.secure_channel(balancer, identity, [("grpc.default_authority", "gateway")])


def gateway(channel):
    """Calls a method by name with fields as keywords."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName(SERVICE)

    def call(name, **fields):
        method = service.FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        answer = message_factory.GetMessageClass(method.output_type)
        stub = channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return stub(request, timeout=10)

    return call


def main(balancer, certs, user, amount):
    with connect(balancer, certs, user) as channel:
        call = gateway(channel)
        first, second = call("GetBalance").accounts[:2]
        payment = {
            "payment_id": str(uuid.uuid4()),
            "from": {"bank": first.account.bank, "account_id": first.account.account_id},
            "to": {"bank": second.account.bank, "account_id": second.account.account_id},
            "amount": {"minor_units": int(amount), "currency": first.available.currency},
        }
        answer = call("ProcessPayment", **payment)
        again = call("ProcessPayment", **payment)
        assert answer == again, "the same id has the same answer"
        print(answer)
        for account in call("GetBalance").accounts:
            balance = account.available
            print(f"{account.account.account_id}: {balance.minor_units} {balance.currency} minor units")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
