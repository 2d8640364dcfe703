//! A store in memory that fails when told to: for tests.

use super::{Object, Objects, Only, Refused};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

pub(crate) const GONE: &str = "connection refused";

/// Objects in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By key: the bytes, and how often anything was written until then.
    pub(crate) objects: BTreeMap<String, (Bytes, usize)>,
    writes: usize,
    /// Requests until now.
    pub(crate) asked: usize,
    /// From this request on it does not answer.
    pub(crate) good: Option<usize>,
    /// Whether the first request without an answer is carried out all the same.
    pub(crate) half: bool,
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The bytes of every object.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let objects = state.objects.iter();
        objects
            .map(|(key, (bytes, _))| (key.clone(), bytes.to_vec()))
            .collect()
    }
}

impl State {
    /// Whether this request is carried out, and whether it is answered.
    fn ask(&mut self) -> (bool, bool) {
        let number = self.asked;
        self.asked += 1;
        match self.good {
            Some(good) if number == good => (self.half, false),
            Some(good) if number > good => (false, false),
            _ => (true, true),
        }
    }
}

impl Objects for Memory {
    fn get(&self, key: &str, most: u64) -> Result<Option<Object>, String> {
        let mut state = self.state();
        if !state.ask().1 {
            return Err(GONE.to_owned());
        }
        let Some((bytes, tag)) = state.objects.get(key) else {
            return Ok(None);
        };
        if bytes.len() as u64 > most {
            return Err(format!("{} bytes; at most {most}", bytes.len()));
        }
        Ok(Some(Object {
            bytes: bytes.clone(),
            tag: tag.to_string(),
        }))
    }

    fn put(&self, key: &str, bytes: Bytes, only: Only<'_>) -> Result<(), Refused> {
        let mut state = self.state();
        let (is_done, is_answered) = state.ask();
        let tag = state.objects.get(key).map(|(_, tag)| tag.to_string());
        let holds = match only {
            Only::Absent => tag.is_none(),
            Only::Unchanged(wanted) => tag.as_deref() == Some(wanted),
        };
        if is_done && holds {
            state.writes += 1;
            let writes = state.writes;
            state.objects.insert(key.to_owned(), (bytes, writes));
        }
        match (is_answered, holds) {
            (false, _) => Err(Refused::Failed(GONE.to_owned())),
            (true, false) => Err(Refused::Taken),
            (true, true) => Ok(()),
        }
    }

    fn folders(&self, key: &str) -> Result<Vec<String>, String> {
        let mut state = self.state();
        if !state.ask().1 {
            return Err(GONE.to_owned());
        }
        let front = match key {
            "" => String::new(),
            key => format!("{key}/"),
        };
        let below = state
            .objects
            .keys()
            .filter_map(|one| one.strip_prefix(&front));
        let names = below.filter_map(|rest| Some(rest.split_once('/')?.0.to_owned()));
        let names: BTreeSet<String> = names.collect();
        Ok(names.into_iter().collect())
    }
}
