//! The archive that an Office file is.
//!
//! Promises: before anything of it is used, every file in it is unpacked once and counted, against what the bytes really
//! give and not what they say of themselves; what is larger than a document may be, or packed too tightly to be one, is
//! refused. Does not: write anything to a disk, or follow a name out of the archive.

use std::io::{BufReader, Cursor, Read};

use catena_domain::limits::{ARCHIVE_BYTES_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_RATIO_MAX};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::FormatError;
use crate::xml::Xml;

/// Below this, a file may be packed as tightly as it likes: a short run of equal bytes is.
const RATIO_FREE_BYTES: u64 = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// A stream of one file's bytes, at most as many as the whole archive may have.
pub(crate) type Part<'a> = BufReader<Box<dyn Read + 'a>>;

/// An archive whose size is known to be within bounds.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    format: &'static str,
    names: Vec<String>,
}

impl<'a> Archive<'a> {
    /// Opens and measures the archive that `bytes` are. `format` is what to call it in an error.
    pub(crate) fn open(bytes: &'a [u8], format: &'static str) -> Result<Self, FormatError> {
        const OLD_OR_ENCRYPTED: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0];
        if bytes.starts_with(OLD_OR_ENCRYPTED) {
            // An encrypted file names its key's stream in UTF-16; one in the format of before 2007 has none.
            let name: Vec<u8> = "EncryptionInfo".encode_utf16().flat_map(u16::to_le_bytes).collect();
            return Err(if bytes.windows(name.len()).any(|window| window == name) {
                FormatError::Encrypted { format: format.to_owned() }
            } else {
                FormatError::damaged(format, "it is in the format of Office before 2007, which is not read")
            });
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| told(format, &error))?;
        if zip.len() > ARCHIVE_ENTRIES_MAX {
            return Err(FormatError::too_much("files in its archive", ARCHIVE_ENTRIES_MAX));
        }
        let mut archive = Self { zip, format, names: Vec::new() };
        archive.measure(bytes.len() as u64)?;
        Ok(archive)
    }

    fn measure(&mut self, packed_bytes: u64) -> Result<(), FormatError> {
        let (mut whole, mut buffer) = (0_u64, vec![0; READ_BYTES]);
        let allowed = ARCHIVE_BYTES_MAX.min((packed_bytes * ARCHIVE_RATIO_MAX).max(RATIO_FREE_BYTES));
        for index in 0..self.zip.len() {
            let format = self.format;
            let mut file = self.zip.by_index(index).map_err(|error| told(format, &error))?;
            self.names.push(file.name().map_err(|error| told(format, &error))?.into_owned());
            loop {
                let read = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => read as u64,
                    // A picture may be damaged without harm; a part that is needed is read again and refused then.
                    Err(_) => break,
                };
                whole += read;
                if whole > ARCHIVE_BYTES_MAX {
                    return Err(FormatError::TooMuch {
                        what: "bytes when it is unpacked".to_owned(),
                        limit: ARCHIVE_BYTES_MAX,
                    });
                }
                if whole > allowed {
                    return Err(FormatError::TooMuch {
                        what: "times its size when it is unpacked".to_owned(),
                        limit: ARCHIVE_RATIO_MAX,
                    });
                }
            }
        }
        Ok(())
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// What a part is called in the archive: programs compare without regard to case, and take `\\` for `/`.
    fn known(&self, name: &str) -> Option<&str> {
        let plain = |byte: u8| if byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() };
        let mut alike = self.names.iter().filter(|known| known.bytes().map(plain).eq(name.bytes().map(plain)));
        // Of two alike nobody knows which one a program takes.
        alike.next().filter(|_| alike.next().is_none()).map(String::as_str)
    }

    /// One file as XML, if it is there.
    pub(crate) fn xml(&mut self, name: &str) -> Result<Option<Xml<Part<'_>>>, FormatError> {
        let format = self.format;
        let Some(name) = self.known(name).map(str::to_owned) else { return Ok(None) };
        let file = self.zip.by_name(&name).map_err(|error| told(format, &error))?;
        let bounded: Box<dyn Read + '_> = Box::new(file.take(ARCHIVE_BYTES_MAX));
        Ok(Some(Xml::new(BufReader::new(bounded), format)))
    }

    /// One file as XML that has to be there.
    pub(crate) fn needed(&mut self, name: &str) -> Result<Xml<Part<'_>>, FormatError> {
        let format = self.format;
        self.xml(name)?.ok_or_else(|| FormatError::damaged(format, format!("its part {} is missing", shown(name))))
    }
}

fn shown(name: &str) -> String {
    name.chars().take(80).filter(|c| !c.is_control()).collect()
}

fn told(format: &'static str, error: &ZipError) -> FormatError {
    match error {
        ZipError::UnsupportedArchive(what) if what.contains("assword") => {
            FormatError::Encrypted { format: format.to_owned() }
        }
        _ => FormatError::damaged(format, "it is not a whole archive"),
    }
}
