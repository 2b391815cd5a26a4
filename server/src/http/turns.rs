//! What is at work at once and for long: bounded for each who asks, so that nobody holds all of it, and for all together.
//!
//! Promises: a turn is given back when it is dropped; nothing is kept of who holds none. Does not: let anybody wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Turns that are held, by who holds them. Cloning gives another handle to the same ones.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    most_each: usize,
    most_of_all: usize,
}

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self { held: Arc::clone(&self.held), ..*self }
    }
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Who asks holds as many as one may.
    Own,
    /// All together do.
    All,
}

/// One of them, as long as it is held.
#[derive(Debug)]
pub(crate) struct Turn<K: Eq + Hash> {
    turns: Turns<K>,
    of: K,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    pub(crate) fn new(most_each: usize, most_of_all: usize) -> Self {
        Self { held: Arc::default(), most_each, most_of_all }
    }

    /// A turn for `of`, if one may be had.
    pub(crate) fn take(&self, of: &K) -> Result<Turn<K>, Full> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(of).copied().unwrap_or_default();
        if own >= self.most_each {
            return Err(Full::Own);
        }
        if held.values().sum::<usize>() >= self.most_of_all {
            return Err(Full::All);
        }
        held.insert(of.clone(), own + 1);
        drop(held);
        Ok(Turn { turns: self.clone(), of: of.clone() })
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut held = self.turns.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.of) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_all_turns_and_what_is_given_back_is_had_again() {
        let turns = Turns::new(2, 3);
        let held = [turns.take(&"acme").unwrap(), turns.take(&"acme").unwrap()];
        assert_eq!(turns.take(&"acme").unwrap_err(), Full::Own);
        let other = turns.take(&"globex").unwrap();
        assert_eq!(turns.take(&"third").unwrap_err(), Full::All);
        drop(held);
        assert!(turns.take(&"third").is_ok());
        drop(other);
        assert!(turns.held.lock().unwrap().is_empty(), "somebody without a turn is kept");
    }
}
