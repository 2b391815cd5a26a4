//! Where in its original a passage comes from, on the wire.

use catena_retrieval::Place;
use serde::Serialize;
use utoipa::ToSchema;

/// A passage's place in its original. Only `page` is always there, and null where there are no pages.
#[derive(Debug, Default, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct PlaceBody {
    /// The page on which the passage begins, from one.
    page: Option<u32>,
    /// The first and the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<[u32; 2]>,
    /// The slide on which the passage begins, from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    slide: Option<u32>,
    /// The first and the last slide.
    #[serde(skip_serializing_if = "Option::is_none")]
    slides: Option<[u32; 2]>,
    /// The sheet's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<String>,
    /// The cells, such as `Budget!A12:F20`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<String>,
    /// The part of the original, such as a mail's attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

impl From<Place> for PlaceBody {
    fn from(place: Place) -> Self {
        Self {
            page: place.pages.map(|(first, _)| first),
            pages: place.pages.map(|(first, last)| [first, last]),
            slide: place.slides.map(|(first, _)| first),
            slides: place.slides.map(|(first, last)| [first, last]),
            sheet: place.sheet,
            cells: place.cells,
            part: place.part,
        }
    }
}
