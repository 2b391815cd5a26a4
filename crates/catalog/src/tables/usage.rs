//! What tenants use, by day. A day is one of UTC.
//!
//! Writes and their bytes are counted by the write's own transaction, questions by the one that records them, tokens by
//! one of their own before they are embedded, so that what was refused afterwards is counted all the same.

use catena_access::Scope;
use catena_domain::{TenantId, Timestamp};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Exceeded, Quota, Quotas, Spending, Usage, UsageKind, Used};
use crate::store::{Connection, Row, in_task, sql};
use crate::tables::codec::{corrupt, long};
use crate::tables::tenants::{gone, held_of, state_of};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Days of the longer of the two spans of which the use is told.
const MONTH_DAYS: i64 = 30;

impl Catalog {
    /// Takes tokens out of what the tenant may embed today, before they are embedded; refused when there are not so many
    /// left.
    pub async fn spend_tokens(&self, scope: &Scope, tokens: u64, spending: Spending) -> Result<()> {
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let total = add(tx.connection(), &tenant, UsageKind::EmbeddingTokens, tokens).await?;
            if spending == Spending::WithinQuota {
                let row = sql("SELECT quotas FROM tenants WHERE tenant = $1")
                    .bind(tenant.as_str())
                    .fetch_one(tx.connection())
                    .await?;
                require_tokens(&row.json("quotas")?, total, tokens, clock::now())?;
            }
            tx.commit().await
        })
        .await
    }

    /// What the tenant holds, what it used, and what it may.
    pub async fn usage(&self, scope: &Scope) -> Result<Usage> {
        let today = day(clock::now());
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT state, quotas, documents, text_bytes, chunks FROM tenants WHERE tenant = $1")
            .bind(scope.tenant().as_str())
            .fetch_optional(&mut tx)
            .await?
            .ok_or_else(|| gone(scope))?;
        let rows = sql("SELECT day, kind, amount FROM usage WHERE tenant = $1 AND day > $2 ORDER BY day, kind")
            .bind(scope.tenant().as_str())
            .bind(today - MONTH_DAYS)
            .fetch_all(&mut tx)
            .await?;
        let (mut of_today, mut of_month) = (Used::default(), Used::default());
        for used in &rows {
            let (kind, amount) = (kind_of(used)?, used.u64("amount")?);
            *of_month.0.entry(kind).or_default() += amount;
            if used.long("day")? == today {
                of_today.0.insert(kind, amount);
            }
        }
        Ok(Usage {
            state: state_of(&row, "state")?,
            held: held_of(&row)?,
            today: of_today,
            month: of_month,
            quotas: row.json("quotas")?,
        })
    }
}

/// Counts some use of today, and says how much of the kind that makes today.
pub(crate) async fn add(connection: &mut Connection, tenant: &TenantId, kind: UsageKind, amount: u64) -> Result<u64> {
    let row = sql("INSERT INTO usage (tenant, day, kind, amount) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, day, kind) DO UPDATE SET amount = usage.amount + excluded.amount
         RETURNING amount")
    .bind(tenant.as_str())
    .bind(day(clock::now()))
    .bind(kind.as_str())
    .bind(long(amount))
    .fetch_one(connection)
    .await?;
    row.u64("amount")
}

fn require_tokens(quotas: &Quotas, total: u64, wanted: u64, now: Timestamp) -> Result<()> {
    let quota = Quota::EmbeddingTokensPerDay;
    match quotas.limit(quota) {
        Some(limit) if total > limit => {
            let used = total.saturating_sub(wanted);
            let retry_after_s = Some(until_midnight_s(now));
            Err(CatalogError::QuotaExceeded(Exceeded { quota, limit, used, wanted, retry_after_s }))
        }
        _ => Ok(()),
    }
}

fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_US)
}

/// Seconds until the next day begins, and not one too few.
fn until_midnight_s(now: Timestamp) -> u32 {
    let left_us = DAY_US - now.0.rem_euclid(DAY_US);
    u32::try_from(left_us / 1_000_000 + 1).unwrap_or(u32::MAX)
}

fn kind_of(row: &Row) -> Result<UsageKind> {
    let text = row.text("kind")?;
    let known = UsageKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| corrupt("a kind of use", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_and_whoever_waits_as_told_is_past_it() {
        for at in [0, 1, DAY_US - 1, DAY_US, DAY_US + 999_999, 20_000 * DAY_US + 7] {
            let (now, wait) = (Timestamp(at), until_midnight_s(Timestamp(at)));
            assert_eq!(day(Timestamp(at + i64::from(wait) * 1_000_000)), day(now) + 1, "{at}");
        }
    }
}
