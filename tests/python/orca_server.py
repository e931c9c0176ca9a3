"""A server that ends every call with the same load report (ORCA, gRFC A51), as any gRPC server might.

usage: orca_server.py --rps CALLS_A_SECOND --utilization UTILIZATION [--port PORT]

Serves EmptyCall of the interoperability test service and says `ready ADDRESS` when it does. SIGTERM, or the end of
standard input, stops it.
"""

import argparse
import concurrent.futures
import signal
import sys
import threading
import time

import grpc

import interop
from interop import messages, services

THREADS = 16
# So that calls overlap.
CALL_SECONDS = 0.005


class TestService(services.TestServiceServicer):
    def __init__(self, report):
        self.trailers = [(interop.LOAD, report.SerializeToString())]

    def EmptyCall(self, request, context):
        time.sleep(CALL_SECONDS)
        context.set_trailing_metadata(self.trailers)
        return messages.Empty()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--rps", type=float, required=True)
    parser.add_argument("--utilization", type=float, required=True)
    arguments = parser.parse_args()

    report = interop.load_messages.OrcaLoadReport(
        rps_fractional=arguments.rps, application_utilization=arguments.utilization
    )
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(THREADS))
    services.add_TestServiceServicer_to_server(TestService(report), server)
    port = server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    stop.wait()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
