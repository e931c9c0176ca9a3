//! Malformed messages, which an intermediary must not forward (RFC 9113, sections 8.1 to 8.3).

use crate::{
    frames::{END_STREAM, Frame},
    hpack::Field,
};

/// Fields about a connection (section 8.2.2).
pub(crate) const CONNECTION_SPECIFIC: [&str; 5] =
    ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];

/// What the head of a message says.
pub(super) struct Head {
    pub(super) content_length: Option<u64>,
}

/// Section 8.3.1.
pub(super) fn request(fields: &[Field]) -> Result<Head, String> {
    let pseudo = fields_in_order(fields, &[":method", ":scheme", ":path", ":authority"])?;
    if one(&pseudo, ":method")? == "CONNECT" {
        let extra = pseudo.iter().any(|(name, _)| *name == ":scheme" || *name == ":path");
        return if extra { Err("8.5: CONNECT to a path".to_owned()) } else { head(fields) };
    }
    let (_, path) = (one(&pseudo, ":scheme")?, one(&pseudo, ":path")?);
    if !path.starts_with('/') && path != "*" {
        return Err(format!("8.3.1: the path `{path}`"));
    }
    if fields.iter().any(|field| field.name == b"te" && field.value != b"trailers") {
        return Err("8.2.2: te other than trailers".to_owned());
    }
    head(fields)
}

/// Section 8.3.2. No head if it is an interim response.
pub(super) fn response(frame: &Frame, fields: &[Field]) -> Result<Option<Head>, String> {
    let pseudo = fields_in_order(fields, &[":status"])?;
    let status = one(&pseudo, ":status")?;
    if status.len() != 3 || !status.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("8.3.2: the status `{status}`"));
    }
    if !status.starts_with('1') {
        let head = head(fields)?;
        // These have no content, whatever length they tell (RFC 9110, sections 15.3.5, 15.4.5).
        let is_empty = matches!(status, "204" | "304");
        let content_length = head.content_length.filter(|_| !is_empty);
        return Ok(Some(Head { content_length }));
    }
    if frame.has(END_STREAM) || status == "101" {
        return Err(format!("8.1, 8.6: status {status}, and whether it ends the stream"));
    }
    Ok(None)
}

/// Section 8.1.
pub(super) fn trailers(frame: &Frame, fields: &[Field]) -> Result<(), String> {
    fields_in_order(fields, &[])?;
    if frame.has(END_STREAM) { Ok(()) } else { Err("8.1: trailers that end nothing".to_owned()) }
}

/// Valid names and values, pseudo-fields first, known, and once (sections 8.2 and 8.3).
fn fields_in_order<'a>(
    fields: &'a [Field],
    known: &[&str],
) -> Result<Vec<(&'a str, &'a str)>, String> {
    let mut pseudo: Vec<(&str, &str)> = Vec::new();
    let mut has_regular = false;
    for field in fields {
        let shown = String::from_utf8_lossy(&field.name);
        check_value(&field.value).map_err(|why| format!("8.2.1: {why} in `{shown}`"))?;
        if !field.name.starts_with(b":") {
            has_regular = true;
            check_name(&field.name).map_err(|why| format!("8.2.1: {why} in `{shown}`"))?;
            if CONNECTION_SPECIFIC.iter().any(|name| name.as_bytes() == field.name) {
                return Err(format!("8.2.2: the field `{shown}`"));
            }
            continue;
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "8.3: not text".to_owned());
        let (name, value) = (text(&field.name)?, text(&field.value)?);
        let is_again = pseudo.iter().any(|(other, _)| *other == name);
        if has_regular || is_again || !known.contains(&name) {
            return Err(format!("8.3: `{name}` unknown, twice, or after other fields"));
        }
        pseudo.push((name, value));
    }
    Ok(pseudo)
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    let is_forbidden = |byte: &u8| matches!(byte, 0..=0x20 | b'A'..=b'Z' | 0x7f.. | b':');
    match name.iter().any(is_forbidden) || name.is_empty() {
        true => Err("a forbidden octet in the name"),
        false => Ok(()),
    }
}

fn check_value(value: &[u8]) -> Result<(), &'static str> {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|byte| b" \t".contains(byte));
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err("a forbidden octet");
    }
    if is_space(value.first()) || is_space(value.last()) {
        return Err("white space around the value");
    }
    Ok(())
}

fn one<'a>(pseudo: &[(&str, &'a str)], name: &str) -> Result<&'a str, String> {
    let found = pseudo.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| *value).ok_or_else(|| format!("8.3: no `{name}`"))
}

fn head(fields: &[Field]) -> Result<Head, String> {
    let mut content_length = None;
    for field in fields.iter().filter(|field| field.name == b"content-length") {
        let length = std::str::from_utf8(&field.value).ok().and_then(|text| text.parse().ok());
        let length: u64 = length.ok_or("8.1.1: a content-length that is no number")?;
        if content_length.is_some_and(|other| other != length) {
            return Err("8.1.1: two content-lengths".to_owned());
        }
        content_length = Some(length);
    }
    Ok(Head { content_length })
}
