//! Binary secrets as text that survives chat windows, terminals and reading aloud: RFC 4648
//! base32 in lower case, without padding, over the body and the first four bytes of
//! SHA-256(domain ‖ body).

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Longest text looked at, in bytes. The longest valid one has about 170, before line breaks.
const MAX_TEXT: usize = 4096;
/// Bytes of checksum after the body.
const CHECKSUM: usize = 4;

/// Why a text was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It does not start like one of ours.
    Foreign,
    /// It is one of ours with a mistake in it.
    Damaged,
    /// Its version is above ours.
    Newer,
}

/// A text without white space, in upper case: how people change what they copy.
pub(crate) fn normal(text: &str) -> Result<Zeroizing<String>, Fault> {
    if text.len() > MAX_TEXT {
        return Err(Fault::Foreign);
    }
    let mut normal = Zeroizing::new(String::with_capacity(text.len()));
    normal.extend(text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()));
    Ok(normal)
}

/// What follows `kind`, `1` and, if there is one, `mark`; `kind` and `text` in upper case.
pub(crate) fn strip_version<'a>(
    text: &'a str,
    kind: &str,
    mark: Option<char>,
) -> Result<&'a str, Fault> {
    let text = text.strip_prefix(kind).ok_or(Fault::Foreign)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (version, rest) = text.split_at(digits);
    let rest = mark.map_or(Some(rest), |mark| rest.strip_prefix(mark)).ok_or(Fault::Foreign)?;
    match version {
        "1" => Ok(rest),
        "" => Err(Fault::Foreign),
        zero if zero.starts_with('0') => Err(Fault::Foreign),
        _ => Err(Fault::Newer),
    }
}

/// Base32 of `body` and its checksum.
pub(crate) fn encode(domain: &[&[u8]], body: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() + CHECKSUM));
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&checksum(domain, body));
    let mut text = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
    text.make_ascii_lowercase();
    text
}

/// The body in a text in upper case.
pub(crate) fn decode(domain: &[&[u8]], text: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| Fault::Damaged)?;
    let mut bytes = Zeroizing::new(bytes);
    let end = bytes.len().checked_sub(CHECKSUM).ok_or(Fault::Damaged)?;
    let (body, sum) = bytes.split_at(end);
    if *sum != checksum(domain, body) {
        return Err(Fault::Damaged);
    }
    bytes.truncate(end);
    Ok(bytes)
}

/// Parts of a domain that vary in length begin with it, so no two inputs hash alike.
fn checksum(domain: &[&[u8]], body: &[u8]) -> [u8; CHECKSUM] {
    let hash = crate::sha256(&[domain, &[body]].concat());
    [hash[0], hash[1], hash[2], hash[3]]
}
