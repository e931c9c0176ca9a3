// gRPC's interoperability cases, and ours, with grpc-js as the client.
//
// usage: interop_client.js --server_port=PORT [--server_host=HOST] [--server_host_override=NAME]
//                          [--use_tls=true --certs=DIR] [--calls=PREFIX] --test_case=CASE[,CASE...]
//
// The cases are those of tests/interop/src/cases.rs; `all` stands for all of them. Prints `ok CASE` or
// `FAILED CASE: why` for each and exits with 1 if one failed.
"use strict";

const assert = require("node:assert/strict");

const interop = require("./interop");
const { grpc, testing } = interop;

const REQUESTS = [27182, 8, 1828, 45904];
const RESPONSES = [31415, 9, 2653, 58979];
const MESSAGE = "test status message";
const SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
const SOAK_ITERATIONS = 50;
const LARGE_VALUE = 12 << 10;
const LARGE_MESSAGE = 4 << 20;
const DEADLINE_MS = 3000;

const FLAGS = ["server_host", "server_port", "server_host_override", "use_tls", "certs", "calls", "test_case"];
const flags = { server_host: "127.0.0.1", calls: "node", ...interop.parse(FLAGS) };

// A client on a connection of its own.
function connect(service = testing.TestService) {
  const host = flags.server_host_override ?? flags.server_host;
  const options = { ...interop.OPTIONS, "grpc.default_authority": host, "grpc.use_local_subchannel_pool": 1 };
  const address = `${flags.server_host}:${flags.server_port}`;
  if (flags.use_tls !== "true") return new service(address, grpc.credentials.createInsecure(), options);
  const pem = (name) => interop.pem(flags.certs, name);
  const credentials = grpc.credentials.createSsl(pem("ca.pem"), pem("loadgen-1-key.pem"), pem("loadgen-1.pem"));
  return new service(address, credentials, { ...options, "grpc.ssl_target_name_override": host });
}

// A call with all that can be seen of it, as promises. The request stays open if there is a stream of them.
class Call {
  constructor(start) {
    this.messages = [];
    this.failure = new Promise((resolve) => {
      const answered = (error, message) => (error ? resolve(error) : this.messages.push(message));
      this.call = start(answered);
      this.call.on("error", resolve);
      this.call.on("status", ({ code }) => code === grpc.status.OK && resolve(undefined));
    });
    this.headers = new Promise((resolve) => this.call.on("metadata", resolve));
    this.trailers = new Promise((resolve) => this.call.on("status", ({ metadata }) => resolve(metadata)));
    this.arrivals = [];
    this.call.on("data", (message) => {
      this.messages.push(message);
      this.arrivals.shift()?.();
    });
  }

  // Its messages, when it has succeeded.
  async success() {
    const failure = await this.failure;
    if (failure) throw failure;
    return this.messages;
  }

  // The error it ends with.
  async error() {
    const failure = await this.failure;
    assert(failure, "the call succeeded");
    return failure;
  }

  // Sends a request of the stream and waits for a response.
  async exchange(message) {
    const arrival = new Promise((resolve) => this.arrivals.push(resolve));
    this.call.write(message);
    await Promise.race([arrival, this.success().then(() => assert.fail("the call ended"))]);
    return this.messages.at(-1);
  }

  end(...requests) {
    for (const request of requests) this.call.write(request);
    this.call.end();
    return this;
  }
}

function metadata(entries) {
  const made = new grpc.Metadata();
  for (const [name, value] of Object.entries(entries)) made.set(name, value);
  return made;
}

const unary = (client, request, fields = {}, options = {}) =>
  new Call((answered) => client.UnaryCall(request, metadata(fields), options, answered));
const output = (client, request, fields = {}, options = {}) =>
  new Call(() => client.StreamingOutputCall(request, metadata(fields), options));
const input = (client, fields = {}, options = {}) =>
  new Call((answered) => client.StreamingInputCall(metadata(fields), options, answered));
const duplex = (client, fields = {}, options = {}) => new Call(() => client.FullDuplexCall(metadata(fields), options));

const LARGE = { response_size: 314159, payload: interop.payload(271828) };

function checkLarge(responses) {
  assert.equal(responses.length, 1);
  assert(responses[0].payload.body.equals(Buffer.alloc(LARGE.response_size)));
}

function wanting(size, ...responses) {
  return { payload: interop.payload(size), response_parameters: responses.map((size) => ({ size })) };
}

function checkSizes(responses, sizes) {
  assert.deepEqual(responses.map(({ payload }) => payload.body.length), sizes);
}

function checkStatus(error, message) {
  assert.equal(error.code, grpc.status.UNKNOWN);
  assert.equal(error.details, message);
}

async function checkMetadata(client, initial, trailing) {
  const fields = { [interop.ECHO_INITIAL]: initial, [interop.ECHO_TRAILING]: trailing };
  const check = async (call) => {
    assert.deepEqual((await call.headers).get(interop.ECHO_INITIAL), [initial]);
    assert.deepEqual((await call.trailers).get(interop.ECHO_TRAILING), [trailing]);
  };
  const once = unary(client, LARGE, fields);
  checkLarge(await once.success());
  await check(once);
  const stream = duplex(client, fields).end(wanting(271828, 314159));
  checkSizes(await stream.success(), [314159]);
  await check(stream);
}

// The report that arrived is the one a test asked for.
function checkLoad(bytes, wanted) {
  const { cpu_utilization, mem_utilization, request_cost, utilization } = interop.loadOf(bytes);
  assert.deepEqual({ cpu_utilization, mem_utilization, request_cost, utilization }, interop.loadReport(wanted));
}

// A call of each kind that the server takes and does not answer.
function heldCalls(client, name, options = {}) {
  const fields = (kind) => ({ [interop.CALL]: `${flags.calls}-${name}-${kind}`, [interop.HOLD]: "1" });
  return [
    unary(client, {}, fields("unary"), options),
    output(client, wanting(8, 8), fields("server_streaming"), options),
    input(client, fields("client_streaming"), options),
    duplex(client, fields("full_duplex"), options),
  ];
}

const cases = {
  async empty_unary(client) {
    const call = new Call((answered) => client.EmptyCall({}, answered));
    assert.deepEqual(await call.success(), [{}]);
  },

  async large_unary(client) {
    checkLarge(await unary(client, LARGE).success());
  },

  async client_streaming(client) {
    const call = input(client).end(...REQUESTS.map((size) => ({ payload: interop.payload(size) })));
    assert.deepEqual(await call.success(), [{ aggregated_payload_size: 74922 }]);
  },

  async server_streaming(client) {
    checkSizes(await output(client, wanting(0, ...RESPONSES)).success(), RESPONSES);
  },

  async ping_pong(client) {
    const call = duplex(client);
    for (const [index, size] of REQUESTS.entries()) {
      checkSizes([await call.exchange(wanting(size, RESPONSES[index]))], [RESPONSES[index]]);
    }
    checkSizes(await call.end().success(), RESPONSES);
  },

  async empty_stream(client) {
    assert.deepEqual(await duplex(client).end().success(), []);
  },

  async timeout_on_sleeping_server(client) {
    const call = duplex(client, {}, { deadline: Date.now() + 1 });
    call.call.write(wanting(27182));
    assert.equal((await call.error()).code, grpc.status.DEADLINE_EXCEEDED);
  },

  async cancel_after_begin(client) {
    const call = input(client);
    call.call.cancel();
    assert.equal((await call.error()).code, grpc.status.CANCELLED);
  },

  async cancel_after_first_response(client) {
    const call = duplex(client);
    checkSizes([await call.exchange(wanting(27182, 31415))], [31415]);
    call.call.cancel();
    assert.equal((await call.error()).code, grpc.status.CANCELLED);
  },

  async status_code_and_message(client) {
    const request = { response_status: { code: grpc.status.UNKNOWN, message: MESSAGE } };
    checkStatus(await unary(client, request).error(), MESSAGE);
    checkStatus(await duplex(client).end(request).error(), MESSAGE);
  },

  async special_status_message(client) {
    const request = { response_status: { code: grpc.status.UNKNOWN, message: SPECIAL_MESSAGE } };
    checkStatus(await unary(client, request).error(), SPECIAL_MESSAGE);
  },

  async custom_metadata(client) {
    await checkMetadata(client, "test_initial_metadata_value", Buffer.from("ababab", "hex"));
  },

  async unimplemented_method(client) {
    const call = new Call((answered) => client.UnimplementedCall({}, answered));
    assert.equal((await call.error()).code, grpc.status.UNIMPLEMENTED);
  },

  async unimplemented_service() {
    const nobody = connect(testing.UnimplementedService);
    const call = new Call((answered) => nobody.UnimplementedCall({}, answered));
    assert.equal((await call.error()).code, grpc.status.UNIMPLEMENTED);
    nobody.close();
  },

  async orca_per_rpc(client) {
    const wanted = {
      cpu_utilization: 0.821,
      memory_utilization: 0.5847,
      request_cost: { cost: 3456.32 },
      utilization: { util: 0.30499 },
    };
    const call = unary(client, { ...LARGE, orca_per_query_report: wanted });
    checkLarge(await call.success());
    const [bytes] = (await call.trailers).get(interop.LOAD);
    checkLoad(bytes, wanted);
    const other = unary(client, LARGE);
    checkLarge(await other.success());
    assert.deepEqual((await other.trailers).get(interop.LOAD), []);
  },

  async orca_oob(client) {
    const load = connect(interop.OpenRcaService);
    const stream = load.StreamCoreMetrics({ report_interval: { seconds: 1 } });
    stream.on("error", () => {});
    const reports = stream[Symbol.asyncIterator]();
    const call = duplex(client);
    for (const [cpu_utilization, memory_utilization, util] of [
      [0.821, 0.5847, 0.30499],
      [0.29309, 0.2, 0.2039],
    ]) {
      const wanted = { cpu_utilization, memory_utilization, request_cost: {}, utilization: { util } };
      checkSizes([await call.exchange({ ...wanting(0, 1), orca_oob_report: wanted })], [1]);
      // Those before may have been on their way.
      let report;
      do report = (await reports.next()).value;
      while (report.cpu_utilization !== cpu_utilization);
      checkLoad(interop.loadBytes(report), wanted);
    }
    checkSizes(await call.end().success(), [1, 1]);
    stream.cancel();
    load.close();
  },

  async rpc_soak(client) {
    for (let call = 0; call < SOAK_ITERATIONS; call++) checkLarge(await unary(client, LARGE).success());
  },

  async channel_soak() {
    for (let call = 0; call < SOAK_ITERATIONS; call++) {
      const client = connect();
      checkLarge(await unary(client, LARGE).success());
      client.close();
    }
  },

  async cancel_each_kind(client) {
    for (const call of heldCalls(client, "cancel")) {
      // They come when the server has begun.
      await call.headers;
      call.call.cancel();
      assert.equal((await call.error()).code, grpc.status.CANCELLED);
    }
  },

  async deadline_each_kind(client) {
    for (const call of heldCalls(client, "deadline", { deadline: Date.now() + DEADLINE_MS })) {
      assert.equal((await call.error()).code, grpc.status.DEADLINE_EXCEEDED);
    }
  },

  async status_details(client) {
    // A google.rpc.Status as its bytes: field 1 is the code, field 2 the message.
    const details = Buffer.concat([Buffer.from([8, grpc.status.UNKNOWN, 18, MESSAGE.length]), Buffer.from(MESSAGE)]);
    const request = { response_status: { code: grpc.status.UNKNOWN, message: MESSAGE } };
    const error = await unary(client, request, { [interop.DETAILS]: details }).error();
    checkStatus(error, MESSAGE);
    assert.deepEqual(error.metadata.get("grpc-status-details-bin"), [details]);
  },

  async large_metadata(client) {
    const trailing = Buffer.from(Array.from({ length: (LARGE_VALUE * 3) / 4 }, (_, index) => index % 256));
    await checkMetadata(client, "m".repeat(LARGE_VALUE), trailing);
  },

  async four_mebibytes(client) {
    const request = { response_size: LARGE_MESSAGE, payload: interop.payload(LARGE_MESSAGE) };
    checkSizes(await unary(client, request).success(), [LARGE_MESSAGE]);
    const call = duplex(client).end(wanting(LARGE_MESSAGE, LARGE_MESSAGE, LARGE_MESSAGE));
    checkSizes(await call.success(), [LARGE_MESSAGE, LARGE_MESSAGE]);
  },
};

async function main() {
  const names = flags.test_case === "all" ? Object.keys(cases) : flags.test_case.split(",");
  const client = connect();
  for (const name of names) {
    try {
      await cases[name](client);
      console.log(`ok ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
  }
  client.close();
}

// What grpc-js still has to tidy up after cancelled calls is not waited for.
main().then(() => process.exit());
