//! The examples of RFC 7541, appendix C.

use super::{decode, hex, list};
use crate::hpack::Decoder;

type Pair<'a> = (&'a str, &'a str);

/// A block; then its fields, the size of the table and its newest entry.
type Step<'a> = (&'a str, &'a [Pair<'a>], usize, Option<Pair<'a>>);

/// Decodes blocks in order.
fn check(max_table: usize, steps: &[Step<'_>]) {
    let mut decoder = Decoder::new(max_table);
    for (block, fields, table_bytes, newest) in steps {
        let before = decoder.generation();
        let (decoded, usage) = decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(decoded, list(fields), "{block}");
        assert_eq!(decoder.table.table_bytes(), *table_bytes, "{block}");
        let newest = newest.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(decoder.table.get(0), newest, "{block}");
        assert!(!usage.too_large);
        assert!(!usage.table_free || decoder.generation() == before);
    }
}

#[test]
fn single_fields_of_c_2() {
    let custom = ("custom-key", "custom-header");
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(4096, &[(block, &[custom], 55, Some(custom))]);
    let block = "040c 2f73 616d 706c 652f 7061 7468";
    check(4096, &[(block, &[(":path", "/sample/path")], 0, None)]);
    check(4096, &[("82", &[(":method", "GET")], 0, None)]);
}

#[test]
fn never_indexed_field_of_c_2_3() {
    let block = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
    let (fields, usage) = super::decode_first(&block).unwrap();
    let field = fields.iter().next().unwrap();
    assert_eq!(
        (field.name, field.value, field.sensitive),
        (&b"password"[..], &b"secret"[..], true)
    );
    assert!(usage.table_free);
    let mut again = Vec::new();
    crate::hpack::encode(&mut again, field.name, field.value, field.sensitive);
    assert_eq!(again, block);
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

/// The requests of C.3 and C.4, which say the same.
fn check_requests(blocks: [&str; 3]) {
    let (get, http, https) = ((":method", "GET"), (":scheme", "http"), (":scheme", "https"));
    let (root, index) = ((":path", "/"), (":path", "/index.html"));
    check(
        4096,
        &[
            (blocks[0], &[get, http, root, AUTHORITY], 57, Some(AUTHORITY)),
            (blocks[1], &[get, http, root, AUTHORITY, NO_CACHE], 110, Some(NO_CACHE)),
            (blocks[2], &[get, https, index, AUTHORITY, CUSTOM], 164, Some(CUSTOM)),
        ],
    );
}

#[test]
fn requests_of_c_3() {
    check_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn huffman_coded_requests_of_c_4() {
    check_requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// The responses of C.5 and C.6, which say the same; each evicts what the one before inserted.
fn check_responses(blocks: [&str; 3]) {
    let (found, moved, ok) = ((":status", "302"), (":status", "307"), (":status", "200"));
    let private = ("cache-control", "private");
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = ("location", "https://www.example.com");
    let gzip = ("content-encoding", "gzip");
    let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    check(
        256,
        &[
            (blocks[0], &[found, private, date, location], 222, Some(location)),
            (blocks[1], &[moved, private, date, location], 222, Some(moved)),
            (blocks[2], &[ok, private, later, location, gzip, cookie], 215, Some(cookie)),
        ],
    );
}

#[test]
fn responses_of_c_5() {
    check_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn huffman_coded_responses_of_c_6() {
    check_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
         4ee5 b106 3d50 07",
    ]);
}
