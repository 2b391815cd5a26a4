//! `serve --demo`: the tenants of `corpora/`, with their documents, groups and keys, and a command for each kind of user.
//!
//! Promises: loading that was cut off goes on where it stopped; once it is complete nothing is loaded again, and the
//! folder is not needed any more; the keys are derived from the installation's secret, so they are the same at every
//! start, differ between installations, and lie nowhere in the clear. Does not: undo what somebody changed in a demo
//! tenant, or bring back a key that was revoked.

mod hints;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use catena_access::{Credential, Directory, Entry, KeyText, Operator, Pepper, Right, Rights, Scope};
use catena_audit::Draft;
use catena_catalog::{Expect, NewKey};
use catena_domain::{ErrorKind, GroupName, KeyId, TenantId, UserName};
use catena_ingest::{Freshness, Submission};
use catena_runtime::environment;
use catena_sources::folder::{self, Folder, FolderDocument};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::app::App;

const TENANT: &str = "tenant.toml";
/// The file in the data folder that says that all was loaded, and what.
const LOADED: &str = "demo-loaded";
/// Whose doings these are in the record.
const ACTOR: &str = "demo";
/// What the keys are derived for. Another text is another set of keys.
const PURPOSE: &str = "catena demo keys 1";
/// The demo tenants, ready.
#[derive(Debug)]
pub(crate) struct Demo {
    loaded: Loaded,
    pepper: Pepper,
    data: PathBuf,
    program: PathBuf,
}

/// What was loaded: as much as the commands need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Loaded {
    tenants: Vec<LoadedTenant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LoadedTenant {
    id: String,
    name: String,
    /// The first persona's user.
    user: String,
}

/// One key of a demo tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Application,
    Administrator,
    Agent,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Application, Self::Administrator, Self::Agent];

    fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Administrator => "administrator",
            Self::Agent => "agent",
        }
    }

    fn rights(self) -> Rights {
        match self {
            Self::Application => Rights::of(&[Right::Read, Right::Write, Right::Impersonate]),
            Self::Administrator => Rights::of(&[Right::Read, Right::Write, Right::Admin, Right::Audit]),
            Self::Agent => Rights::of(&[Right::Read]),
        }
    }

    /// The tenant's key of this kind, which only this installation can derive.
    fn key(self, pepper: &Pepper, tenant: &str) -> KeyText {
        let mut random = [0; KeyText::RANDOM_BYTES];
        for (number, part) in random.chunks_mut(32).enumerate() {
            let of = format!("{tenant}/{}/{number}", self.as_str());
            part.copy_from_slice(&pepper.derive(PURPOSE, of.as_bytes())[..part.len()]);
        }
        KeyText::mint(&random)
    }
}

/// Loads the demo tenants, unless they were loaded before.
pub(crate) async fn load(app: &App) -> anyhow::Result<Demo> {
    let settings = app.settings();
    let marker = settings.data.join(LOADED);
    let loaded = match read_marker(&marker)? {
        Some(loaded) => loaded,
        None => {
            let corpora = Corpus::all(&settings.corpora)?;
            load_all(app, &corpora).await?;
            let loaded = Loaded { tenants: corpora.into_iter().map(Corpus::into_loaded).collect() };
            write_marker(&marker, &loaded)?;
            loaded
        }
    };
    let program = environment::executable().unwrap_or_else(|_| PathBuf::from("catena"));
    let program = match environment::current_dir() {
        Ok(here) => program.strip_prefix(here).map(Path::to_owned).unwrap_or(program),
        Err(_) => program,
    };
    Ok(Demo { loaded, pepper: app.catalog().pepper().clone(), data: settings.data.clone(), program })
}

fn read_marker(path: &Path) -> anyhow::Result<Option<Loaded>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let wrong = || format!("{} is not understood; remove it, and the demo tenants are loaded again", path.display());
    serde_json::from_slice(&text).map(Some).with_context(wrong)
}

/// Written last, and whole or not at all.
fn write_marker(path: &Path, loaded: &Loaded) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(loaded)?)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// One tenant as it lies on the disk.
struct Corpus {
    id: TenantId,
    name: String,
    user: UserName,
    groups: Vec<(GroupName, Vec<UserName>)>,
    folder: Folder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantText {
    id: String,
    name: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    persona: Vec<PersonaText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonaText {
    #[serde(rename = "name")]
    _name: String,
    user: String,
    #[serde(rename = "description")]
    _description: String,
}

impl Corpus {
    /// Every folder of `corpora` that describes a tenant, in the order of their names.
    fn all(corpora: &Path) -> anyhow::Result<Vec<Self>> {
        let wrong = || {
            format!(
                "the demo's documents are not in {}; start catena in the project's folder, or name its folder corpora \
                 in CATENA_CORPORA",
                corpora.display()
            )
        };
        let entries = fs::read_dir(corpora).with_context(wrong)?;
        let mut folders =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(wrong)?;
        folders.retain(|folder| folder.join(TENANT).is_file());
        folders.sort();
        if folders.is_empty() {
            bail!(wrong());
        }
        folders.iter().map(|folder| Self::read(folder)).collect()
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.join(TENANT);
        let wrong = || format!("{} is not understood", file.display());
        let text = fs::read_to_string(&file).with_context(wrong)?;
        let tenant: TenantText = toml::from_str(&text).with_context(wrong)?;
        let users = |names: Vec<String>| names.iter().map(|name| UserName::new(name)).collect::<Result<_, _>>();
        let group =
            |(name, names): (String, Vec<String>)| -> anyhow::Result<_> { Ok((GroupName::new(&name)?, users(names)?)) };
        let first = tenant.persona.first().with_context(|| format!("{} has no persona", file.display()))?;
        Ok(Self {
            id: TenantId::new(&tenant.id).with_context(wrong)?,
            name: tenant.name,
            user: UserName::new(&first.user).with_context(wrong)?,
            groups: tenant.groups.into_iter().map(group).collect::<anyhow::Result<_>>().with_context(wrong)?,
            folder: folder::read(path, None)?,
        })
    }

    fn into_loaded(self) -> LoadedTenant {
        LoadedTenant { id: self.id.to_string(), name: self.name, user: self.user.to_string() }
    }
}

async fn load_all(app: &App, corpora: &[Corpus]) -> anyhow::Result<()> {
    let documents: usize = corpora.iter().map(|corpus| corpus.folder.documents.len()).sum();
    tracing::info!(tenants = corpora.len(), documents, "loading the demo tenants, this once");
    let bar = crate::client::progress_bar(documents as u64);
    // Side by side, but each tenant's documents one after the other, so that their order is the same everywhere.
    let loads = corpora.iter().map(|corpus| async {
        load_one(app, corpus, &bar).await.with_context(|| format!("the demo tenant {}", corpus.id))
    });
    futures::future::try_join_all(loads).await?;
    bar.finish_and_clear();
    tracing::info!(tenants = corpora.len(), documents, "the demo tenants are loaded");
    Ok(())
}

async fn load_one(app: &App, corpus: &Corpus, bar: &ProgressBar) -> anyhow::Result<()> {
    let (catalog, ingest) = (app.catalog(), app.ingest());
    let (operator, scope) = (operator()?, scope(&corpus.id)?);
    if catalog.tenant(&operator, &corpus.id).await?.is_none() {
        let dimension = u32::try_from(ingest.dimension())?;
        let draft = draft("tenant.create");
        catalog.create_tenant(&operator, &corpus.id, &corpus.name, ingest.recipe(), dimension, draft).await?;
    }
    for (group, members) in &corpus.groups {
        catalog.put_group(&scope, group, members.iter().cloned().collect(), draft("group.put")).await?;
    }
    for kind in Kind::ALL {
        create_key(app, corpus, &scope, kind).await?;
    }
    for document in &corpus.folder.documents {
        let put = put_document(app, &corpus.id, &scope, document);
        put.await.with_context(|| format!("the document {}", document.id))?;
        bar.inc(1);
    }
    ingest.publish(&corpus.id).await?;
    Ok(())
}

async fn create_key(app: &App, corpus: &Corpus, scope: &Scope, kind: Kind) -> anyhow::Result<()> {
    let pepper = app.catalog().pepper();
    let text = kind.key(pepper, corpus.id.as_str());
    let user = match kind {
        Kind::Agent => Some(corpus.user.clone()),
        Kind::Application | Kind::Administrator => None,
    };
    let key = NewKey {
        key: text.id().clone(),
        hash: pepper.hash(text.reveal()),
        name: format!("demo {}", kind.as_str()),
        rights: kind.rights(),
        user,
        groups: Vec::new(),
        clearance: None,
        expires_at: None,
    };
    match app.catalog().create_key(scope, key, draft("key.create")).await {
        Ok(_) => Ok(()),
        // Made before loading was cut off.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes what is still missing of a document: its earlier texts in their order, then the current one.
async fn put_document(app: &App, tenant: &TenantId, scope: &Scope, document: &FolderDocument) -> anyhow::Result<()> {
    let there = app.catalog().current(scope, &document.id).await?.map_or(0, |current| current.version.0 as usize);
    let texts = document.history.iter().skip(there).chain([&document.path]);
    for text in texts {
        let submission = Submission {
            id: document.id.clone(),
            bytes: folder::content(text)?,
            format: document.format,
            charset: None,
            title: None,
            uri: Some(format!("https://docs.example/{tenant}/{}", document.id)),
            source: None,
            attributes: document.attributes.clone(),
            // The disk's times differ from machine to machine.
            modified_at: None,
            acl: document.acl.clone(),
            expect: Expect::Any,
        };
        app.ingest().put(scope, submission, Freshness::Durable, draft("document.put")).await?;
    }
    Ok(())
}

fn draft(action: &'static str) -> Draft {
    Draft { actor: Some(ACTOR.to_owned()), ..Draft::new(ACTOR, action) }
}

fn credential(tenant: Option<&TenantId>, rights: &[Right]) -> anyhow::Result<Credential> {
    Ok(Credential {
        key: KeyId::new(ACTOR)?,
        name: ACTOR.to_owned(),
        tenant: tenant.cloned(),
        rights: Rights::of(rights),
        user: None,
        groups: Vec::new(),
        clearance: None,
    })
}

fn operator() -> anyhow::Result<Operator> {
    Ok(credential(None, &[Right::Operator])?.operate()?)
}

fn scope(tenant: &TenantId) -> anyhow::Result<Scope> {
    let entry = Entry { tenant, need: Right::Write, on_behalf: None, directory: Directory::default() };
    Ok(credential(Some(tenant), &[Right::Write, Right::Admin])?.enter(entry)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_at_every_start_and_differ_in_everything_else() {
        let pepper = Pepper::new([7; 32]);
        let all = |pepper: &Pepper| -> Vec<String> {
            let keys =
                ["harbour", "kestrel"].into_iter().flat_map(|tenant| Kind::ALL.map(|kind| kind.key(pepper, tenant)));
            keys.flat_map(|key| [key.id().to_string(), key.reveal().to_owned()]).collect()
        };
        assert_eq!(all(&pepper), all(&Pepper::new([7; 32])));
        let mut both = [all(&pepper), all(&Pepper::new([8; 32]))].concat();
        both.sort();
        both.dedup();
        assert_eq!(both.len(), 24);
        assert!(both.iter().filter(|text| text.starts_with("cat_")).all(|text| KeyText::parse(text).is_ok()));
    }

    #[test]
    fn what_was_loaded_is_known_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join(LOADED);
        let tenant = LoadedTenant { id: "a".into(), name: "A".into(), user: "ann".into() };
        let loaded = Loaded { tenants: vec![tenant] };
        assert_eq!(read_marker(&marker).unwrap(), None);
        write_marker(&marker, &loaded).unwrap();
        assert_eq!(read_marker(&marker).unwrap(), Some(loaded));
        fs::write(&marker, "x").unwrap();
        assert!(format!("{:#}", read_marker(&marker).unwrap_err()).contains("remove it"));
    }

    #[test]
    fn a_missing_folder_is_told_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        for corpora in [folder.path().join("nowhere"), folder.path().to_owned()] {
            let error = format!("{:#}", Corpus::all(&corpora).map(|_| ()).unwrap_err());
            assert!(error.contains("CATENA_CORPORA"), "{error}");
        }
    }

    #[test]
    fn the_shown_question_may_be_asked_by_the_shown_user() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora");
        let all = Corpus::all(&corpora).unwrap();
        let kestrel = all.iter().find(|corpus| corpus.id.as_str() == hints::SHOWN).unwrap();
        let mine = kestrel.groups.iter().filter(|(_, members)| members.contains(&kestrel.user));
        let asker = catena_access::Principal::new(Some(kestrel.user.clone()), mine.map(|(group, _)| group.clone()));
        let keys =
            kestrel.folder.documents.iter().find(|document| document.id.as_str() == "eng/signing-keys.md").unwrap();
        assert!(keys.acl.decide(&asker, catena_domain::Timestamp(0)).is_admitted());
    }
}
