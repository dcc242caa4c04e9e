//! A message as the command line shows it.

use std::collections::BTreeMap;

use motet::Message;
use serde::Serialize;

use crate::base64;
use crate::when::rfc3339;

/// A message for programs.
#[derive(Debug, Serialize)]
pub(crate) struct MessageObject {
    topic: String,
    writer: String,
    writer_name: String,
    seq: u64,
    published: String,
    age_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl MessageObject {
    pub(crate) fn new(message: &Message, headers_only: bool) -> Self {
        let text = str::from_utf8(message.payload()).ok().filter(|_| !headers_only);
        let coded = text.is_none() && !headers_only;
        Self {
            topic: message.topic().to_owned(),
            writer: message.writer().id.to_string(),
            writer_name: message.writer_name().to_owned(),
            seq: message.seq(),
            published: rfc3339(message.published()),
            age_seconds: message.age().as_secs_f64(),
            key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
            headers: message.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            payload: text.map(str::to_owned),
            payload_base64: coded.then(|| base64::encode(message.payload())),
        }
    }
}

/// What is missing, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct MissedObject {
    pub(crate) missed: u64,
    pub(crate) topic: String,
    pub(crate) writer: String,
    pub(crate) reason: String,
}

/// Fills in a format as mosquitto's `-F`: `%t` topic, `%p` payload, `%x` payload in hexadecimal,
/// `%l` its length, `%I` time (RFC 3339), `%U` seconds since 1970, `%j` the message as JSON,
/// `%w` writer's name, `%s` number, `%k` key, `%a` age in seconds, `%%` a percent sign; `\n`, `\t`.
pub(crate) fn formatted(format: &str, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        let next = if matches!(letter, '%' | '\\') { letters.next() } else { None };
        let text = match (letter, next) {
            ('%', Some('p')) => {
                out.extend_from_slice(message.payload());
                continue;
            }
            ('%', Some('t')) => message.topic().to_owned(),
            ('%', Some('x')) => {
                message.payload().iter().map(|byte| format!("{byte:02x}")).collect()
            }
            ('%', Some('l')) => message.payload().len().to_string(),
            ('%', Some('I')) => rfc3339(message.published()),
            ('%', Some('U')) => {
                let since = message.published().duration_since(std::time::UNIX_EPOCH);
                format!("{:.6}", since.unwrap_or_default().as_secs_f64())
            }
            ('%', Some('j')) => {
                serde_json::to_string(&MessageObject::new(message, false)).unwrap_or_default()
            }
            ('%', Some('w')) => message.writer_name().to_owned(),
            ('%', Some('s')) => message.seq().to_string(),
            ('%', Some('k')) => {
                String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned()
            }
            ('%', Some('a')) => format!("{:.6}", message.age().as_secs_f64()),
            ('\\', Some('n')) => "\n".to_owned(),
            ('\\', Some('t')) => "\t".to_owned(),
            ('%' | '\\', Some(other)) if other == letter => letter.to_string(),
            (other, next) => [Some(other), next].into_iter().flatten().collect(),
        };
        out.extend_from_slice(text.as_bytes());
    }
    out
}
