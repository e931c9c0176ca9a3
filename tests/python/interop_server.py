"""gRPC's interoperability test service on grpcio.

usage: interop_server.py [--port PORT] [--use_tls true --certs DIR]

Says `ready ADDRESS` when it serves, then a line for what it sees of calls that carry x-strife-test-call
(tests/interop/src/events.rs). SIGTERM, or the end of standard input, lets calls under way end and stops it.
"""

import argparse
import concurrent.futures
import signal
import sys
import threading
import time

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

import interop
from interop import messages, services

# Calls at once: a handler that waits holds a thread.
THREADS = 64
GRACE_SECONDS = 20
# The shortest time between two load reports of a stream.
LOAD_INTERVAL_SECONDS = 0.1
# Without a deadline grpcio says one that is centuries away.
NO_DEADLINE_SECONDS = 365 * 24 * 3600
KINDS = {code.value[0]: code for code in grpc.StatusCode}
SAYING = threading.Lock()


def say(line):
    with SAYING:
        print(line, flush=True)


class Load(interop.load_services.OpenRcaServiceServicer):
    """Reports out of band what it was last told."""

    def __init__(self):
        self.report = interop.load_messages.OrcaLoadReport()

    def StreamCoreMetrics(self, request, context):
        over = threading.Event()
        if not context.add_callback(over.set):
            return
        interval = max(request.report_interval.ToTimedelta().total_seconds(), LOAD_INTERVAL_SECONDS)
        yield self.report
        while not over.wait(interval):
            yield self.report


class TestService(services.TestServiceServicer):
    def __init__(self, load):
        self.load = load

    def EmptyCall(self, request, context):
        echo(context)
        return messages.Empty()

    def UnaryCall(self, request, context):
        wanted_load = request.orca_per_query_report if request.HasField("orca_per_query_report") else None
        echo(context, wanted_load)
        end_as_asked(request.response_status, context)
        return messages.SimpleResponse(payload=wanted(request.response_type, request.response_size, context))

    def StreamingOutputCall(self, request, context):
        echo(context)
        yield from responses(request, context)

    def StreamingInputCall(self, requests, context):
        echo(context)
        total = sum(len(request.payload.body) for request in requests)
        return messages.StreamingInputCallResponse(aggregated_payload_size=total)

    def FullDuplexCall(self, requests, context):
        echo(context)
        for request in requests:
            if request.HasField("orca_oob_report"):
                self.load.report = interop.load_report(request.orca_oob_report)
            yield from responses(request, context)


def responses(request, context):
    end_as_asked(request.response_status, context)
    for parameters in request.response_parameters:
        if parameters.interval_us > 0:
            time.sleep(parameters.interval_us / 1e6)
        yield messages.StreamingOutputCallResponse(payload=wanted(request.response_type, parameters.size, context))


def wanted(kind, size, context):
    if kind != messages.PayloadType.COMPRESSABLE or size < 0:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "only COMPRESSABLE payloads of a size >= 0")
    return interop.payload(size)


def end_as_asked(status, context):
    if status.code == 0:
        return
    details = dict(context.invocation_metadata()).get(interop.DETAILS)
    if details is not None:
        rich = status_pb2.Status.FromString(details)
        context.abort_with_status(rpc_status.to_status(rich))
    context.abort(KINDS[status.code], status.message)


def echo(context, load=None):
    """Sends back the metadata that asks for it, and the load report that the call asks for."""
    metadata = dict(context.invocation_metadata())
    if interop.ECHO_INITIAL in metadata:
        context.send_initial_metadata([(interop.ECHO_INITIAL, metadata[interop.ECHO_INITIAL])])
    trailing = []
    if interop.ECHO_TRAILING in metadata:
        trailing.append((interop.ECHO_TRAILING, metadata[interop.ECHO_TRAILING]))
    if load is not None:
        trailing.append((interop.LOAD, interop.load_report(load).SerializeToString()))
    if trailing:
        context.set_trailing_metadata(trailing)


class Observer(grpc.ServerInterceptor):
    """Reports calls, and holds those that ask for it."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        metadata = dict(details.invocation_metadata)
        if handler is None or interop.CALL not in metadata:
            return handler
        call, hold = metadata[interop.CALL], interop.HOLD in metadata
        kind = ("stream" if handler.request_streaming else "unary", "stream" if handler.response_streaming else "unary")
        behavior = getattr(handler, "_".join(kind))
        behavior = hold_call if hold else behavior
        watched = (watch_stream if handler.response_streaming else watch_unary)(call, behavior)
        make = getattr(grpc, "_".join(kind) + "_rpc_method_handler")
        return make(watched, handler.request_deserializer, handler.response_serializer if not hold else None)


def begin(call, context):
    """Reports the beginning, and the end when it comes; setting the event first makes it a good one."""
    left = context.time_remaining()
    has_deadline = left is not None and left < NO_DEADLINE_SECONDS
    say(f"began {call} {round(left * 1000) if has_deadline else '-'}")
    finished = threading.Event()

    def report():
        say(f"{'ended' if finished.is_set() else 'cancelled'} {call}")

    if not context.add_callback(report):
        report()
    return finished


def watch_unary(call, behavior):
    def watched(request, context):
        finished = begin(call, context)
        response = behavior(request, context)
        finished.set()
        return response

    return watched


def watch_stream(call, behavior):
    def watched(request, context):
        finished = begin(call, context)
        yield from behavior(request, context) or ()
        finished.set()

    return watched


def hold_call(_, context):
    """Answers with headers, and then nothing until the call is over."""
    over = threading.Event()
    context.send_initial_metadata(())
    if context.add_callback(over.set):
        over.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--use_tls", type=interop.flag, default=False)
    parser.add_argument("--certs")
    arguments = parser.parse_args()

    threads = concurrent.futures.ThreadPoolExecutor(THREADS)
    server = grpc.server(threads, interceptors=[Observer()], options=interop.OPTIONS)
    load = Load()
    services.add_TestServiceServicer_to_server(TestService(load), server)
    interop.load_services.add_OpenRcaServiceServicer_to_server(load, server)
    address = f"127.0.0.1:{arguments.port}"
    if arguments.use_tls:
        pair = (interop.pem(arguments.certs, "bank-icici-key.pem"), interop.pem(arguments.certs, "bank-icici.pem"))
        authority = interop.pem(arguments.certs, "ca.pem")
        port = server.add_secure_port(address, grpc.ssl_server_credentials([pair], authority, require_client_auth=True))
    else:
        port = server.add_insecure_port(address)
    server.start()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    say(f"ready 127.0.0.1:{port}")
    stop.wait()
    server.stop(GRACE_SECONDS).wait()


if __name__ == "__main__":
    main()
