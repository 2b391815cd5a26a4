//! Reading a backup through before anything is made of it.
//!
//! Promises: the hash first, then every frame, row and leaf; whatever the file holds, the answer is what it holds or what
//! is wrong with it, and nothing is written. Does not: trust a hash that fits, which only shows that nothing was lost.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use catena_access::Pepper;
use catena_audit::LeafHash;
use catena_domain::{TenantId, Timestamp};

use super::frames::{Fault, Frame, FrameKind, FrameReader, check_whole, damaged};
use super::rows::{SectionOf, Shape, unpack};
use super::tables::OLDEST_STEP;
use super::tally::{End, Found, Tally};
use super::{BackupReport, Header, SectionReport, Trailer, refused};
use crate::error::{CatalogError, Result};
use crate::folder::failed;
use crate::store::{newest_step, secret_check};

/// A backup that was read through.
pub(super) struct Checked {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) length: u64,
    /// The hash of all of it.
    pub(super) hash: [u8; 32],
    /// The tenant that it is of, if it is of one.
    pub(super) tenant: Option<TenantId>,
    pub(super) secret: Option<[u8; 32]>,
    pub(super) secret_check: [u8; 32],
    pub(super) shapes: Vec<Shape>,
    pub(super) sections: Vec<Section>,
    program: String,
    schema: i64,
    made_at: Timestamp,
}

/// A section that was read through.
pub(super) struct Section {
    pub(super) tenant: Option<TenantId>,
    pub(super) found: Found,
    /// Its place in the file.
    pub(super) at: u64,
    /// The hash of its bytes, by which it is known again when it is read to be restored.
    pub(super) hash: [u8; 32],
}

impl Checked {
    pub(super) fn report(&self) -> BackupReport {
        let report = |section: &Section| SectionReport {
            tenant: section.tenant.clone(),
            documents: section.found.documents,
            seq: section.found.seq,
            keys: section.found.keys,
            leaves: section.found.leaves,
            finding: section.found.finding.clone(),
        };
        BackupReport {
            tenant: self.tenant.clone(),
            program: self.program.clone(),
            schema: self.schema,
            made_at: self.made_at,
            bytes: self.length,
            sections: self.sections.iter().map(report).collect(),
        }
    }

    /// Reads the file again from `at` on.
    pub(super) fn read_from(&self, at: u64) -> Result<FrameReader<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at)).map_err(failed("cannot read", &self.path))?;
        Ok(FrameReader::new(file, at, self.length))
    }
}

/// Reads a backup through, and says what it holds or what is wrong with it. Nothing is written.
pub fn check_backup(file: &Path) -> Result<BackupReport> {
    Ok(check(file)?.report())
}

pub(super) fn check(path: &Path) -> Result<Checked> {
    let metadata = path.metadata().map_err(failed("cannot read", path))?;
    // Opening something else than a file may wait for ever.
    if !metadata.is_file() {
        return refused(path.display().to_string(), "is no file; name the file that a backup was written to");
    }
    let file = File::open(path).map_err(failed("cannot read", path))?;
    let length = file.metadata().map_err(failed("cannot read", path))?.len();
    let (at, hash) = check_whole(&file, length).map_err(|fault| fault.of(path))?;
    (&file).seek(SeekFrom::Start(at)).map_err(failed("cannot read", path))?;
    let mut reader = FrameReader::new(&file, at, length);
    let header = read_header(&mut reader).map_err(|fault| fault.of(path))?;
    require_known_step(path, &header)?;
    let (shapes, opened) = open_header(&header).map_err(|fault| fault.of(path))?;
    let sections = read_sections(&mut reader, &shapes, &opened).map_err(|fault| fault.of(path))?;
    drop(reader);
    Ok(Checked {
        path: path.to_owned(),
        file,
        length,
        hash,
        tenant: opened.tenant,
        secret: opened.secret,
        secret_check: opened.secret_check,
        shapes,
        sections,
        program: header.program,
        schema: header.schema,
        made_at: Timestamp(header.made_at_us),
    })
}

/// What a header says, parsed.
struct Opened {
    tenant: Option<TenantId>,
    secret: Option<[u8; 32]>,
    secret_check: [u8; 32],
}

fn read_header(reader: &mut FrameReader<&File>) -> Result<Header, Fault> {
    let header: Header = match reader.next()? {
        Some(frame) if frame.kind == FrameKind::Header => frame.json()?,
        _ => return damaged("it does not begin with what it is of"),
    };
    // It is shown to people.
    if header.program.len() > 32 || !header.program.bytes().all(|byte| byte.is_ascii_graphic()) {
        return damaged("the program that made it has no name");
    }
    Ok(header)
}

/// What stands in a backup of another step of the schema may mean something else.
fn require_known_step(path: &Path, header: &Header) -> Result<()> {
    let (program, found, known) = (header.program.clone(), header.schema, newest_step());
    if found > known {
        return Err(CatalogError::BackupNewer { path: path.to_owned(), program, what: "schema", found, known });
    }
    if found < OLDEST_STEP {
        let reason = format!(
            "was made by catena {program} at schema {found}, and this program restores from schema {OLDEST_STEP} on; \
             restore it with that program, and start this one on the result"
        );
        return refused(path.display().to_string(), reason);
    }
    Ok(())
}

fn open_header(header: &Header) -> Result<(Vec<Shape>, Opened), Fault> {
    let of = SectionOf { tenant: header.tenant.clone() };
    let hash = |text: &str| text.parse().map(|LeafHash(hash)| hash).or_else(|_| damaged("a hash in it is none"));
    let opened = Opened {
        tenant: of.tenant()?,
        secret: header.secret.as_deref().map(hash).transpose()?,
        secret_check: hash(&header.secret_check)?,
    };
    if opened.secret.is_some() != opened.tenant.is_none() {
        return damaged("a backup of an installation holds its secret, and one of a tenant does not");
    }
    if opened.secret.is_some_and(|secret| secret_check(&Pepper::new(secret)) != opened.secret_check) {
        return damaged("the secret in it is not the one that it was made with");
    }
    let shapes: Vec<Shape> = header.tables.iter().map(Shape::of).collect::<Result<_, _>>()?;
    let is_complete = shapes.len() == Shape::all().len() && shapes.iter().all(Shape::is_complete);
    let in_order = shapes.is_sorted_by(|one, next| one.place < next.place);
    if !in_order || (header.schema == newest_step() && !is_complete) {
        return damaged("it has not the tables that it must have");
    }
    Ok((shapes, opened))
}

fn read_sections(reader: &mut FrameReader<&File>, shapes: &[Shape], of: &Opened) -> Result<Vec<Section>, Fault> {
    let mut sections: Vec<Section> = Vec::new();
    let trailer: Trailer = loop {
        let at = reader.mark();
        let frame = next(reader)?;
        match frame.kind {
            FrameKind::Section => {
                let tenant = frame.json::<SectionOf>()?.tenant()?;
                if sections.last().is_some_and(|last| last.tenant >= tenant) {
                    return damaged("its tenants are not in order");
                }
                let found = read_section(reader, shapes, tenant.as_ref())?;
                sections.push(Section { tenant, found, at, hash: reader.hash() });
            }
            FrameKind::Trailer => break frame.json()?,
            FrameKind::Header | FrameKind::Rows | FrameKind::End => return damaged("its parts are not in order"),
        }
    };
    let first = sections.first().map(|section| &section.tenant);
    let fits = match &of.tenant {
        Some(_) => sections.len() == 1 && first == Some(&of.tenant),
        None => first == Some(&None),
    };
    if !fits || trailer.sections != sections.len() as u64 || reader.next()?.is_some() {
        return damaged("it holds more or less than it says");
    }
    Ok(sections)
}

fn read_section(reader: &mut FrameReader<&File>, shapes: &[Shape], tenant: Option<&TenantId>) -> Result<Found, Fault> {
    let mut tally = Tally::new(tenant);
    let stated: End = loop {
        let frame = next(reader)?;
        match frame.kind {
            FrameKind::Rows => {
                let plain = frame.rows()?;
                let (shape, rows) = unpack(&plain, shapes)?;
                rows.iter().try_for_each(|row| tally.see(shape, row))?;
            }
            FrameKind::End => break frame.json()?,
            FrameKind::Header | FrameKind::Section | FrameKind::Trailer => {
                return damaged("its parts are not in order");
            }
        }
    };
    let found = tally.end()?;
    if found.end != stated {
        return damaged("a part of it does not hold what its end says");
    }
    Ok(found)
}

fn next(reader: &mut FrameReader<&File>) -> Result<Frame, Fault> {
    match reader.next()? {
        Some(frame) => Ok(frame),
        None => damaged("its end is missing"),
    }
}
