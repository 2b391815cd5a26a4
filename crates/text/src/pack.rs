//! The atoms of one section gathered into chunks.
//!
//! Promises: keeps their order, drops none, and verifies each chunk with the measure before it is let go, since the sum
//! of the parts is only an estimate of the whole. Does not: look beyond its section.

use crate::refine::{Atom, Border, Gauge};

/// A chunk of this share of the target at a section's end goes to the chunk before, where that still fits.
const RUNT_SHARE: usize = 8;
/// Where breadcrumb and chunk, measured apart, leave this share of the window free, they are not measured together.
const SLACK_SHARE: usize = 8;

/// What would otherwise be torn apart may take a chunk this share of the target beyond it.
const BEYOND_SHARE: usize = 4;

/// A cut is near the end when it leaves free less than this share of the target.
const NEAR_SHARE: usize = 2;
/// As much of a text as makes it one among its neighbours, in bytes.
const LANDMARK_BYTES: usize = 64;

/// A chunk's place and tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) tokens: usize,
}

/// Gathers `atoms`, which stand under `breadcrumb`, into chunks.
pub(crate) fn pack(gauge: &Gauge<'_>, breadcrumb: String, atoms: &[Atom]) -> Vec<Packed> {
    let crumb_tokens = gauge.tokens(&crate::embedding_text(&breadcrumb, ""));
    let target = gauge.rules.target_tokens;
    let beyond = target + target / BEYOND_SHARE;
    let hard = gauge.rules.window_tokens.saturating_sub(crumb_tokens).min(beyond).max(1);
    let mut packer = Packer {
        gauge,
        breadcrumb,
        crumb_tokens,
        hard,
        soft: gauge.rules.target_tokens.min(hard),
        pending: atoms.iter().rev().copied().collect(),
        open: Vec::new(),
        open_tokens: 0,
        packed: Vec::new(),
    };
    loop {
        match packer.pending.pop() {
            Some(atom) => packer.place(atom),
            None if packer.open.is_empty() => return packer.packed,
            None => packer.close_last(),
        }
    }
}

struct Packer<'p, 'g> {
    gauge: &'p Gauge<'g>,
    breadcrumb: String,
    crumb_tokens: usize,
    /// Tokens that a chunk may have.
    hard: usize,
    /// Tokens that a chunk should have.
    soft: usize,
    /// Atoms to come, the next one last.
    pending: Vec<Atom>,
    /// Atoms of the chunk being gathered.
    open: Vec<Atom>,
    open_tokens: usize,
    packed: Vec<Packed>,
}

impl Packer<'_, '_> {
    /// Puts `atom` into the open chunk, or makes room, or makes the atom smaller.
    fn place(&mut self, atom: Atom) {
        let Some(tokens) = atom.tokens else { return self.refine(&atom) };
        let can_refine = self.gauge.can_refine(&atom);
        let within = |limit: usize| self.open_tokens + tokens <= limit && self.is_short(&atom);
        if self.open.is_empty() {
            if tokens <= self.hard || !can_refine {
                return self.push(atom);
            }
            return self.refine(&atom);
        }
        if within(self.soft) || (self.is_lead() && within(self.hard)) {
            return self.push(atom);
        }
        let would_leave_a_gap = tokens > self.hard && self.open_tokens < self.soft / 2;
        let may_part = atom.has_lines() && !self.gauge.keeps(atom.kind);
        if can_refine && (self.is_lead() || would_leave_a_gap) {
            return self.refine(&atom);
        }
        if can_refine && may_part {
            // The place before it is then no better to cut at than those in it.
            let mut parted = atom;
            parted.border = Border::Fine;
            return self.refine(&parted);
        }
        let count = self.best_cut(&atom);
        self.pending.push(atom);
        self.close(count);
    }

    fn push(&mut self, atom: Atom) {
        self.open_tokens += atom.tokens.unwrap_or(0);
        self.open.push(atom);
    }

    fn refine(&mut self, atom: &Atom) {
        self.pending.extend(self.gauge.refine(atom).into_iter().rev());
    }

    /// Whether the open chunk with `atom` is within the limit of bytes.
    fn is_short(&self, atom: &Atom) -> bool {
        self.open.first().is_none_or(|first| atom.end - first.start <= self.gauge.rules.max_bytes)
    }

    /// Whether the open chunk is so far only headings, which should not be parted from what they head.
    fn is_lead(&self) -> bool {
        self.open_tokens <= self.soft / 2 && self.open.iter().all(Atom::is_heading)
    }

    /// How many open atoms to close, now that `next` does not fit: up to the best border near the end, or up to the best
    /// at all when none is near. Among equals the text after the border decides and not its place, so that cuts fall
    /// where they fell before when something far above was edited.
    fn best_cut(&self, next: &Atom) -> usize {
        let near_tokens = self.soft - self.soft / NEAR_SHARE;
        let mut best = (false, Border::AfterHeading, 0, 0);
        let mut tokens = 0;
        for (number, atom) in self.open.iter().enumerate() {
            tokens += atom.tokens.unwrap_or(0);
            let after = self.open.get(number + 1).unwrap_or(next);
            let border = if atom.is_heading() { Border::AfterHeading } else { after.border };
            let is_near = tokens >= near_tokens;
            let choice = if is_near { self.landmark(after) } else { 0 };
            best = best.max((is_near, border, choice, number + 1));
        }
        best.3
    }

    /// A number that depends on the first bytes of `atom` alone (FNV-1a).
    fn landmark(&self, atom: &Atom) -> u64 {
        let text = &self.gauge.text.as_bytes()[atom.start..atom.end];
        let first = text.iter().take(LANDMARK_BYTES);
        first.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Lets the first `count` open atoms go as a chunk, or fewer when so many do not fit after all.
    fn close(&mut self, count: usize) {
        for count in (1..=count).rev() {
            let (first, last) = (self.open[0], self.open[count - 1]);
            let known = first.tokens.filter(|_| count == 1);
            let chunk = self.measured(first.start, last.end, known);
            if count == 1 && !self.fits(&chunk) && self.gauge.can_refine(&first) {
                let rest = self.open.drain(..).skip(1).rev();
                self.pending.extend(rest);
                self.open_tokens = 0;
                return self.refine_smaller(&first);
            }
            if count == 1 || self.fits(&chunk) {
                self.packed.push(chunk);
                self.open.drain(..count);
                self.open_tokens = self.open.iter().filter_map(|atom| atom.tokens).sum();
                return;
            }
        }
    }

    /// Lets all open atoms go; a runt goes to the chunk before.
    fn close_last(&mut self) {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return };
        let (is_runt, start, end) = (self.open_tokens < self.soft / RUNT_SHARE, first.start, last.end);
        if let Some(before) = self.packed.last().copied()
            && is_runt
            && end - before.start <= self.gauge.rules.max_bytes
            && before.tokens + self.open_tokens <= self.hard
        {
            let joined = self.measured(before.start, end, None);
            if self.fits(&joined) {
                self.packed.pop();
                self.packed.push(joined);
                self.open.clear();
                self.open_tokens = 0;
                return;
            }
        }
        debug_assert!(start < end, "an atom is never empty");
        self.close(self.open.len());
    }

    /// Refines `atom` until it falls apart, for it does not fit as it is.
    fn refine_smaller(&mut self, atom: &Atom) {
        let mut pieces = self.gauge.refine(atom);
        while let [one] = pieces[..]
            && self.gauge.can_refine(&one)
        {
            pieces = self.gauge.refine(&one);
        }
        self.pending.extend(pieces.into_iter().rev());
    }

    fn measured(&self, start: usize, end: usize, known: Option<usize>) -> Packed {
        let tokens = known.unwrap_or_else(|| self.gauge.tokens(&self.gauge.text[start..end]));
        Packed { start, end, tokens }
    }

    fn fits(&self, chunk: &Packed) -> bool {
        let window = self.gauge.rules.window_tokens;
        if self.crumb_tokens + chunk.tokens <= window - window / SLACK_SHARE {
            return true;
        }
        let body = &self.gauge.text[chunk.start..chunk.end];
        self.gauge.tokens(&crate::embedding_text(&self.breadcrumb, body)) <= window
    }
}
