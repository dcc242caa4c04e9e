//! What servers send to callers.

use alloc::vec::Vec;

use super::{
    Finding, MAX_SERVICE, MAX_STATUS_TEXT, Offer, Properties, Stats, get_frames, get_properties,
    get_text, head, kind, put_frames, put_properties, put_text, start,
};
use crate::Malformed;
use crate::codec::{self, Reader};

/// How a call ended. The same codes with a broker and without.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ServiceStatus {
    /// 0: done; or one part of an answer.
    Ok,
    /// 1: the endpoint does not offer this service.
    UnknownService,
    /// 2: nobody is there who would do it.
    NoWorkers,
    /// 3: too much waits already.
    Overload,
    /// 4: too old to be begun.
    DeadlinePassed,
    /// 5: the message breaks the protocol, or the program cannot read the body.
    BadRequest,
    /// 6: not allowed.
    Refused,
    /// 7: the program failed; its own code is beside it.
    Failed,
    /// 8: the caller no longer wanted it.
    Cancelled,
    /// 9: the request or the reply is larger than allowed.
    TooLarge,
    /// 10: it may have run or not; nobody can know.
    Unknown,
    /// 11: the instance takes no new work: it drains, or is under maintenance or unhealthy, or is
    /// another life of the one that was meant.
    Unavailable,
    /// A code of a later version.
    Other(u8),
}

impl ServiceStatus {
    /// As a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::UnknownService => 1,
            Self::NoWorkers => 2,
            Self::Overload => 3,
            Self::DeadlinePassed => 4,
            Self::BadRequest => 5,
            Self::Refused => 6,
            Self::Failed => 7,
            Self::Cancelled => 8,
            Self::TooLarge => 9,
            Self::Unknown => 10,
            Self::Unavailable => 11,
            Self::Other(code) => code,
        }
    }

    /// From its number.
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Ok,
            1 => Self::UnknownService,
            2 => Self::NoWorkers,
            3 => Self::Overload,
            4 => Self::DeadlinePassed,
            5 => Self::BadRequest,
            6 => Self::Refused,
            7 => Self::Failed,
            8 => Self::Cancelled,
            9 => Self::TooLarge,
            10 => Self::Unknown,
            11 => Self::Unavailable,
            other => Self::Other(other),
        }
    }

    /// As words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UnknownService => "unknown service",
            Self::NoWorkers => "no workers",
            Self::Overload => "overload",
            Self::DeadlinePassed => "deadline passed",
            Self::BadRequest => "bad request",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TooLarge => "too large",
            Self::Unknown => "unknown outcome",
            Self::Unavailable => "unavailable",
            Self::Other(_) => "another code",
        }
    }

    /// The server says by this that it has not begun the request (V-14).
    pub fn not_begun(self) -> bool {
        matches!(
            self,
            Self::UnknownService
                | Self::NoWorkers
                | Self::Overload
                | Self::DeadlinePassed
                | Self::Unavailable
        )
    }
}

const LAST: u8 = 1;
const CACHED: u8 = 2;

/// A reply, or one part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// The life of the caller, as in the request.
    pub incarnation: u64,
    /// The caller's number for the call.
    pub call: u64,
    /// The last attempt at the call that the server has seen.
    pub attempt: u64,
    /// Which part, from 0.
    pub part: u64,
    /// Nothing follows.
    pub last: bool,
    /// It was kept from an earlier request with the same key.
    pub cached: bool,
    /// How the call ended.
    pub status: ServiceStatus,
    /// The program's own code, with [`ServiceStatus::Failed`].
    pub code: u64,
    /// How long it was worked on, in µs.
    pub took_us: u64,
    /// Requests that the instance has now, waiting or worked on.
    pub backlog: u64,
    /// What there is to say about the status: at most 1,024 bytes.
    pub text: &'a str,
    /// Names and values; those nobody knows pass unchanged.
    pub properties: Properties<'a>,
    /// The body, in parts.
    pub frames: Vec<&'a [u8]>,
}

impl<'a> Reply<'a> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::REPLY);
        let last = if self.last { LAST } else { 0 };
        out.push(if self.cached { last | CACHED } else { last });
        codec::put_u64(out, self.incarnation);
        codec::put_vi(out, self.call);
        codec::put_vi(out, self.attempt);
        codec::put_vi(out, self.part);
        out.push(self.status.code());
        codec::put_vi(out, self.code);
        codec::put_vi(out, self.took_us);
        codec::put_vi(out, self.backlog);
        put_text(out, self.text, MAX_STATUS_TEXT);
        put_properties(out, self.properties.iter().copied());
        put_frames(out, self.frames.iter().copied());
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flags = r.get_flags(LAST | CACHED)?;
        let (incarnation, call) = (r.get_u64()?, r.get_vi()?);
        let (attempt, part) = (r.get_vi()?, r.get_vi()?);
        let status = ServiceStatus::from_code(r.get_u8()?);
        let (code, took_us, backlog) = (r.get_vi()?, r.get_vi()?, r.get_vi()?);
        let text = get_text(r, MAX_STATUS_TEXT)?;
        let properties = get_properties(r)?;
        let frames = get_frames(r)?;
        Ok(Self {
            incarnation,
            call,
            attempt,
            part,
            last: flags & LAST != 0,
            cached: flags & CACHED != 0,
            status,
            code,
            took_us,
            backlog,
            text,
            properties,
            frames,
        })
    }
}

/// The answer to a PING.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pong<'a> {
    /// That of the question.
    pub token: u64,
    /// Which service was asked about.
    pub service: &'a str,
    /// How the instance stands; `None` if the endpoint does not offer the service.
    pub standing: Option<(Offer, Stats)>,
}

impl Pong<'_> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::PONG);
        codec::put_vi(out, self.token);
        out.push(u8::from(self.standing.is_some()));
        put_text(out, self.service, MAX_SERVICE);
        if let Some((offer, stats)) = &self.standing {
            offer.put(out);
            stats.put(out);
        }
    }
}

/// A message on `$svc/rep/<id>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToCaller<'a> {
    /// An answer.
    Reply(Reply<'a>),
    /// A sign of life.
    Pong(Pong<'a>),
    /// Where a key is.
    Finding(Finding),
}

impl<'a> ToCaller<'a> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let message = match head(&mut r)? {
            kind::REPLY => Self::Reply(Reply::decode(&mut r)?),
            kind::PONG => {
                let token = r.get_vi()?;
                let known = r.get_flags(1)? != 0;
                let service = get_text(&mut r, MAX_SERVICE)?;
                let standing = match known {
                    true => Some((Offer::get(&mut r)?, Stats::get(&mut r)?)),
                    false => None,
                };
                Self::Pong(Pong { token, service, standing })
            }
            kind::FINDING => Self::Finding(Finding::decode(&mut r)?),
            _ => return Err(Malformed::Type),
        };
        r.finish().map(|()| message)
    }
}
