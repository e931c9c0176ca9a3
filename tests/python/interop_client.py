"""gRPC's interoperability cases, and ours, with grpcio as the client.

usage: interop_client.py --server_port PORT [--server_host HOST] [--server_host_override NAME]
                         [--use_tls true --certs DIR] [--calls PREFIX] --test_case CASE[,CASE...]

The cases are those of tests/interop/src/cases.rs and gRPC's negative ones; `all` stands for the former.
Prints `ok CASE` or `FAILED CASE: why` for each and exits with 1 if one failed.
"""

import argparse
import contextlib
import sys
import threading
import traceback

import grpc
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status

import interop
from interop import messages, services

REQUESTS = [27182, 8, 1828, 45904]
RESPONSES = [31415, 9, 2653, 58979]
MESSAGE = "test status message"
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
SOAK_ITERATIONS = 50
LARGE_VALUE = 12 << 10
LARGE_MESSAGE = 4 << 20
# What servers of the negative cases answer with.
SMALL_RESPONSE = 1024
DEADLINE_SECONDS = 3
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


class Target:
    """What the cases are run against."""

    def __init__(self, arguments):
        self.arguments = arguments

    def channel(self):
        host = self.arguments.server_host_override or self.arguments.server_host
        options = interop.OPTIONS + [
            ("grpc.default_authority", host),
            # Channels share connections unless they are told not to.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        address = f"{self.arguments.server_host}:{self.arguments.server_port}"
        if not self.arguments.use_tls:
            return grpc.insecure_channel(address, options)
        certs = self.arguments.certs
        credentials = grpc.ssl_channel_credentials(
            root_certificates=interop.pem(certs, "ca.pem"),
            private_key=interop.pem(certs, "loadgen-1-key.pem"),
            certificate_chain=interop.pem(certs, "loadgen-1.pem"),
        )
        return grpc.secure_channel(address, credentials, options + [("grpc.ssl_target_name_override", host)])

    def call(self, name):
        return (interop.CALL, f"{self.arguments.calls}-{name}")


def large_request():
    return messages.SimpleRequest(response_size=314159, payload=interop.payload(271828))


def check_large(response):
    assert response.payload.body == bytes(314159), len(response.payload.body)


def request(size, *responses):
    parameters = [messages.ResponseParameters(size=response) for response in responses]
    return messages.StreamingOutputCallRequest(payload=interop.payload(size), response_parameters=parameters)


class Requests:
    """The requests of a stream, one by one, until they are closed."""

    def __init__(self, *first):
        self.more = threading.Condition()
        self.waiting, self.closed = list(first), False

    def send(self, message):
        with self.more:
            self.waiting.append(message)
            self.more.notify()

    def close(self):
        with self.more:
            self.closed = True
            self.more.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self.more:
            self.more.wait_for(lambda: self.waiting or self.closed)
            if self.waiting:
                return self.waiting.pop(0)
            raise StopIteration


def failure(call):
    """The error a call ends with."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


@case
def empty_unary(target, stub):
    assert stub.EmptyCall(messages.Empty()) == messages.Empty()


@case
def large_unary(target, stub):
    check_large(stub.UnaryCall(large_request()))


@case
def client_streaming(target, stub):
    requests = [messages.StreamingInputCallRequest(payload=interop.payload(size)) for size in REQUESTS]
    assert stub.StreamingInputCall(iter(requests)).aggregated_payload_size == 74922


@case
def server_streaming(target, stub):
    responses = list(stub.StreamingOutputCall(request(0, *RESPONSES)))
    assert [response.payload.body for response in responses] == [bytes(size) for size in RESPONSES]


@case
def ping_pong(target, stub):
    requests = Requests()
    responses = stub.FullDuplexCall(requests)
    for size, answer in zip(REQUESTS, RESPONSES):
        requests.send(request(size, answer))
        assert next(responses).payload.body == bytes(answer)
    requests.close()
    assert list(responses) == []


@case
def empty_stream(target, stub):
    assert list(stub.FullDuplexCall(iter(()))) == []


@case
def timeout_on_sleeping_server(target, stub):
    requests = Requests(request(27182))
    error = failure(lambda: stub.FullDuplexCall(requests, timeout=0.001))
    requests.close()
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


@case
def cancel_after_begin(target, stub):
    requests = Requests()
    call = stub.StreamingInputCall.future(requests)
    call.cancel()
    requests.close()
    assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED, call


@case
def cancel_after_first_response(target, stub):
    requests = Requests(request(27182, 31415))
    call = stub.FullDuplexCall(requests)
    assert next(call).payload.body == bytes(31415)
    call.cancel()
    requests.close()
    error = failure(lambda: call)
    assert error.code() == grpc.StatusCode.CANCELLED, error


def check_status(error, message):
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, message), error


@case
def status_code_and_message(target, stub):
    status = messages.EchoStatus(code=grpc.StatusCode.UNKNOWN.value[0], message=MESSAGE)
    check_status(failure(lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status))), MESSAGE)
    requests = [messages.StreamingOutputCallRequest(response_status=status)]
    check_status(failure(lambda: stub.FullDuplexCall(iter(requests))), MESSAGE)


@case
def special_status_message(target, stub):
    status = messages.EchoStatus(code=grpc.StatusCode.UNKNOWN.value[0], message=SPECIAL_MESSAGE)
    error = failure(lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status)))
    check_status(error, SPECIAL_MESSAGE)


def check_metadata(stub, initial, trailing):
    metadata = [(interop.ECHO_INITIAL, initial), (interop.ECHO_TRAILING, trailing)]

    def check_call(call):
        assert (interop.ECHO_INITIAL, initial) in call.initial_metadata()
        assert (interop.ECHO_TRAILING, trailing) in call.trailing_metadata()

    response, call = stub.UnaryCall.with_call(large_request(), metadata=metadata)
    check_large(response)
    check_call(call)
    call = stub.FullDuplexCall(iter([request(271828, 314159)]), metadata=metadata)
    assert [len(response.payload.body) for response in call] == [314159]
    check_call(call)


@case
def custom_metadata(target, stub):
    check_metadata(stub, "test_initial_metadata_value", b"\xab\xab\xab")


@case
def unimplemented_method(target, stub):
    error = failure(lambda: stub.UnimplementedCall(messages.Empty()))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


@case
def unimplemented_service(target, stub):
    with target.channel() as channel:
        nobody = services.UnimplementedServiceStub(channel)
        error = failure(lambda: nobody.UnimplementedCall(messages.Empty()))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


@case
def orca_per_rpc(target, stub):
    request = large_request()
    report = request.orca_per_query_report
    report.cpu_utilization, report.memory_utilization = 0.8210, 0.5847
    report.request_cost["cost"], report.utilization["util"] = 3456.32, 0.30499
    # grpcio keeps the report for its own policies: nobody else sees it.
    check_large(stub.UnaryCall(request))


@case
def orca_oob(target, stub):
    with target.channel() as channel:
        asking = interop.load_requests.OrcaLoadReportRequest(report_interval={"seconds": 1})
        reports = interop.load_services.OpenRcaServiceStub(channel).StreamCoreMetrics(asking)
        requests = Requests()
        responses = stub.FullDuplexCall(requests)
        for cpu, memory, util in [(0.8210, 0.5847, 0.30499), (0.29309, 0.2, 0.2039)]:
            wanted = messages.TestOrcaReport(
                cpu_utilization=cpu, memory_utilization=memory, utilization={"util": util}
            )
            telling = request(0, 1)
            telling.orca_oob_report.CopyFrom(wanted)
            requests.send(telling)
            assert next(responses).payload.body == bytes(1)
            # Those before may have been on their way.
            while next(reports) != interop.load_report(wanted):
                pass
        requests.close()
        assert list(responses) == []
        reports.cancel()


@case
def rpc_soak(target, stub):
    for _ in range(SOAK_ITERATIONS):
        check_large(stub.UnaryCall(large_request()))


@case
def channel_soak(target, stub):
    for _ in range(SOAK_ITERATIONS):
        with target.channel() as channel:
            check_large(services.TestServiceStub(channel).UnaryCall(large_request()))


@contextlib.contextmanager
def held_calls(target, stub, name, timeout):
    """A call of each kind that the server takes and does not answer."""
    metadata = lambda kind: [target.call(f"{name}-{kind}"), (interop.HOLD, "1")]
    endless = Requests()
    with target.channel() as channel:
        # Of a unary call grpcio would show the headers when all is there.
        serialize, parse = messages.SimpleRequest.SerializeToString, messages.SimpleResponse.FromString
        unary = channel.unary_stream("/grpc.testing.TestService/UnaryCall", serialize, parse)
        yield [
            unary(messages.SimpleRequest(), timeout, metadata("unary")),
            stub.StreamingOutputCall(request(8, 8), timeout, metadata("server_streaming")),
            stub.StreamingInputCall.future(endless, timeout, metadata("client_streaming")),
            stub.FullDuplexCall(endless, timeout, metadata("full_duplex")),
        ]
        endless.close()


@case
def cancel_each_kind(target, stub):
    with held_calls(target, stub, "cancel", None) as calls:
        for call in calls:
            # They come when the server has begun.
            call.initial_metadata()
            call.cancel()
            assert call.code() == grpc.StatusCode.CANCELLED, call


@case
def deadline_each_kind(target, stub):
    with held_calls(target, stub, "deadline", DEADLINE_SECONDS) as calls:
        for call in calls:
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED, call


@case
def status_details(target, stub):
    rich = status_pb2.Status(code=code_pb2.UNKNOWN, message=MESSAGE)
    rich.details.add().Pack(messages.SimpleRequest(response_size=1))
    status = messages.EchoStatus(code=rich.code, message=MESSAGE)
    metadata = [(interop.DETAILS, rich.SerializeToString())]
    error = failure(lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status), metadata=metadata))
    check_status(error, MESSAGE)
    assert rpc_status.from_call(error) == rich, error


@case
def large_metadata(target, stub):
    check_metadata(stub, "m" * LARGE_VALUE, bytes(index % 256 for index in range(LARGE_VALUE * 3 // 4)))


@case
def four_mebibytes(target, stub):
    message = messages.SimpleRequest(response_size=LARGE_MESSAGE, payload=interop.payload(LARGE_MESSAGE))
    assert stub.UnaryCall(message).payload.body == bytes(LARGE_MESSAGE)
    call = stub.FullDuplexCall(iter([request(LARGE_MESSAGE, LARGE_MESSAGE, LARGE_MESSAGE)]))
    assert [response.payload.body for response in call] == [bytes(LARGE_MESSAGE)] * 2


ALL = list(CASES)


def check_sizes(responses, size):
    assert all(response.payload.body == bytes(size) for response in responses), responses


def check_small(response):
    check_sizes([response], SMALL_RESPONSE)


@case
def goaway(target, stub):
    for _ in range(2):
        check_small(stub.UnaryCall(large_request()))


@case
def rst(target, stub):
    """rst_after_header, rst_during_data and rst_after_data: the server decides which it is."""
    error = failure(lambda: stub.UnaryCall(large_request()))
    assert error.code() != grpc.StatusCode.OK, error


LOAD_CALLERS = 2
LOAD_EXCHANGES = 100


@case
def load(target, stub):
    """Unary calls, and streams that make progress, until standard input ends. Says `calling` when all have begun."""
    over = threading.Event()
    failures, counts = [], []
    begun = threading.Barrier(2 * LOAD_CALLERS + 1)

    def unary():
        check_sizes([stub.UnaryCall(messages.SimpleRequest(response_size=100))], 100)

    def stream():
        requests = Requests()
        responses = stub.FullDuplexCall(requests)
        for _ in range(LOAD_EXCHANGES):
            requests.send(request(0, 100))
            check_sizes([next(responses)], 100)
        requests.close()
        assert list(responses) == []

    def caller(call):
        count = 0
        while not over.is_set():
            try:
                call()
            except (AssertionError, grpc.RpcError) as error:
                failures.append(error)
            count += 1
            if count == 1:
                begun.wait()
        counts.append(count)

    callers = [threading.Thread(target=caller, args=(call,)) for call in [unary, stream] * LOAD_CALLERS]
    for thread in callers:
        thread.start()
    begun.wait()
    print("calling", flush=True)
    sys.stdin.read()
    over.set()
    for thread in callers:
        thread.join()
    assert not failures, f"{len(failures)} of {sum(counts)} calls failed: {failures}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server_host", default="127.0.0.1")
    parser.add_argument("--server_port", required=True)
    parser.add_argument("--server_host_override")
    parser.add_argument("--use_tls", type=interop.flag, default=False)
    parser.add_argument("--certs")
    parser.add_argument("--calls", default="python")
    parser.add_argument("--test_case", required=True)
    arguments = parser.parse_args()

    target = Target(arguments)
    names = ALL if arguments.test_case == "all" else arguments.test_case.split(",")
    failed = False
    with target.channel() as channel:
        stub = services.TestServiceStub(channel)
        for name in names:
            try:
                CASES[name](target, stub)
                print(f"ok {name}", flush=True)
            except (AssertionError, grpc.RpcError):
                failed = True
                print(f"FAILED {name}: {traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
