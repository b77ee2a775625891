//! The sealed request: a binary HTTP message (RFC 9292) whose first headers are the envelope, padded
//! to a size class (spec/seal.md 2.1 and 3).

use std::fmt;

use crate::{
    class::class_of,
    envelope::{self, BadEnvelope, Envelope},
    fields::{
        BadField, FIELDS_BYTES_MAX, FIELDS_MAX, Fields, Reader, Unread, field, is_token,
        put_integer, put_lines, put_string,
    },
    pacing::Pacing,
};

/// The size class of the smallest requests: an envelope with a voucher and a short prompt.
pub const REQUEST_CLASS_FIRST: usize = 4 * 1024;
/// The largest size class: a long context, or a few pictures.
pub const REQUEST_CLASS_MAX: usize = 4 * 1024 * 1024;
/// How long a path with its query may be.
pub const PATH_BYTES_MAX: usize = 8 * 1024;
/// How long a method may be.
const METHOD_BYTES_MAX: usize = 32;

/// Framing indicators of requests (RFC 9292, section 3.3).
const KNOWN_LENGTH: u64 = 0;
const INDETERMINATE_LENGTH: u64 = 2;

/// A request as it travels inside the seal.
#[derive(Clone, PartialEq, Eq)]
pub struct InnerRequest {
    /// The HTTP method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Headers in lower case, without those of the envelope.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// What accompanies the request, outside its hash.
    pub envelope: Envelope,
    /// How the answer is to be paced.
    pub pacing: Pacing,
}

impl InnerRequest {
    /// The value of the first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        field(&self.headers, name)
    }
}

/// Prompts are private: only the sizes are shown.
impl fmt::Debug for InnerRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InnerRequest")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .field("pacing", &self.pacing)
            .finish_non_exhaustive()
    }
}

/// Why a request cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A member of the envelope that is present but empty.
    #[error("the envelope's {0} is empty; leave it out")]
    EmptyMember(&'static str),
    /// A header cannot be written.
    #[error(transparent)]
    Field(#[from] BadField),
    /// A header whose name belongs to the envelope.
    #[error("the header {name:?} belongs to the envelope; set the envelope's member instead")]
    Reserved {
        /// The header's name.
        name: String,
    },
    /// The message, its envelope included, exceeds the largest size class.
    #[error("the request takes {bytes} bytes and may take {REQUEST_CLASS_MAX}; shorten the body")]
    TooLarge {
        /// The length of the unpadded message.
        bytes: usize,
    },
    /// A method that is no token, or a path that is too long or does not begin with a slash.
    #[error("the method or the path of the request cannot be written")]
    Target,
}

/// Why the plaintext of a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRequest {
    Envelope(BadEnvelope),
    Malformed,
}

/// Writes the message and pads it with zeros to its size class.
pub(crate) fn encode(request: &InnerRequest) -> Result<Vec<u8>, SealError> {
    let InnerRequest { method, path, headers, body, .. } = request;
    if !is_token(method.as_bytes()) || method.len() > METHOD_BYTES_MAX || !is_path(path.as_bytes())
    {
        return Err(SealError::Target);
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| envelope::is_reserved(name)) {
        return Err(SealError::Reserved { name: name.to_ascii_lowercase() });
    }
    let mut fields =
        envelope::to_fields(&request.envelope, request.pacing).map_err(SealError::EmptyMember)?;
    fields.extend_from_slice(headers);
    let mut lines = Vec::new();
    put_lines(&mut lines, &fields)?;

    let mut out = Vec::with_capacity(body.len() + lines.len() + path.len() + 64);
    put_integer(&mut out, KNOWN_LENGTH as usize);
    put_string(&mut out, method.as_bytes());
    put_string(&mut out, b"https");
    put_string(&mut out, b"");
    put_string(&mut out, path.as_bytes());
    put_string(&mut out, &lines);
    put_string(&mut out, body);
    put_string(&mut out, b""); // no trailers
    let class = request_class(out.len()).ok_or(SealError::TooLarge { bytes: out.len() })?;
    out.resize(class, 0);
    Ok(out)
}

/// The size class of a message of that many bytes; `None` above the largest.
pub fn request_class(bytes: usize) -> Option<usize> {
    let class = class_of(bytes as u64, REQUEST_CLASS_FIRST as u64) as usize;
    (class <= REQUEST_CLASS_MAX).then_some(class)
}

fn is_path(path: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && path.len() <= PATH_BYTES_MAX
        && path.iter().all(u8::is_ascii_graphic)
}

/// Reads a message in either form, with or without padding.
pub(crate) fn decode(plaintext: &[u8]) -> Result<InnerRequest, BadRequest> {
    let message = Message::read(plaintext).map_err(|_| BadRequest::Malformed)?;
    let (envelope, pacing, headers) =
        envelope::split(message.headers).map_err(BadRequest::Envelope)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it was checked for ASCII");
    Ok(InnerRequest {
        method: text(message.method),
        path: text(message.path),
        headers,
        body: message.body,
        envelope,
        pacing,
    })
}

struct Message<'a> {
    method: &'a [u8],
    path: &'a [u8],
    headers: Fields,
    body: Vec<u8>,
}

impl<'a> Message<'a> {
    fn read(plaintext: &'a [u8]) -> Result<Message<'a>, Unread> {
        let mut reader = Reader::new(plaintext);
        let known_length = match reader.integer()? {
            KNOWN_LENGTH => true,
            INDETERMINATE_LENGTH => false,
            _ => return Err(Unread::Wrong),
        };
        let method = reader.string(METHOD_BYTES_MAX)?;
        let scheme = reader.string(METHOD_BYTES_MAX)?;
        // Which host a foreign client believes to ask says nothing to a pod.
        let _authority = reader.string(PATH_BYTES_MAX)?;
        let path = reader.string(PATH_BYTES_MAX)?;
        if !is_token(method) || scheme != b"https" || !is_path(path) {
            return Err(Unread::Wrong);
        }
        let headers = read_fields(&mut reader, known_length)?;
        let body = read_body(&mut reader, known_length)?;
        // Trailers of a request would be outside its hash.
        if !read_fields(&mut reader, known_length)?.is_empty() {
            return Err(Unread::Wrong);
        }
        if reader.rest().iter().any(|padding| *padding != 0) {
            return Err(Unread::Wrong);
        }
        Ok(Message { method, path, headers, body })
    }
}

/// A section of fields. One that is left out at the end of a message is empty (RFC 9292, 3.8).
fn read_fields(reader: &mut Reader<'_>, known_length: bool) -> Result<Fields, Unread> {
    let mut fields = Fields::new();
    if reader.rest().is_empty() {
        return Ok(fields);
    }
    if known_length {
        let mut lines = Reader::new(reader.string(FIELDS_BYTES_MAX)?);
        while !lines.rest().is_empty() {
            // Here nothing ends a section, so an empty name is wrong.
            fields.push(lines.line()?.ok_or(Unread::Wrong)?);
            check_count(&fields)?;
        }
        return Ok(fields);
    }
    let start = reader.position();
    while let Some(line) = reader.line()? {
        fields.push(line);
        check_count(&fields)?;
        if reader.position() - start > FIELDS_BYTES_MAX {
            return Err(Unread::Wrong);
        }
    }
    Ok(fields)
}

fn check_count(fields: &Fields) -> Result<(), Unread> {
    if fields.len() > FIELDS_MAX { Err(Unread::Wrong) } else { Ok(()) }
}

fn read_body(reader: &mut Reader<'_>, known_length: bool) -> Result<Vec<u8>, Unread> {
    if reader.rest().is_empty() {
        return Ok(Vec::new());
    }
    if known_length {
        return Ok(reader.string(REQUEST_CLASS_MAX)?.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let chunk = reader.string(REQUEST_CLASS_MAX)?;
        if chunk.is_empty() {
            return Ok(body);
        }
        body.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests;
