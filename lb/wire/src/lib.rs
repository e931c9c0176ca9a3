//! A sans-io HTTP/2 core (RFC 9113, RFC 7541), for both sides of a connection, cut to what gRPC
//! needs: bytes and time go in, bytes and events come out.
//!
//! No sockets, no clock, no tasks: the balancer's data plane, the load generator, the fuzzers and
//! the property tests all drive the same [`Connection`].

