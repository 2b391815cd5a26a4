//! Power cuts, full disks and damage: what was acknowledged is there, what was not is there whole or not at all.
//!
//! The program has no hook for any of this: it runs on a disk that fails when it is told to (`tests/system/faults`).

mod check;
mod damage;
mod disk;

mod kills;
mod ledger;
mod load;
mod plants;
mod points;
mod record;

use std::collections::BTreeMap;
use std::fmt;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::faults::Faults;
use crate::harness::server::Launch;
use crate::harness::{Chance, Home, Server};

use check::Tenant;
use load::Writer;

const TENANTS: [&str; 2] = ["acme", "umbra"];
const WRITERS_OF_EACH: usize = 2;

/// The program under test: how it is started on a folder of its own.
pub(crate) struct Subject {
    commands: Box<dyn Fn(&Home) -> Commands + Send + Sync>,
}

/// How the program serves one data folder, and how it checks the record of what it served.
struct Commands {
    serve: Launch,
    verify: Launch,
}

impl Subject {
    fn new(commands: impl Fn(&Home) -> Commands + Send + Sync + 'static) -> Self {
        Self { commands: Box::new(commands) }
    }

    /// `catena serve` with its catalog in the data folder.
    pub(crate) fn sqlite() -> Self {
        Self::new(|home| {
            let data = home.data().display().to_string();
            let verify = Launch::new(home.path(), &["audit", "verify", "--data", &data]);
            Commands { serve: home.serve(), verify }
        })
    }

    /// `catena serve` with its catalog in a database of PostgreSQL's that is each folder's own. PostgreSQL lives on.
    pub(crate) fn postgres() -> Self {
        Self::new(|home| {
            let made = catena_tests::postgres::shared().database("kills");
            let serve = home.serve().variable("CATENA_CATALOG", made.app_url());
            let verify = Launch::new(home.path(), &["audit", "verify", "--catalog", made.app_url()]);
            Commands { serve: serve.variable("CATENA_CATALOG_OWNER", made.owner_url()), verify }
        })
    }

    /// A new, empty folder.
    pub(crate) fn life(&self) -> Life {
        let home = Home::new();
        let faults = Faults::of(&home);
        let Commands { serve, verify } = (self.commands)(&home);
        let launch = faults.under(serve);
        Life { home, faults, launch, verify, tenants: Vec::new() }
    }
}

/// One data folder through many starts, and what was acknowledged in it.
pub(crate) struct Life {
    home: Home,
    faults: Faults,
    launch: Launch,
    verify: Launch,
    tenants: Vec<Tenant>,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("home", &self.home).field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

impl Life {
    async fn start(&self) -> Server {
        self.launch.clone().start().await
    }

    /// Makes the tenants that are written to.
    async fn settle(&mut self, server: &Server) {
        for name in TENANTS {
            self.tenants.push(Tenant::new(server, name).await);
        }
    }

    /// Holds everything against what was acknowledged, and says how many documents were looked at.
    async fn check(&mut self, server: &Server, chance: &mut Chance) -> usize {
        server.nobody().get("/readyz").await.expect(200);
        let mut looked_at = 0;
        for tenant in &mut self.tenants {
            looked_at += tenant.check(server, chance).await;
        }
        looked_at
    }

    /// The record as it lies on the disk, without the service.
    async fn verify(&self) {
        let verified = self.verify.clone().ended().await;
        assert_eq!(verified.code, Some(0), "the record is damaged: {}", verified.text);
    }
}

/// Writers at work.
struct Work {
    writers: JoinSet<()>,
    acks: watch::Receiver<u64>,
}

/// Lets all writers work, until so much was acknowledged or they have all ended.
async fn load_until(life: &Life, server: &Server, acks: u64, chance: &mut Chance) -> Work {
    let (sender, receiver) = watch::channel(0);
    let mut work = Work { writers: JoinSet::new(), acks: receiver };
    for tenant in &life.tenants {
        for name in 0..WRITERS_OF_EACH {
            let (client, ledger, acks) = (tenant.client(server), tenant.ledger.clone(), sender.clone());
            work.writers.spawn(Writer { client, name, ledger, chance: chance.fork(), acks }.work());
        }
    }
    drop(sender);
    // An error says that all writers are gone, and so is the service.
    let _ = work.acks.wait_for(|seen| *seen >= acks).await;
    work
}

/// How often each thing happened.
type Counts<T> = BTreeMap<T, u64>;
