//! The file's form: a first line, frames, and the hash of all that.
//!
//! Promises: a frame is never longer than a bound, neither in the file nor when it is unpacked, and a length is checked
//! before room is made for it; whatever a file holds, reading it ends with a frame or with what is wrong. Does not: know
//! what frames mean.

use std::io::{self, BufReader, BufWriter, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first line is this, the format's number in four digits, and a line's end.
const FIRST_LINE: &[u8] = b"catena backup ";
const FIRST_LINE_BYTES: usize = FIRST_LINE.len() + 5;
/// The format that this program writes, and the newest that it reads.
pub(super) const FORMAT: u16 = 1;
const HASH_BYTES: u64 = 32;
/// A frame's kind and the length of what follows.
const FRAME_HEAD_BYTES: u64 = 5;
/// Rows of one frame, unpacked.
pub(super) const PLAIN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A frame as it lies in the file.
const STORED_BYTES_MAX: u32 = 9 * 1024 * 1024;
/// A frame that is a JSON object.
const JSON_BYTES_MAX: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 3;

/// Why a file cannot be read as a backup.
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk.
    Disk(io::Error),
    /// What the file holds.
    Damaged(String),
    /// A format of later programs.
    Newer(u16),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { cut_off() } else { Self::Disk(error) }
    }
}

pub(super) fn damaged<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(what.into()))
}

fn cut_off() -> Fault {
    Fault::Damaged("its end is missing".to_owned())
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// What the backup is of.
    Header,
    /// The beginning of a tenant's rows, or the installation's.
    Section,
    /// Rows of one table.
    Rows,
    /// What the section held.
    End,
    /// What the file held.
    Trailer,
}

impl FrameKind {
    const ALL: [Self; 5] = [Self::Header, Self::Section, Self::Rows, Self::End, Self::Trailer];

    fn letter(self) -> u8 {
        match self {
            Self::Header => b'H',
            Self::Section => b'S',
            Self::Rows => b'R',
            Self::End => b'E',
            Self::Trailer => b'T',
        }
    }
}

/// A frame as it lies in the file.
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// The JSON object in it.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.bytes.len() > JSON_BYTES_MAX {
            return damaged("it describes itself at greater length than any backup does");
        }
        // The error's text is left out: it may repeat what it could not read, and a header holds a secret.
        serde_json::from_slice(&self.bytes).or_else(|_| damaged("what it says of itself cannot be read"))
    }

    /// The unpacked rows in it.
    pub(super) fn rows(&self) -> Result<Vec<u8>, Fault> {
        zstd::bulk::decompress(&self.bytes, PLAIN_BYTES_MAX).or_else(|_| damaged("rows cannot be unpacked"))
    }
}

/// Writes a backup.
pub(super) struct FrameWriter<W: Write> {
    to: BufWriter<W>,
    hash: blake3::Hasher,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn begin(to: W) -> io::Result<Self> {
        let mut writer = Self { to: BufWriter::new(to), hash: blake3::Hasher::new() };
        writer.put(format!("{}{FORMAT:04}\n", String::from_utf8_lossy(FIRST_LINE)).as_bytes())?;
        Ok(writer)
    }

    pub(super) fn json<T: Serialize>(&mut self, kind: FrameKind, value: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        if bytes.len() > JSON_BYTES_MAX {
            return Err(io::Error::other("a description is longer than a backup can hold"));
        }
        self.frame(kind, &bytes)
    }

    pub(super) fn rows(&mut self, plain: &[u8]) -> io::Result<()> {
        self.frame(FrameKind::Rows, &zstd::bulk::compress(plain, ZSTD_LEVEL)?)
    }

    /// Ends the file with the hash of what was written.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let hash = self.hash.finalize();
        self.to.write_all(hash.as_bytes())?;
        self.to.into_inner().map_err(io::IntoInnerError::into_error)
    }

    pub(super) fn frame(&mut self, kind: FrameKind, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= STORED_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a row is longer than a backup can hold"))?;
        self.put(&[kind.letter()])?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Reads frames.
pub(super) struct FrameReader<R: Read> {
    from: BufReader<R>,
    /// Bytes of frames that are not read yet.
    left: u64,
    at: u64,
    hash: blake3::Hasher,
}

impl<R: Read> FrameReader<R> {
    /// Reads from the place `at` on in a file of `length` bytes; `from` stands there.
    pub(super) fn new(from: R, at: u64, length: u64) -> Self {
        let left = length.saturating_sub(at).saturating_sub(HASH_BYTES);
        Self { from: BufReader::new(from), left, at, hash: blake3::Hasher::new() }
    }

    /// The place of the next frame. The hash begins anew with it.
    pub(super) fn mark(&mut self) -> u64 {
        self.hash.reset();
        self.at
    }

    /// The hash of what was read since the last mark.
    pub(super) fn hash(&self) -> [u8; 32] {
        *self.hash.finalize().as_bytes()
    }

    /// The next frame; `None` where they end.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(left) = self.left.checked_sub(FRAME_HEAD_BYTES) else { return Err(cut_off()) };
        let mut head = [0; FRAME_HEAD_BYTES as usize];
        self.from.read_exact(&mut head)?;
        let [letter, length @ ..] = head;
        let Some(kind) = FrameKind::ALL.into_iter().find(|kind| kind.letter() == letter) else {
            return damaged("it holds something that no backup holds");
        };
        let length = u32::from_le_bytes(length);
        if length > STORED_BYTES_MAX {
            return damaged("a part of it claims to be longer than any is");
        }
        self.left = left.checked_sub(u64::from(length)).ok_or_else(cut_off)?;
        let mut bytes = vec![0; length as usize];
        self.from.read_exact(&mut bytes)?;
        self.at += FRAME_HEAD_BYTES + u64::from(length);
        self.hash.update(&head);
        self.hash.update(&bytes);
        Ok(Some(Frame { kind, bytes }))
    }
}

/// Checks the first line and the hash at the end of a file of `length` bytes: where the frames begin, and the hash.
pub(super) fn check_whole(file: impl Read, length: u64) -> Result<(u64, [u8; 32]), Fault> {
    let mut from = BufReader::new(file);
    let mut first = [0; FIRST_LINE_BYTES];
    if length < FIRST_LINE_BYTES as u64 {
        return damaged("it does not begin as one");
    }
    from.read_exact(&mut first)?;
    let number = first.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_suffix(b"\n"));
    let number = number.filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let Some(format) = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok()) else {
        return damaged("it does not begin as one");
    };
    if format > FORMAT {
        return Err(Fault::Newer(format));
    }
    let mut left = (length - FIRST_LINE_BYTES as u64).checked_sub(HASH_BYTES).ok_or_else(cut_off)?;
    let mut hash = blake3::Hasher::new();
    hash.update(&first);
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(cut_off());
        }
        hash.update(&buffer[..read]);
        left -= read as u64;
    }
    let mut stated = [0; HASH_BYTES as usize];
    from.read_exact(&mut stated)?;
    let found = *hash.finalize().as_bytes();
    if stated != found {
        return damaged("it was cut off or changed, its hash does not fit");
    }
    Ok((FIRST_LINE_BYTES as u64, found))
}
