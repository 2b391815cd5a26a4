//! The file's parts, and what a search reads of them.

use std::ops::Range;
use std::path::Path;

use catena_kernels::{BLOCK_ROWS, Map, PlaneQuery, dot_i8_rows, reaching};

use super::NO_ROW;
use crate::error::IndexError;
use crate::vectors::{ALIGN_BYTES, Direction};

/// How the file is cut, from its two numbers.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) lists: usize,
    pub(super) blocks: usize,
    pub(super) dimension: usize,
}

impl Layout {
    pub(super) fn words(self) -> usize {
        self.dimension.div_ceil(u64::BITS as usize)
    }

    fn places(self) -> usize {
        self.blocks * BLOCK_ROWS
    }

    /// The bytes of each part, in their order: head, centres, steps, spreads, starts, rows, weights, leanings, bits.
    fn parts(self) -> [usize; PARTS] {
        let (list, place) = (self.lists * size_of::<u32>(), self.places() * size_of::<u32>());
        let (starts, bits) = (list + size_of::<u32>(), self.places() * self.words() * size_of::<u64>());
        [ALIGN_BYTES, self.lists * self.dimension, list, list, starts, place, place, place, bits]
    }

    fn bytes(self) -> usize {
        self.parts().iter().map(|bytes| bytes.next_multiple_of(ALIGN_BYTES)).sum()
    }

    fn part(self, part: usize) -> Range<usize> {
        let parts = self.parts();
        let start = parts[..part].iter().map(|bytes| bytes.next_multiple_of(ALIGN_BYTES)).sum();
        start..start + parts[part]
    }
}

const CENTRES: usize = 1;
const STEPS: usize = 2;
const SPREADS: usize = 3;
const STARTS: usize = 4;
const ROWS: usize = 5;
const WEIGHTS: usize = 6;
const LEANINGS: usize = 7;
const BITS: usize = 8;
const PARTS: usize = 9;

/// The lists of a sealed segment.
pub(crate) struct Coarse {
    map: Map,
    layout: Layout,
    parts: [Range<usize>; PARTS],
    every_list: Vec<u32>,
}

/// What of a list a query can hope for.
#[derive(Clone, Copy)]
pub(crate) struct Prospect {
    pub(crate) list: u32,
    /// The query's product with the list's centre.
    pub(crate) base: f32,
    /// How far the list's rows spread in any one direction.
    pub(crate) spread: f32,
}

impl Coarse {
    pub(crate) fn open(path: &Path, map: Map, rows: u32, dimension: usize) -> Result<Self, IndexError> {
        let corrupt = |what: &str| IndexError::corrupt(path, what);
        let head = map.first_chunk::<8>().ok_or_else(|| corrupt("it is too short"))?;
        let [lists, blocks]: [u32; 2] = bytemuck::pod_read_unaligned(head);
        let layout = Layout { lists: lists as usize, blocks: blocks as usize, dimension };
        let most = rows as usize;
        if layout.lists > most || layout.blocks > most || layout.bytes() != map.len() {
            return Err(corrupt("its length does not fit its lists"));
        }
        let parts = std::array::from_fn(|part| layout.part(part));
        let coarse = Self { map, layout, parts, every_list: (0..lists).collect() };
        let starts = coarse.starts();
        let whole = starts.first() == Some(&0) && starts.last() == Some(&blocks) && starts.is_sorted();
        let held = coarse.part::<u32>(ROWS).iter().filter(|&&row| row != NO_ROW);
        if !whole || held.clone().count() != most || held.max().is_some_and(|&row| row >= rows) {
            return Err(corrupt("its lists do not hold each row once"));
        }
        Ok(coarse)
    }

    pub(crate) fn lists(&self) -> usize {
        self.layout.lists
    }

    /// What each list has to offer.
    pub(crate) fn rank(&self, query: &Direction, products: &mut Vec<i32>) -> impl Iterator<Item = Prospect> {
        products.resize(self.layout.lists, 0);
        dot_i8_rows(self.part(CENTRES), &self.every_list, &query.codes, products);
        let (steps, spreads) = (self.part::<f32>(STEPS), self.part::<f32>(SPREADS));
        self.every_list.iter().zip(&*products).map(move |(&list, &product)| {
            let base = product as f32 * query.scale * steps[list as usize];
            Prospect { list, base, spread: spreads[list as usize] }
        })
    }

    /// Shows the rows of a list whose cosine with the query seems to reach `bar`; says how many places it looked at.
    pub(crate) fn estimate(
        &self,
        query: &PlaneQuery,
        Prospect { list, base, .. }: Prospect,
        bar: f32,
        marks: &mut Vec<u8>,
        mut see: impl FnMut(u32),
    ) -> usize {
        let places = self.places(list);
        let words = self.layout.words();
        let bits = &self.part(BITS)[places.start * words..places.end * words];
        let (weights, leanings) = (&self.part(WEIGHTS)[places.clone()], &self.part(LEANINGS)[places.clone()]);
        marks.resize(places.len() / BLOCK_ROWS, 0);
        reaching(bits, weights, leanings, query, bar - base, marks);
        let rows = &self.part::<u32>(ROWS)[places.clone()];
        for (rows, &mark) in rows.chunks_exact(BLOCK_ROWS).zip(&*marks).filter(|(_, mark)| **mark != 0) {
            let reaching = rows.iter().enumerate().filter(|(at, row)| mark >> at & 1 == 1 && **row != NO_ROW);
            reaching.for_each(|(_, &row)| see(row));
        }
        places.len()
    }

    /// The places of a list.
    fn places(&self, list: u32) -> Range<usize> {
        let starts = self.starts();
        let list = list as usize;
        starts[list] as usize * BLOCK_ROWS..starts[list + 1] as usize * BLOCK_ROWS
    }

    fn starts(&self) -> &[u32] {
        self.part(STARTS)
    }

    fn part<T: bytemuck::AnyBitPattern>(&self, part: usize) -> &[T] {
        bytemuck::cast_slice(&self.map[self.parts[part].clone()])
    }
}

/// The parts of a file that is being built, in their order after the head.
pub(super) struct Parts {
    pub(super) centres: Vec<i8>,
    pub(super) steps: Vec<f32>,
    pub(super) spreads: Vec<f32>,
    pub(super) starts: Vec<u32>,
    pub(super) rows: Vec<u32>,
    pub(super) weights: Vec<f32>,
    pub(super) leanings: Vec<f32>,
    pub(super) bits: Vec<u64>,
}

impl Parts {
    pub(super) fn into_bytes(self, layout: Layout) -> Vec<u8> {
        let head = [layout.lists as u32, layout.blocks as u32];
        let parts: [&[u8]; PARTS] = [
            bytemuck::cast_slice(&head),
            bytemuck::cast_slice(&self.centres),
            bytemuck::cast_slice(&self.steps),
            bytemuck::cast_slice(&self.spreads),
            bytemuck::cast_slice(&self.starts),
            bytemuck::cast_slice(&self.rows),
            bytemuck::cast_slice(&self.weights),
            bytemuck::cast_slice(&self.leanings),
            bytemuck::cast_slice(&self.bits),
        ];
        let mut bytes = Vec::with_capacity(layout.bytes());
        for (at, part) in parts.into_iter().enumerate() {
            debug_assert!(at == 0 || part.len() == layout.parts()[at], "part {at} has its length");
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(ALIGN_BYTES), 0);
        }
        bytes
    }
}
