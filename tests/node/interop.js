// What the interoperability client and server share: the protocol's services, the headers, the limits.
//
// See tests/interop/src/lib.rs for the headers that are not the protocol's.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTO = path.join(__dirname, "../interop/proto/grpc/testing/test.proto");
const XDS = path.join(__dirname, "../../proto/proto");
const { testing } = grpc.loadPackageDefinition(loader.loadSync(PROTO, { keepCase: true, enums: Number, defaults: true })).grpc;
// ORCA's load reports.
const orca = loader.loadSync("xds/service/orca/v3/orca.proto", { keepCase: true, defaults: true, includeDirs: [XDS] });
const { OpenRcaService } = grpc.loadPackageDefinition(orca).xds.service.orca.v3;
const { responseSerialize, responseDeserialize } = OpenRcaService.service.StreamCoreMetrics;

const MAX_MESSAGE_BYTES = 8 << 20;

module.exports = {
  grpc,
  testing,
  OpenRcaService,
  ECHO_INITIAL: "x-grpc-test-echo-initial",
  ECHO_TRAILING: "x-grpc-test-echo-trailing-bin",
  CALL: "x-strife-test-call",
  HOLD: "x-strife-test-hold",
  DETAILS: "x-strife-test-details-bin",
  LOAD: "endpoint-load-metrics-bin",
  OPTIONS: {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  },

  payload(size) {
    return { body: Buffer.alloc(size) };
  },

  // What a test asks for (TestOrcaReport) as ORCA has it, and its bytes in both directions.
  loadReport({ cpu_utilization, memory_utilization, request_cost, utilization }) {
    return { cpu_utilization, mem_utilization: memory_utilization, request_cost, utilization };
  },
  loadBytes: responseSerialize,
  loadOf: responseDeserialize,

  pem(certs, name) {
    return fs.readFileSync(path.join(certs, name));
  },

  // `--name=value` and `--name value`, as an object.
  parse(names) {
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
    return require("node:util").parseArgs({ options }).values;
  },
};
