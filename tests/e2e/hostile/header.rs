//! Header blocks and messages written by hand (RFC 7541), and as much of reading them as it takes
//! to find a call's status.

use prost::Message;
use strife_proto::bank::v1::AccountRequest;

/// The call that the well-behaved server answers.
pub(crate) const PATH: &str = "/strife.bank.v1.BankService/ValidateAccount";
/// Echoes batches until the client ends.
pub(crate) const STREAM_PATH: &str = "/strife.bank.v1.BankStore/Apply";
/// The first entry of the dynamic table, as an indexed field.
pub(crate) const NEWEST_ENTRY: u8 = 0x80 | 62;
/// `:status: 200`, indexed.
const STATUS_200: u8 = 0x88;

const METHOD_POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;

/// An integer after `first`'s high bits (RFC 7541, section 5.1).
pub(crate) fn integer(first: u8, prefix_bits: u32, value: usize) -> Vec<u8> {
    let most = (1 << prefix_bits) - 1;
    if value < most {
        return vec![first | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![first | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = integer(0, 7, text.len());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A field that no table remembers.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// A field that becomes the newest entry of the reader's table.
pub(crate) fn remembered(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

/// A change of the table's size.
pub(crate) fn table_size(bytes: usize) -> Vec<u8> {
    integer(0x20, 5, bytes)
}

/// A gRPC request's fields, `:path` and `:authority` given.
pub(crate) fn request_to(path: &str, authority: &str) -> Vec<u8> {
    let mut block = vec![METHOD_POST, SCHEME_HTTP];
    block.extend(literal(":path", path));
    block.extend(literal(":authority", authority));
    block.extend(literal("te", "trailers"));
    block.extend(literal("content-type", "application/grpc"));
    block
}

/// A request that the well-behaved server answers.
pub(crate) fn request() -> Vec<u8> {
    request_to(PATH, "default")
}

/// The same request twice: the first fills the reader's table, every further one is six bytes.
pub(crate) fn short_request() -> (Vec<u8>, Vec<u8>) {
    let mut first = vec![METHOD_POST, SCHEME_HTTP];
    first.extend(remembered(":path", PATH));
    first.extend(remembered(":authority", "default"));
    first.extend(remembered("te", "trailers"));
    first.extend(remembered("content-type", "application/grpc"));
    let oldest = NEWEST_ENTRY + 3;
    let further = vec![METHOD_POST, SCHEME_HTTP, oldest, oldest - 1, oldest - 2, oldest - 3];
    (first, further)
}

/// The head of a gRPC answer. It begins with the change of the table's size that the balancer's
/// settings ask for (RFC 9113, section 4.3.1); any block may say it again.
pub(crate) fn response() -> Vec<u8> {
    let mut block = table_size(0);
    block.push(STATUS_200);
    block.extend(literal("content-type", "application/grpc"));
    block
}

/// Trailers with a status.
pub(crate) fn trailers(status: u32) -> Vec<u8> {
    literal("grpc-status", &status.to_string())
}

/// A message that asks the well-behaved server about an account, with its five-byte prefix.
pub(crate) fn message(account: &str) -> Vec<u8> {
    let body = AccountRequest { account_id: account.to_owned() }.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], &body].concat()
}

/// `grpc-status`, Huffman-coded (RFC 7541, appendix B).
const GRPC_STATUS_CODED: [u8; 8] = [0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];

/// `/grpc.health`, Huffman-coded, but for the last byte, which runs into what follows.
const HEALTH_CODED: [u8; 8] = [0x62, 0x6b, 0x2b, 0x22, 0xf3, 0x94, 0x74, 0x26];

/// The status that an answer's last header block holds as a literal, Huffman-coded or not.
pub(crate) fn status(block: &[u8]) -> Option<u32> {
    let plain = after(block, b"grpc-status");
    let value = plain.or_else(|| after(block, &GRPC_STATUS_CODED))?;
    let (length, is_coded) = (usize::from(value.first()? & 0x7f), value[0] & 0x80 != 0);
    let value = value.get(1..=length)?;
    if is_coded { digits(value) } else { std::str::from_utf8(value).ok()?.parse().ok() }
}

/// Whether a request's header block holds the path of gRPC's health check.
pub(crate) fn is_health_check(block: &[u8]) -> bool {
    after(block, b"/grpc.health").is_some() || after(block, &HEALTH_CODED).is_some()
}

fn after<'a>(block: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let at = block.windows(word.len()).position(|window| window == word)?;
    block.get(at + word.len()..)
}

/// Decimal digits, Huffman-coded: `0` to `2` in five bits, the others in six.
fn digits(coded: &[u8]) -> Option<u32> {
    let bits: Vec<u8> =
        coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | u32::from(*bit));
    let (mut rest, mut value) = (&bits[..], 0);
    while rest.contains(&0) {
        let short = number(rest.get(..5)?);
        let (digit, length) =
            if short <= 2 { (short, 5) } else { (number(rest.get(..6)?).checked_sub(22)?, 6) };
        value = value * 10 + digit;
        rest = &rest[length..];
    }
    Some(value)
}
