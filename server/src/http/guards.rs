//! A source's guards on the wire: what its syncs do not do by themselves.

use catena_ingest::sync::description::{Guards, GuardsChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::wire::said;

/// What a sync does not do before somebody approves it.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardsBody {
    /// The greatest share of the source's documents that one sync deletes by itself; null for no bound.
    deletes_max_share: Option<f64>,
    /// So many it deletes whatever their share is.
    deletes_free: u64,
    /// The most readers that one document gains by itself; becoming visible to everyone is always beyond it. Null for no
    /// bound.
    widening_max_readers: Option<u64>,
}

impl Default for GuardsBody {
    fn default() -> Self {
        Guards::default().into()
    }
}

impl From<Guards> for GuardsBody {
    fn from(guards: Guards) -> Self {
        let Guards { deletes_max_share, deletes_free, widening_max_readers } = guards;
        Self { deletes_max_share, deletes_free, widening_max_readers }
    }
}

/// What changes about guards; what is left out stays.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardsChangeBody {
    /// Null for no bound.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<f64>)]
    deletes_max_share: Option<Option<f64>>,
    deletes_free: Option<u64>,
    /// Null for no bound.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    widening_max_readers: Option<Option<u64>>,
}

impl From<GuardsChangeBody> for GuardsChange {
    fn from(body: GuardsChangeBody) -> Self {
        let GuardsChangeBody { deletes_max_share, deletes_free, widening_max_readers } = body;
        Self { deletes_max_share, deletes_free, widening_max_readers }
    }
}

impl From<GuardsBody> for Guards {
    fn from(body: GuardsBody) -> Self {
        let GuardsBody { deletes_max_share, deletes_free, widening_max_readers } = body;
        Self { deletes_max_share, deletes_free, widening_max_readers }
    }
}
