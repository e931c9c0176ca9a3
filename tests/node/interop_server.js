// gRPC's interoperability test service on grpc-js.
//
// usage: interop_server.js [--port PORT] [--use_tls true --certs DIR]
//
// Says `ready ADDRESS` when it serves, then a line for what it sees of calls that carry x-strife-test-call
// (tests/interop/src/events.rs). SIGTERM, or the end of standard input, lets calls under way end and stops it.
"use strict";

const interop = require("./interop");
const { grpc, testing } = interop;

function first(call, name) {
  return call.metadata.get(name)[0];
}

// The status asked for as an error, or nothing.
function askedStatus(status, call) {
  if (!status || status.code === 0) return undefined;
  const metadata = new grpc.Metadata();
  const details = first(call, interop.DETAILS);
  if (details) metadata.set("grpc-status-details-bin", details);
  return { code: status.code, details: status.message, metadata };
}

function wanted(kind, size) {
  if (kind === 0 && size >= 0) return interop.payload(size);
  throw { code: grpc.status.INVALID_ARGUMENT, details: "only COMPRESSABLE payloads of a size >= 0" };
}

// Sends the echoed header; what is echoed as a trailer, and the load report that the call asks for.
function echo(call, load) {
  const [initial, trailing] = [first(call, interop.ECHO_INITIAL), first(call, interop.ECHO_TRAILING)];
  if (initial) {
    const metadata = new grpc.Metadata();
    metadata.set(interop.ECHO_INITIAL, initial);
    call.sendMetadata(metadata);
  }
  const trailers = new grpc.Metadata();
  if (trailing) trailers.set(interop.ECHO_TRAILING, trailing);
  if (load) trailers.set(interop.LOAD, interop.loadBytes(interop.loadReport(load)));
  return trailers;
}

async function respond(request, call) {
  const status = askedStatus(request.response_status, call);
  if (status) throw status;
  for (const { size, interval_us } of request.response_parameters) {
    if (interval_us > 0) await new Promise((resolve) => setTimeout(resolve, interval_us / 1000));
    call.write({ payload: wanted(request.response_type, size) });
  }
}

// The shortest time between two load reports of a stream.
const LOAD_INTERVAL_MS = 100;
// What is reported out of band: what the server was last told.
let reported = {};

function StreamCoreMetrics(call) {
  const { report_interval } = call.request;
  const asked = report_interval ? Number(report_interval.seconds) * 1000 + report_interval.nanos / 1e6 : 0;
  call.write(reported);
  const timer = setInterval(() => call.write(reported), Math.max(asked, LOAD_INTERVAL_MS));
  call.on("cancelled", () => clearInterval(timer));
}

const handlers = {
  EmptyCall(call, answer) {
    answer(null, {}, echo(call));
  },

  UnaryCall(call, answer) {
    const trailers = echo(call, call.request.orca_per_query_report);
    const { response_status, response_type, response_size } = call.request;
    const status = askedStatus(response_status, call);
    if (status) return answer(status);
    try {
      answer(null, { payload: wanted(response_type, response_size) }, trailers);
    } catch (error) {
      answer(error);
    }
  },

  StreamingOutputCall(call) {
    const trailers = echo(call);
    respond(call.request, call).then(() => call.end(trailers), (error) => call.emit("error", error));
  },

  StreamingInputCall(call, answer) {
    const trailers = echo(call);
    let aggregated_payload_size = 0;
    call.on("data", ({ payload }) => (aggregated_payload_size += payload ? payload.body.length : 0));
    call.on("end", () => answer(null, { aggregated_payload_size }, trailers));
  },

  FullDuplexCall(call) {
    const trailers = echo(call);
    let answered = Promise.resolve();
    const then = (next) => (answered = answered.then(next));
    call.on("data", (request) => {
      if (request.orca_oob_report) reported = interop.loadReport(request.orca_oob_report);
      then(() => respond(request, call)).catch((error) => call.emit("error", error));
    });
    call.on("end", () => then(() => call.end(trailers)).catch(() => {}));
  },
};

// Reports calls that have a name, and holds those that ask for it.
function observed(handler) {
  return (call, answer) => {
    const name = first(call, interop.CALL);
    if (!name) return handler(call, answer);
    const deadline = call.getDeadline();
    console.log(`began ${name} ${deadline === Infinity ? "-" : Math.max(0, Number(deadline) - Date.now())}`);
    let over = false;
    const report = (what) => {
      if (!over) console.log(`${what} ${name}`);
      over = true;
    };
    call.on("cancelled", () => report("cancelled"));
    if (first(call, interop.HOLD)) return call.sendMetadata(new grpc.Metadata());
    if (!answer) call.on("finish", () => report("ended"));
    handler(call, answer && ((...result) => (report("ended"), answer(...result))));
  };
}

function main() {
  const { port = "0", use_tls, certs } = interop.parse(["port", "use_tls", "certs"]);
  const server = new grpc.Server(interop.OPTIONS);
  const service = Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [name, observed(handler)]));
  server.addService(testing.TestService.service, service);
  server.addService(interop.OpenRcaService.service, { StreamCoreMetrics });
  const pair = () => ({
    private_key: interop.pem(certs, "bank-icici-key.pem"),
    cert_chain: interop.pem(certs, "bank-icici.pem"),
  });
  const credentials =
    use_tls === "true"
      ? grpc.ServerCredentials.createSsl(interop.pem(certs, "ca.pem"), [pair()], true)
      : grpc.ServerCredentials.createInsecure();
  server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => {
    if (error) throw error;
    console.log(`ready 127.0.0.1:${bound}`);
  });
  const stop = () => server.tryShutdown(() => process.exit(0));
  process.on("SIGTERM", stop);
  process.stdin.on("end", stop).resume();
}

main();
