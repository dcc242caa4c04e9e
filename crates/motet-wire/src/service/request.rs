//! What callers send to servers.

use alloc::vec::Vec;

use super::{
    Inquiry, MAX_HOPS, MAX_IDEMPOTENCY_KEY, MAX_SERVICE, MAX_SERVICE_VERSION, Properties,
    get_frames, get_properties, get_text, head, kind, put_frames, put_properties, put_text, start,
};
use crate::codec::{self, Reader};
use crate::{EndpointId, Malformed};

const KEY: u8 = 1;
const VERSION: u8 = 2;

/// Whom a request is meant for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Address<T = alloc::string::String> {
    /// Any instance.
    #[default]
    Any,
    /// This endpoint only.
    Endpoint(EndpointId),
    /// Instances that say in their metadata that they are of this group.
    Group(T),
}

/// A request, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The life of the server that is meant; another one refuses.
    pub server: u64,
    /// The life of the caller. With `call` it is the correlation id.
    pub incarnation: u64,
    /// The caller's number for the call.
    pub call: u64,
    /// How often this call was sent, this one included; from 1.
    pub attempt: u64,
    /// When it is not to be begun any more: µs of the server's own clock.
    pub deadline_us: u64,
    /// Whom it is meant for.
    pub address: Address<&'a str>,
    /// The service.
    pub service: &'a str,
    /// The version of the service that the caller wants; empty: any.
    pub version: &'a str,
    /// Names the deed: with the same key it is done once.
    pub key: Option<&'a [u8]>,
    /// Who passed it on.
    pub hops: Vec<EndpointId>,
    /// Names and values; those nobody knows pass unchanged.
    pub properties: Properties<'a>,
    /// The body, in parts.
    pub frames: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::REQUEST);
        let key = if self.key.is_some() { KEY } else { 0 };
        let version = if self.version.is_empty() { 0 } else { VERSION };
        out.push(key | version);
        codec::put_u64(out, self.server);
        codec::put_u64(out, self.incarnation);
        codec::put_vi(out, self.call);
        codec::put_vi(out, self.attempt);
        codec::put_vi(out, self.deadline_us);
        match &self.address {
            Address::Any => out.push(0),
            Address::Endpoint(id) => {
                out.push(1);
                out.extend_from_slice(&id.0);
            }
            Address::Group(group) => {
                out.push(2);
                put_text(out, group, MAX_SERVICE);
            }
        }
        put_text(out, self.service, MAX_SERVICE);
        if !self.version.is_empty() {
            put_text(out, self.version, MAX_SERVICE_VERSION);
        }
        if let Some(key) = self.key {
            codec::put_vi_bytes(out, key);
        }
        codec::put_vi(out, self.hops.len().min(MAX_HOPS) as u64);
        for hop in self.hops.iter().take(MAX_HOPS) {
            out.extend_from_slice(&hop.0);
        }
        put_properties(out, self.properties.iter().copied());
        put_frames(out, self.frames.iter().copied());
    }

    /// The correlation id (incarnation, call) and the attempt of a request that is otherwise broken,
    /// so that its caller can be told.
    pub fn correlation(bytes: &[u8]) -> Option<(u64, u64, u64)> {
        let mut r = Reader::new(bytes);
        let fields = (r.get_u8().ok()?, r.get_u8().ok()?, r.get_u8().ok()?, r.get_u64().ok()?);
        (fields.0 == kind::REQUEST).then_some(())?;
        Some((r.get_u64().ok()?, r.get_vi().ok()?, r.get_vi().ok()?))
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flags = r.get_flags(KEY | VERSION)?;
        let (server, incarnation) = (r.get_u64()?, r.get_u64()?);
        let (call, attempt, deadline_us) = (r.get_vi()?, r.get_vi()?, r.get_vi()?);
        let address = match r.get_u8()? {
            0 => Address::Any,
            1 => Address::Endpoint(r.get_id()?),
            2 => Address::Group(get_text(r, MAX_SERVICE)?),
            _ => return Err(Malformed::Value),
        };
        let service = get_text(r, MAX_SERVICE)?;
        let version = if flags & VERSION != 0 {
            get_text(r, MAX_SERVICE_VERSION)?
        } else {
            Default::default()
        };
        let key = match flags & KEY {
            0 => None,
            _ => Some(r.get_vi_bytes(MAX_IDEMPOTENCY_KEY)?),
        };
        let n = r.get_count(MAX_HOPS)?;
        let hops = (0..n).map(|_| r.get_id()).collect::<Result<_, _>>()?;
        let properties = get_properties(r)?;
        let frames = get_frames(r)?;
        Ok(Self {
            server,
            incarnation,
            call,
            attempt,
            deadline_us,
            address,
            service,
            version,
            key,
            hops,
            properties,
            frames,
        })
    }
}

/// The caller no longer wants an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancel {
    /// The life of the caller.
    pub incarnation: u64,
    /// Its number for the call.
    pub call: u64,
}

impl Cancel {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::CANCEL);
        codec::put_u64(out, self.incarnation);
        codec::put_vi(out, self.call);
    }
}

/// "Are you there, and how do you stand?"
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ping<'a> {
    /// Comes back with the answer.
    pub token: u64,
    /// Which service is asked about.
    pub service: &'a str,
}

impl Ping<'_> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::PING);
        codec::put_vi(out, self.token);
        put_text(out, self.service, MAX_SERVICE);
    }
}

/// A message on `$svc/req/<id>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToServer<'a> {
    /// Work.
    Request(Request<'a>),
    /// Work no longer wanted.
    Cancel(Cancel),
    /// A question.
    Ping(Ping<'a>),
    /// A question about a key.
    Inquiry(Inquiry<'a>),
}

impl<'a> ToServer<'a> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let message = match head(&mut r)? {
            kind::REQUEST => Self::Request(Request::decode(&mut r)?),
            kind::CANCEL => Self::Cancel(Cancel { incarnation: r.get_u64()?, call: r.get_vi()? }),
            kind::PING => {
                Self::Ping(Ping { token: r.get_vi()?, service: get_text(&mut r, MAX_SERVICE)? })
            }
            kind::INQUIRY => Self::Inquiry(Inquiry::decode(&mut r)?),
            _ => return Err(Malformed::Type),
        };
        r.finish().map(|()| message)
    }
}
