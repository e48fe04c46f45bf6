//! Frames that came in, as messages.

use std::io::Cursor;
use std::{mem, str};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::mask::{self, Key};
use super::{MAX_CONTROL, MAX_HEAD, code};
use crate::error::Error;
use crate::message::pool;
use crate::wire::batch::Parcel;
use crate::wire::decode::{AHEAD, DIRECT};

/// A message at least this long gets a buffer of its own; shorter ones travel among others.
const OWN: usize = 4 * 1024;

/// What a peer did wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The close code to send.
    pub(crate) code: u16,
    pub(crate) error: Error,
}

/// Turns the bytes of one direction into messages, which it puts into a [`Parcel`], and keeps what control frames
/// asked for. Nothing is read behind a close frame or a violation.
pub(crate) struct Assembler {
    /// The frames must be masked: the peer is the client.
    masked: bool,
    /// Longest message accepted; 0 for no limit.
    limit: usize,
    /// The beginning of a frame's head whose rest has not come.
    head: [u8; MAX_HEAD],
    head_len: usize,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// What has come of a message that is not whole.
    message: Option<Vec<u8>>,
    /// What has come of a control frame's payload.
    control: Vec<u8>,
    /// Longest message that has come whole: so much memory the peer is trusted to fill.
    proven: usize,
    /// Length of the message before. Another one in several frames, which do not tell its length, is likely to be as long.
    usual: usize,
    ping: Option<Vec<u8>>,
    closed: Option<Option<u16>>,
}

#[derive(Clone, Copy)]
struct Frame {
    /// `None` for data.
    control: Option<Control>,
    is_final: bool,
    key: Option<Key>,
    /// Bytes of the payload that are still to come.
    left: usize,
}

impl Assembler {
    /// For the frames of a client, which are masked, or of a server.
    pub(crate) fn new(masked: bool, limit: usize) -> Self {
        Self {
            masked,
            limit,
            head: [0; MAX_HEAD],
            head_len: 0,
            frame: None,
            message: None,
            control: Vec::new(),
            proven: AHEAD,
            usual: 0,
            ping: None,
            closed: None,
        }
    }

    /// The payload of the latest ping that was not asked for yet.
    pub(crate) fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    /// Whether the peer closed, and the code it gave.
    pub(crate) fn closed(&self) -> Option<Option<u16>> {
        self.closed
    }

    /// Whether a frame or message has begun and not ended.
    pub(crate) fn is_amid_message(&self) -> bool {
        self.head_len > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// Where to read into when much of a message is to come: behind what is there, any amount. Tell of it with
    /// [`filled`](Self::filled). Without it, what was read is to be [fed](Self::feed).
    pub(crate) fn space(&mut self) -> Option<&mut Vec<u8>> {
        let frame = self.frame.as_ref().filter(|one| one.control.is_none())?;
        if frame.left < DIRECT {
            return None;
        }
        let trusted = frame.left.min(self.proven);
        let body = self.message.get_or_insert_with(|| pool::buffer(trusted));
        reserve(body, DIRECT, frame.left, self.proven);
        Some(body)
    }

    /// Takes note that the buffer that [`space`](Self::space) gave has grown beyond the `before` bytes it held.
    pub(crate) fn filled(&mut self, before: usize, parcel: &mut Parcel) -> Result<(), Violation> {
        let (Some(mut frame), Some(mut body)) = (self.frame, self.message.take()) else {
            return Ok(());
        };
        // The buffer may have more room than was asked for, and then has the heads of further frames in it. Payloads are
        // moved together.
        let (mut from, mut to) = (before, before);
        loop {
            let count = frame.left.min(body.len() - from);
            if to < from {
                body.copy_within(from..from + count, to);
            }
            if let (Some(key), Some(came)) = (&mut frame.key, body.get_mut(to..to + count)) {
                mask::apply(came, *key);
                *key = mask::advanced(*key, count);
            }
            from += count;
            to += count;
            frame.left -= count;
            if frame.left > 0 || frame.is_final {
                break;
            }
            match parse(&body[from..])? {
                Some((head, length, size)) if head.opcode == OpCode::Data(Data::Continue) => {
                    frame = self.check(&head, length, size, Some(to))?;
                    from += size;
                }
                _ => break,
            }
        }
        let mut behind = body.split_off(from);
        body.truncate(to);
        (self.frame, self.message) = (Some(frame), Some(body));
        if frame.left == 0 {
            self.end_frame(parcel)?;
        }
        self.feed(&mut behind, parcel)
    }

    /// Takes bytes that came. They are changed.
    pub(crate) fn feed(
        &mut self,
        mut input: &mut [u8],
        parcel: &mut Parcel,
    ) -> Result<(), Violation> {
        while self.closed.is_none() {
            let Some(frame) = self.frame else {
                if input.is_empty() {
                    break;
                }
                let used = self.begin_frame(input)?;
                input = &mut input[used..];
                if self.frame.is_some_and(|frame| frame.left == 0) {
                    self.end_frame(parcel)?;
                }
                continue;
            };
            if input.is_empty() {
                break;
            }
            let (part, rest) = input.split_at_mut(frame.left.min(input.len()));
            input = rest;
            if let Some(key) = frame.key {
                mask::apply(part, key);
            }
            let left = frame.left - part.len();
            if frame.control.is_some() {
                self.control.extend_from_slice(part);
            } else if left == 0 && frame.is_final && self.message.is_none() && part.len() < OWN {
                // Most messages: short, and whole.
                self.frame = None;
                parcel.push(part);
                continue;
            } else {
                let body = self.message.get_or_insert_default();
                reserve(body, part.len(), frame.left, self.proven);
                body.extend_from_slice(part);
            }
            self.frame = Some(Frame {
                left,
                key: frame.key.map(|key| mask::advanced(key, part.len())),
                ..frame
            });
            if left == 0 {
                self.end_frame(parcel)?;
            }
        }
        Ok(())
    }

    /// Takes the head of a frame, or what there is of it; returns how many bytes that was.
    fn begin_frame(&mut self, input: &[u8]) -> Result<usize, Violation> {
        let room = &mut self.head[self.head_len..];
        let added = room.len().min(input.len());
        room[..added].copy_from_slice(&input[..added]);
        let come = self.head_len + added;
        let Some((head, length, size)) = parse(&self.head[..come])? else {
            // It is shorter than the longest head: everything was taken.
            self.head_len = come;
            return Ok(added);
        };
        let used = size - mem::take(&mut self.head_len);
        let come = self.message.as_ref().map(Vec::len);
        self.frame = Some(self.check(&head, length, size, come)?);
        Ok(used)
    }

    /// Checks everything that a head, of `size` bytes, says. `come` is what has come of a message that has begun.
    fn check(
        &mut self,
        head: &FrameHeader,
        length: u64,
        size: usize,
        come: Option<usize>,
    ) -> Result<Frame, Violation> {
        if head.rsv1 || head.rsv2 || head.rsv3 {
            return refuse("a WebSocket frame has reserved bits, and no extension was agreed on");
        }
        if head.mask.is_some() != self.masked {
            return refuse(if self.masked {
                "a WebSocket client did not mask a frame"
            } else {
                "a WebSocket server masked a frame"
            });
        }
        if head.len(length) != size {
            return refuse("a WebSocket frame has its length in more bytes than it needs");
        }
        let frame = Frame {
            control: None,
            is_final: head.is_final,
            key: head.mask,
            left: usize::try_from(length).unwrap_or(usize::MAX),
        };
        match head.opcode {
            OpCode::Control(_) if !head.is_final => refuse("a WebSocket control frame in parts"),
            OpCode::Control(_) if length > MAX_CONTROL as u64 => {
                refuse("a WebSocket control frame is longer than 125 bytes")
            }
            OpCode::Control(kind) => {
                self.control.clear();
                Ok(Frame {
                    control: Some(kind),
                    ..frame
                })
            }
            OpCode::Data(Data::Text) => Err(Violation {
                code: code::UNSUPPORTED,
                error: Error::Malformed("a WebSocket text message: only binary ones are messages"),
            }),
            OpCode::Data(Data::Continue) if come.is_none() => {
                refuse("a WebSocket message goes on that was not begun")
            }
            OpCode::Data(Data::Binary) if come.is_some() => {
                refuse("a WebSocket message begins amid another")
            }
            OpCode::Data(_) => {
                self.check_length(length, come.unwrap_or(0))?;
                if come.is_none() && !head.is_final {
                    let trusted = frame.left.min(self.proven);
                    self.message = Some(pool::buffer(trusted.max(self.usual)));
                }
                Ok(frame)
            }
        }
    }

    /// Sets the longest message accepted, 0 for any, from the next length on that is read.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Checks the length of a message that gets `more` bytes than the `come` ones.
    fn check_length(&self, more: u64, come: usize) -> Result<(), Violation> {
        let limit = if self.limit == 0 {
            isize::MAX as usize
        } else {
            self.limit
        };
        let length = more.saturating_add(come as u64);
        if usize::try_from(length).is_ok_and(|length| length <= limit) {
            return Ok(());
        }
        Err(Violation {
            code: code::TOO_BIG,
            error: Error::MessageTooLong { limit, length },
        })
    }

    /// The payload of the frame is complete.
    fn end_frame(&mut self, parcel: &mut Parcel) -> Result<(), Violation> {
        let Some(frame) = self.frame.take() else {
            return Ok(());
        };
        match frame.control {
            None if frame.is_final => {
                let mut body = self.message.take().unwrap_or_default();
                self.usual = body.len();
                self.proven = self.proven.max(self.usual);
                if body.capacity() > 2 * self.usual {
                    body.shrink_to_fit();
                }
                if body.len() < OWN {
                    parcel.push(&body);
                } else {
                    parcel.push_body(body);
                }
            }
            Some(Control::Ping) => self.ping = Some(mem::take(&mut self.control)),
            Some(Control::Close) => self.closed = Some(self.close_code()?),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// What a close frame says.
    fn close_code(&self) -> Result<Option<u16>, Violation> {
        let Some((code, reason)) = self.control.split_first_chunk() else {
            return if self.control.is_empty() {
                Ok(None)
            } else {
                refuse("a WebSocket close frame has half a code")
            };
        };
        let code = u16::from_be_bytes(*code);
        if !code::is_sendable(code) {
            return refuse("a WebSocket close frame has a code that must not be sent");
        }
        if str::from_utf8(reason).is_err() {
            return Err(Violation {
                code: code::NO_TEXT,
                error: Error::Malformed("the reason in a WebSocket close frame is not UTF-8"),
            });
        }
        Ok(Some(code))
    }
}

/// The head of a frame at the beginning of `input`, the length of the payload, and its own length.
fn parse(input: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Violation> {
    let mut cursor = Cursor::new(input);
    match FrameHeader::parse(&mut cursor) {
        Ok(parsed) => Ok(parsed.map(|(head, length)| (head, length, cursor.position() as usize))),
        Err(_) => refuse("a WebSocket frame has an unknown opcode"),
    }
}

/// Makes room for at least `count` bytes, and for more of the `left` ones as far as the peer is trusted to send them.
fn reserve(body: &mut Vec<u8>, count: usize, left: usize, proven: usize) {
    if body.capacity() - body.len() < count {
        let trusted = left.min(proven.max(body.len()));
        // A message of many small frames is not moved with each of them.
        body.reserve_exact(trusted.max(count).max(body.len() / 2));
    }
}

fn refuse<T>(what: &'static str) -> Result<T, Violation> {
    Err(Violation {
        code: code::PROTOCOL,
        error: Error::Malformed(what),
    })
}
