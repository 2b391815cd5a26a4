//! A source that nobody looks at: its documents are handed in over the API, each with its access list.

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};

use crate::{Cursor, Event, Fetch, Item, Source, SourceError};

#[derive(Debug)]
pub(crate) struct Push;

fn refusal() -> SourceError {
    SourceError::invalid("documents of a push source are handed in; there is nothing to look at and nothing to sync")
}

impl Source for Push {
    fn look(&self, _since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        stream::iter([Err(refusal())]).boxed()
    }

    fn fetch<'a>(&'a self, _item: &'a Item, _known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(async { Err(refusal()) })
    }
}
