//! The list of tables against the real schemas, and files that nobody should trust.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::frames::{Frame, FrameKind, FrameReader, FrameWriter, PLAIN_BYTES_MAX, check_whole};
use super::rows::{ROWS_PER_FRAME, Shape};
use super::tables::{Column, Kind, Null, TABLES};
use super::*;
use crate::store::Value;
use crate::tests::{Home, On, admin, document, draft, operator, put, recipe, tenant};
use crate::{Catalog, Database};

/// Tables as a database has them: for each column its kind, whether it may be null, and whether it is of the key.
type Schema = BTreeMap<String, BTreeMap<String, (Kind, Null, bool)>>;

/// What `table|column|type|not null|key` says.
fn schema(lines: &str) -> Schema {
    let mut schema = Schema::new();
    for line in lines.lines() {
        let [table, column, kind, not_null, key] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let kind = match kind.to_lowercase().as_str() {
            "integer" | "bigint" => Kind::Long,
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Blob,
            other => panic!("{table}.{column} is of the kind {other}, which no backup holds"),
        };
        let null = if not_null == "1" { Null::Never } else { Null::Allowed };
        schema.entry(table.into()).or_default().insert(column.into(), (kind, null, key != "0"));
    }
    schema
}

const SQLITE_COLUMNS: &str = "SELECT m.name || '|' || c.name || '|' || c.type || '|' || c.\"notnull\" || '|' || c.pk
    FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations' ORDER BY 1";

const POSTGRES_COLUMNS: &str = "SELECT c.relname || '|' || a.attname || '|' || format_type(a.atttypid, NULL) || '|' ||
        a.attnotnull::int || '|' || coalesce(a.attnum = ANY (i.indkey), false)::int
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.relnamespace = 'catena'::regnamespace AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations' ORDER BY 1";

const SQLITE_REFERENCES: &str =
    "SELECT m.name || '|' || f.\"table\" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' ORDER BY 1";

fn assert_listed(schema: &Schema) {
    const LIST: &str = "crates/catalog/src/backup/tables.rs";
    for (name, columns) in schema {
        let table = TABLES.iter().find(|table| table.name == name);
        let table = table.unwrap_or_else(|| panic!("no backup would hold the table {name}: add it in {LIST}"));
        for (column, (kind, null, of_key)) in columns.iter().filter(|(column, _)| *column != "tenant") {
            let known = table.columns.iter().find(|known| known.name == column);
            let known = known.unwrap_or_else(|| panic!("no backup would hold {name}.{column}: add it in {LIST}"));
            assert_eq!((known.kind, known.null), (*kind, *null), "{name}.{column} is another than {LIST} says");
            assert_eq!(table.key.contains(&known.name), *of_key, "the key of {name} is another than {LIST} says");
        }
        let is_of_tenant = columns.contains_key("tenant");
        assert_eq!(table.of == tables::Of::Tenant, is_of_tenant, "whose {name} is, is another than {LIST} says");
        let extra: Vec<&Column> = table.columns.iter().filter(|known| !columns.contains_key(known.name)).collect();
        assert!(extra.is_empty(), "{LIST} has columns of {name} that are not there: {extra:?}");
    }
    let extra: Vec<&str> = TABLES.iter().map(|table| table.name).filter(|name| !schema.contains_key(*name)).collect();
    assert!(extra.is_empty(), "{LIST} has tables that are not there: {extra:?}");
}

async fn sqlite_lines(home: &Home, statement: &'static str) -> String {
    let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
    let lines: Vec<String> = sqlx::query_scalar(statement).fetch_all(tx.sqlite()).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn no_table_and_no_column_of_sqlite_is_forgotten() {
    let home = On::Sqlite.home().await;
    assert_listed(&schema(&sqlite_lines(&home, SQLITE_COLUMNS).await));
    for line in sqlite_lines(&home, SQLITE_REFERENCES).await.lines() {
        let (table, referred) = line.split_once('|').unwrap();
        let place = |name| TABLES.iter().position(|table| table.name == name);
        assert!(place(referred) < place(table), "{table} refers to {referred}, and must be listed after it");
    }
}

#[tokio::test]
async fn no_table_and_no_column_of_postgresql_is_forgotten() {
    let server = catena_tests::postgres::shared();
    let made = server.database("listed");
    let place = crate::PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned())).with_connections(1);
    let folder = TempDir::new().unwrap();
    let _catalog = Catalog::open(folder.path(), &Database::Postgres(place)).await.unwrap();
    assert_listed(&schema(&server.sql(made.name(), POSTGRES_COLUMNS)));
}

/// A catalog with one tenant and a little of it, and its backup.
fn backup() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = On::Sqlite.home().await;
            home.catalog.create_tenant(&operator(), &tenant("acme"), "x", &recipe(), 4, draft("create")).await.unwrap();
            for number in 0..5 {
                put(&home.catalog, &admin("acme"), document(&format!("d{number}"), "text\n\nmore of it")).await;
            }
            let file = home.folder.path().join("backup");
            back_up(home.folder.path(), &Database::Embedded, None, &file).await.unwrap();
            std::fs::read(file).unwrap()
        })
    })
}

/// The bytes as a file.
struct Stored(TempDir);

impl Stored {
    fn new(bytes: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("backup"), bytes).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("backup")
    }

    fn checked(&self) -> Result<BackupReport> {
        check_backup(&self.file())
    }

    /// Why it is refused, whole and for its tenant, before anything is made.
    fn refused(&self) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (folder, file) = (self.0.path().join("data"), self.file());
        let mut said = Vec::new();
        for only in [None, Some(tenant("acme"))] {
            let accept = DamagedRecord::Accept;
            let restored = restore(&folder, &Database::Embedded, &file, only.as_ref(), accept);
            said.push(runtime.block_on(restored).unwrap_err().to_string());
            assert!(!folder.exists(), "something was written");
        }
        said.swap_remove(0)
    }
}

fn rehashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let hash = blake3::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(hash.as_bytes());
    bytes
}

/// The frames of the backup, rows unpacked.
fn frames() -> Vec<(FrameKind, Vec<u8>)> {
    let bytes = backup();
    let (at, _) = check_whole(bytes, bytes.len() as u64).unwrap();
    let mut from = Cursor::new(bytes);
    from.set_position(at);
    let mut reader = FrameReader::new(from, at, bytes.len() as u64);
    let plain = |frame: Frame| match frame.kind {
        FrameKind::Rows => (frame.kind, frame.rows().unwrap()),
        _ => (frame.kind, frame.bytes),
    };
    std::iter::from_fn(|| reader.next().unwrap()).map(plain).collect()
}

/// The backup of these frames, with a hash that fits.
fn of_frames(frames: &[(FrameKind, Vec<u8>)]) -> Vec<u8> {
    let mut writer = FrameWriter::begin(Vec::new()).unwrap();
    for (kind, bytes) in frames {
        match kind {
            FrameKind::Rows => writer.rows(bytes).unwrap(),
            _ => writer.frame(*kind, bytes).unwrap(),
        }
    }
    writer.finish().unwrap()
}

/// The frames, with every JSON object of one kind changed.
fn with_json(wanted: FrameKind, change: impl Fn(&mut Json)) -> Vec<u8> {
    let mut frames = frames();
    for (_, bytes) in frames.iter_mut().filter(|(kind, _)| *kind == wanted) {
        let mut json: Json = serde_json::from_slice(bytes).unwrap();
        change(&mut json);
        *bytes = serde_json::to_vec(&json).unwrap();
    }
    of_frames(&frames)
}

#[test]
fn the_frames_of_a_backup_make_the_same_backup() {
    assert_eq!(of_frames(&frames()), backup());
    assert_eq!(Stored::new(backup()).checked().unwrap().sections.len(), 2);
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let bytes = backup();
    for step in 0..200 {
        let said = Stored::new(&bytes[..bytes.len() * step / 200]).refused();
        assert!(said.contains("is no whole backup"), "{step}: {said}");
    }
    let said = Stored::new(&bytes[..bytes.len() - 1]).refused();
    assert!(said.contains("cut off or changed"), "{said}");
    let said = Stored::new(&[bytes, b"x"].concat()).refused();
    assert!(said.contains("cut off or changed"), "{said}");
}

#[test]
fn one_changed_bit_anywhere_is_refused() {
    let bytes = backup();
    for step in 0..200 {
        let mut changed = bytes.to_vec();
        changed[bytes.len() * step / 200] ^= 1 << (step % 8);
        Stored::new(&changed).refused();
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    for odd in ["/dev/zero", "/dev", "/proc/self/fd"] {
        assert!(check_backup(Path::new(odd)).unwrap_err().to_string().contains("is no file"), "{odd}");
    }
    assert!(check_backup(Path::new("/nowhere/at/all")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bytes_at_all_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..4_000), begins: bool, fits: bool) {
        let mut file = if begins { b"catena backup 0001\n".to_vec() } else { Vec::new() };
        file.extend(bytes);
        if fits {
            file.extend([0; 32]);
            file = rehashed(file);
        }
        prop_assert!(Stored::new(&file).checked().is_err());
    }

    /// Whoever can write a file can make its hash fit, so what is behind the hash is on its own.
    #[test]
    fn changed_bytes_under_a_fitting_hash_are_refused_or_read_and_never_worse(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = backup().to_vec();
        let end = file.len() - 32;
        for (at, byte) in changes {
            file[at.index(end)] = byte;
        }
        let _ = Stored::new(&rehashed(file)).checked();
    }

    #[test]
    fn changed_rows_under_a_fitting_hash_are_refused_or_read_and_never_worse(
        frame: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut frames = frames();
        let at = frame.index(frames.len());
        let bytes = &mut frames[at].1;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Stored::new(&of_frames(&frames)).checked();
    }
}

#[test]
fn rows_that_contradict_each_other_are_refused_and_leave_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shapes = Shape::all();
    // A version of a document that is not there; a hash of another length.
    let stray = |table: &str, change: &dyn Fn(&mut Vec<Value>)| {
        let mut frames = frames();
        for (_, plain) in frames.iter_mut().filter(|(kind, _)| *kind == FrameKind::Rows) {
            let (shape, mut rows) = rows::unpack(plain, &shapes).unwrap();
            if shape.table.name == table {
                change(rows.last_mut().unwrap());
                let mut packer = rows::Packer::new(shape.place);
                rows.iter().for_each(|row| assert!(packer.add(row)));
                *plain = packer.take().unwrap();
            }
        }
        Stored::new(&of_frames(&frames))
    };
    for stored in [
        stray("versions", &|row| row[0] = Value::Long(Some(77))),
        stray("versions", &|row| row[4] = Value::Blob(Some(vec![1; 31]))),
        stray("groups", &|_| unreachable!("there are none")),
        stray("generations", &|row| row[3] = Value::Text(Some("retired".into()))),
    ] {
        let folder = stored.0.path().join("data");
        let restored =
            runtime.block_on(restore(&folder, &Database::Embedded, &stored.file(), None, DamagedRecord::Refuse));
        let Err(error) = restored else {
            // The one that nothing was changed in.
            assert_eq!(std::fs::read(stored.file()).unwrap(), backup());
            continue;
        };
        assert!(matches!(error, CatalogError::BackupDamaged { .. }), "{error}");
        let catalog = runtime.block_on(Catalog::open(&folder, &Database::Embedded)).unwrap();
        assert!(runtime.block_on(catalog.all_tenants()).unwrap().is_empty());
    }
}

#[test]
fn a_newer_format_a_newer_schema_and_an_older_one_are_refused_by_name() {
    let mut newer = backup().to_vec();
    newer[17] = b'7';
    let said = Stored::new(&newer).refused();
    assert!(said.contains("its format is 7, but this program knows only 1"), "{said}");
    let said = Stored::new(&with_json(FrameKind::Header, |header| {
        (header["schema"], header["program"]) = (json!(999), json!("9.1.0"));
    }))
    .refused();
    assert!(said.contains("was made by catena 9.1.0: its schema is 999"), "{said}");
    let said = Stored::new(&with_json(FrameKind::Header, |header| header["schema"] = json!(1))).refused();
    assert!(said.contains("at schema 1, and this program restores from schema"), "{said}");
}

#[test]
fn a_tenant_cannot_be_renamed_inside_the_file() {
    for name in ["globex", "../acme", "/etc", "%2e%2e", "a\0b", "ACME", &"a".repeat(10_000)] {
        let renamed = with_json(FrameKind::Section, |section| {
            if section["tenant"] == "acme" {
                section["tenant"] = json!(name);
            }
        });
        let stored = Stored::new(&renamed);
        stored.refused();
        if name == "globex" {
            // Nor with a description that admits it.
            let found = "in the place of leaf 0 of tenant:globex there is a leaf of \"tenant:acme\"";
            let mut frames = frames();
            for (kind, bytes) in &mut frames {
                let mut change = |of: FrameKind, change: &dyn Fn(&mut Json)| {
                    if *kind == of {
                        let mut json: Json = serde_json::from_slice(bytes).unwrap();
                        change(&mut json);
                        *bytes = serde_json::to_vec(&json).unwrap();
                    }
                };
                change(FrameKind::Section, &|section| {
                    if section["tenant"] == "acme" {
                        section["tenant"] = json!("globex");
                    }
                });
                change(FrameKind::End, &|end| {
                    if end["documents"] != 0 {
                        end["record"] = json!(found);
                    }
                });
            }
            let stored = Stored::new(&of_frames(&frames));
            let section = stored.checked().unwrap().sections.pop().unwrap();
            assert_eq!(section.finding.map(|finding| finding.to_string()).as_deref(), Some(found));
            assert!(stored.refused().contains("has the record of another"));
        }
    }
}

/// A frame before it is packed.
type Unpacked = (FrameKind, Vec<u8>);

#[test]
fn what_a_file_says_of_itself_must_be_so() {
    let header = |change: &dyn Fn(&mut Json)| with_json(FrameKind::Header, change);
    let shuffled = |order: &dyn Fn(&mut Vec<Unpacked>)| {
        let mut frames = frames();
        order(&mut frames);
        of_frames(&frames)
    };
    let rows_at = |frames: &[Unpacked]| frames.iter().rposition(|(kind, _)| *kind == FrameKind::Rows).unwrap();
    let packed = |bytes: Vec<u8>| {
        shuffled(&|frames| {
            let at = rows_at(frames);
            frames[at].1 = bytes.clone();
        })
    };
    let files = [
        header(&|header| header["secret"] = Json::Null),
        header(&|header| header["secret"] = json!("00".repeat(32))),
        header(&|header| header["tenant"] = json!("acme")),
        header(&|header| header["tenant"] = json!("../acme")),
        header(&|header| header["more"] = json!(1)),
        header(&|header| header["program"] = json!("\u{1b}[2J")),
        header(&|header| header["tables"][5]["name"] = json!("sqlite_schema")),
        header(&|header| header["tables"][5]["columns"][1] = json!("members); DROP TABLE tenants; --")),
        header(&|header| header["tables"][5]["columns"][1] = header["tables"][5]["columns"][0].clone()),
        header(&|header| header["tables"] = json!([])),
        with_json(FrameKind::End, |end| end["documents"] = json!(4)),
        with_json(FrameKind::End, |end| end["rows"]["documents"] = json!(4)),
        with_json(FrameKind::Trailer, |trailer| trailer["sections"] = json!(1)),
        shuffled(&|frames| frames.reverse()),
        shuffled(&|frames| drop(frames.remove(0))),
        shuffled(&|frames| drop(frames.pop())),
        shuffled(&|frames| {
            let at = rows_at(frames);
            drop(frames.remove(at));
        }),
        // The tenant's section once more, and the installation's alone.
        shuffled(&|frames| {
            let second = frames.iter().rposition(|(kind, _)| *kind == FrameKind::Section).unwrap();
            let again = frames[second..frames.len() - 1].to_vec();
            let end = frames.len() - 1;
            frames.splice(end..end, again);
        }),
        shuffled(&|frames| {
            let second = frames.iter().rposition(|(kind, _)| *kind == FrameKind::Section).unwrap();
            frames.truncate(second);
        }),
        packed(Vec::new()),
        packed([&16u16.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat()),
        packed([&999u16.to_le_bytes()[..], &1u32.to_le_bytes()].concat()),
        packed([&16u16.to_le_bytes()[..], &(ROWS_PER_FRAME as u32 + 1).to_le_bytes()].concat()),
        packed([&16u16.to_le_bytes()[..], &1u32.to_le_bytes(), &[1], &[0; 8], &[3], &u32::MAX.to_le_bytes()].concat()),
        // Far more than a frame may hold, in few bytes.
        packed(vec![0; PLAIN_BYTES_MAX + 1]),
    ];
    for (number, file) in files.iter().enumerate() {
        let said = Stored::new(file).refused();
        assert!(said.contains("is no whole backup"), "file {number}: {said}");
        let secret: Json = serde_json::from_slice(&frames()[0].1).unwrap();
        assert!(!said.contains(secret["secret"].as_str().unwrap()), "file {number}: {said}");
    }
}

#[test]
fn a_part_that_claims_to_be_long_costs_nothing() {
    for length in [u32::MAX, 9 * 1024 * 1024, 1_000] {
        let mut file = b"catena backup 0001\nH".to_vec();
        file.extend(length.to_le_bytes());
        file.extend([b'{'; 40]);
        Stored::new(&rehashed(file)).refused();
    }
}

#[tokio::test]
async fn a_backup_is_its_owners_alone_and_replaces_nothing() {
    let home = On::Sqlite.home_with_tenants().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    let make = async |file: &Path| back_up(home.folder.path(), &Database::Embedded, None, file).await;
    make(&file).await.unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let error = make(&file).await.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // A link that leads nowhere is there, too.
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    make(&folder.path().join("link")).await.unwrap_err();
    make(&folder.path().join("no/such/folder")).await.unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "something was left behind");
    let unknown = tenant("nowhere");
    let other = folder.path().join("other");
    let error = back_up(home.folder.path(), &Database::Embedded, Some(&unknown), &other).await.unwrap_err();
    assert!(matches!(error, CatalogError::TenantGone { .. }), "{error}");
    std::fs::write(home.folder.path().join("secret.key"), [7; 32]).unwrap();
    let error = make(&other).await.unwrap_err();
    assert!(matches!(error, CatalogError::OtherSecret { .. }), "{error}");
    assert!(!other.exists());
}
