//! Making a backup, beside a service that may be running.
//!
//! Promises: takes no lock that a writer waits for; every row is of one moment; the file appears under its name only
//! when it is whole, checked and on the disk, and is its owner's alone. Does not: replace a file that is there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use catena_access::Pepper;
use catena_domain::TenantId;
use catena_runtime::{clock, random};

use super::check::check;
use super::frames::{FrameKind, FrameWriter};
use super::rows::{Packer, SectionOf, Shape};
use super::tables::{Of, Table};
use super::tally::Tally;
use super::{BackupReport, Header, Trailer, refused};
use crate::error::{CatalogError, Result};
use crate::folder::{self, failed};
use crate::store::{Connection, Database, Moment, Reach, Reader, Value, newest_step, secret_check, sql, sql_made};
use crate::tables::codec::{corrupt, hex};
use crate::tables::open_to_read;

/// Rows read at once.
const ROWS_PER_READ: usize = 256;

/// Writes a backup of all that the catalog holds, or of one tenant, into a new file. The data folder is needed where the
/// database lies in it, and for the secret, which a backup of all holds.
pub async fn back_up(
    folder: &Path,
    database: &Database,
    tenant: Option<&TenantId>,
    file: &Path,
) -> Result<BackupReport> {
    if file.symlink_metadata().is_ok() {
        return refused(
            file.display().to_string(),
            "is there already, and a backup replaces nothing; name another file",
        );
    }
    let mut source = Source::open(folder, database).await?;
    let header = header(&mut source, folder, tenant).await?;
    let tenants = tenants(source.installation(), tenant).await?;
    let partial = Partial::create(file)?;
    let unwritten = |error| failed("cannot write", &partial.path)(error);
    let mut writer = FrameWriter::begin(&partial.file).map_err(unwritten)?;
    writer.json(FrameKind::Header, &header).map_err(unwritten)?;
    let mut sections = 0;
    if tenant.is_none() {
        write_section(source.installation(), None, &mut writer, &partial.path).await?;
        sections += 1;
    }
    for tenant in &tenants {
        let mut own = None;
        write_section(source.tenant(tenant, &mut own).await?, Some(tenant), &mut writer, &partial.path).await?;
        sections += 1;
    }
    writer.json(FrameKind::Trailer, &Trailer { sections }).map_err(unwritten)?;
    writer.finish().and_then(File::sync_all).map_err(unwritten)?;
    let report = check(&partial.path)?.report();
    partial.name(file)?;
    Ok(report)
}

/// Where the rows come from: transactions that see one moment.
enum Source {
    Sqlite(Connection),
    Postgres(Reader, Moment),
}

impl Source {
    async fn open(folder: &Path, database: &Database) -> Result<Self> {
        match database {
            Database::Embedded => {
                let path = folder::database(folder);
                let mut connection = open_to_read(&path).await?;
                let newest = sql("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations");
                let (found, known) = (newest.fetch_one(&mut connection).await?.long("version")?, newest_step());
                let place = path.display().to_string();
                if found > known {
                    return Err(CatalogError::SchemaNewer { place, found, known });
                }
                if found < known {
                    let reason = format!(
                        "has schema {found}, and this program backs up schema {known}; use the program that serves it, \
                         or start this one on it once"
                    );
                    return refused(place, reason);
                }
                Ok(Self::Sqlite(connection))
            }
            Database::Postgres(place) => {
                let reader = Reader::open(place).await?;
                let moment = reader.moment().await?;
                Ok(Self::Postgres(reader, moment))
            }
        }
    }

    fn installation(&mut self) -> &mut Connection {
        match self {
            Self::Sqlite(connection) => connection,
            Self::Postgres(_, moment) => &mut moment.connection,
        }
    }

    /// A transaction that reaches the tenant; a new one is put into `own`.
    async fn tenant<'a>(
        &'a mut self,
        tenant: &TenantId,
        own: &'a mut Option<Connection>,
    ) -> Result<&'a mut Connection> {
        match self {
            Self::Sqlite(connection) => Ok(connection),
            Self::Postgres(reader, moment) => Ok(own.insert(reader.read_at(moment, Reach::Tenant(tenant)).await?)),
        }
    }
}

async fn header(source: &mut Source, folder: &Path, tenant: Option<&TenantId>) -> Result<Header> {
    let row = sql("SELECT secret_check FROM installation WHERE one = 1").fetch_one(source.installation()).await?;
    let Some(check) = row.blob_or_null("secret_check")? else {
        return refused(
            "this catalog",
            "was not served since its schema was brought up to date; start a service on it once",
        );
    };
    let check = check.try_into().map_err(|_| corrupt("the check of the secret", "installation"))?;
    let secret = match tenant {
        Some(_) => None,
        None => {
            let secret = folder::read_secret(folder)?;
            if secret_check(&Pepper::new(secret)) != check {
                return Err(CatalogError::OtherSecret { path: folder::secret_file(folder) });
            }
            Some(hex(&secret))
        }
    };
    Ok(Header {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: newest_step(),
        made_at_us: clock::now().0,
        tenant: tenant.map(ToString::to_string),
        secret_check: hex(&check),
        secret,
        tables: Shape::all().iter().map(Shape::named).collect(),
    })
}

/// The tenants that are to be in it, in the order of their ids.
async fn tenants(installation: &mut Connection, only: Option<&TenantId>) -> Result<Vec<TenantId>> {
    let rows = sql("SELECT tenant FROM tenants ORDER BY tenant").fetch_all(installation).await?;
    let all: Vec<TenantId> = rows.iter().map(|row| row.name("tenant")).collect::<Result<_>>()?;
    let Some(only) = only else { return Ok(all) };
    if !all.contains(only) {
        return Err(CatalogError::TenantGone { tenant: only.clone() });
    }
    Ok(vec![only.clone()])
}

async fn write_section(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    writer: &mut FrameWriter<&File>,
    path: &Path,
) -> Result<()> {
    let unwritten = |error| failed("cannot write", path)(error);
    let of = SectionOf { tenant: tenant.map(ToString::to_string) };
    writer.json(FrameKind::Section, &of).map_err(unwritten)?;
    let belongs = if tenant.is_some() { Of::Tenant } else { Of::Installation };
    let mut tally = Tally::new(tenant);
    for (number, shape) in Shape::all().iter().enumerate().filter(|(_, shape)| shape.table.of == belongs) {
        let mut packer = Packer::new(number);
        let mut last: Option<Vec<Value>> = None;
        loop {
            let rows = read(connection, shape, tenant, last.as_deref()).await?;
            let is_last = rows.len() < ROWS_PER_READ || shape.table.key.is_empty();
            for row in &rows {
                tally.see(shape, row).map_err(|fault| fault.of(path))?;
                if !packer.add(row) {
                    return Err(corrupt("a row, which is longer than any can be,", shape.table.name));
                }
                if packer.is_full()
                    && let Some(plain) = packer.take()
                {
                    writer.rows(&plain).map_err(unwritten)?;
                }
            }
            last = rows.into_iter().next_back();
            if is_last || last.is_none() {
                break;
            }
        }
        if let Some(plain) = packer.take() {
            writer.rows(&plain).map_err(unwritten)?;
        }
    }
    let found = tally.end().map_err(|fault| fault.of(path))?;
    writer.json(FrameKind::End, &found.end).map_err(unwritten)
}

/// The rows after `last`, in the order of their key.
async fn read(
    connection: &mut Connection,
    shape: &Shape,
    tenant: Option<&TenantId>,
    last: Option<&[Value]>,
) -> Result<Vec<Vec<Value>>> {
    let mut statement = sql_made(page(shape.table, last.is_some()));
    if let Some(tenant) = tenant {
        statement = statement.bind(tenant.as_str());
    }
    let key = shape.table.key.iter().filter_map(|name| shape.value(last?, name));
    for value in key {
        statement = statement.bind(value.clone());
    }
    let rows = statement.fetch_all(connection).await?;
    rows.iter().map(|row| shape.values(row)).collect()
}

/// A page of a table, the first one or one that follows another.
fn page(table: &Table, follows: bool) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let mut conditions = Vec::new();
    let mut number = 0;
    let mut next = || {
        number += 1;
        format!("${number}")
    };
    if table.of == Of::Tenant {
        conditions.push(format!("tenant = {}", next()));
    }
    if follows && !table.key.is_empty() {
        let places: Vec<String> = table.key.iter().map(|_| next()).collect();
        conditions.push(format!("({}) > ({})", table.key.join(", "), places.join(", ")));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let order = if table.key.is_empty() { String::new() } else { format!(" ORDER BY {}", table.key.join(", ")) };
    format!("SELECT {} FROM {}{filter}{order} LIMIT {ROWS_PER_READ}", columns.join(", "), table.name)
}

/// A file that is not whole yet. Dropped before it gets its name, it goes.
struct Partial {
    path: PathBuf,
    file: File,
    is_named: bool,
}

impl Partial {
    fn create(file: &Path) -> Result<Self> {
        let Some(name) = file.file_name() else {
            return refused(file.display().to_string(), "names no file; name the file that the backup is to become");
        };
        let mut partial = name.to_owned();
        partial.push(format!(".{}.partial", random::identifier().map_err(CatalogError::chance)?));
        let path = file.with_file_name(partial);
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Ok(Self { file: created.map_err(failed("cannot make", &path))?, path, is_named: false })
    }

    /// Gives the file its name, and makes that survive a power cut.
    fn name(mut self, file: &Path) -> Result<()> {
        if file.symlink_metadata().is_ok() {
            return refused(file.display().to_string(), "came to be there meanwhile; name another file");
        }
        fs::rename(&self.path, file).map_err(failed("cannot name", file))?;
        self.is_named = true;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder::sync(folder)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            let _: io::Result<()> = fs::remove_file(&self.path);
        }
    }
}
