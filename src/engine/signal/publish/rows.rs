//! The series of an outcome, row by row, and what is counted of them.

use super::{Publisher, Sets, labels_of};
use crate::{
    detect::Verdict,
    engine::{
        families,
        outcome::{Contributor, Group},
        signal::{
            columns::Columns,
            groups::Groups,
            places::{self, Place},
            plan::Plan,
            shard::{SLOTS, Shard},
            shown::Seen,
        },
    },
    forecast::Interval,
    series::Labels,
};
use std::collections::BTreeMap;

/// One series of the current outcome, and where its columns are.
pub(super) struct Row<'a> {
    pub(super) labels: &'a Labels,
    /// Where it is shown.
    pub(super) sets: Option<&'a Sets>,
    pub(super) columns: &'a Columns,
    pub(super) position: usize,
    pub(super) place: Place,
}

impl Publisher {
    /// The series that have a value now, sorted by labels.
    pub(super) fn rows<'a>(&'a self, shards: &'a [Shard]) -> Vec<Row<'a>> {
        if self.plan.sparse {
            return self.sparse_rows(shards);
        }
        let positions: Vec<Vec<usize>> = shards
            .iter()
            .map(|shard| positions(&shard.columns))
            .collect();
        let row = |&place: &Place| {
            let (shard, slot) = (place.0 as usize, place.1 as usize);
            let columns = &shards.get(shard)?.columns;
            let position = *positions[shard]
                .get(slot)
                .filter(|&&position| position != usize::MAX)?;
            let labels = labels_of(shards, place)?;
            columns.values[position].is_finite().then_some(Row {
                labels,
                sets: self.sets(place),
                columns,
                position,
                place,
            })
        };
        self.order.iter().filter_map(row).collect()
    }

    /// The same where the columns have only the few that are told of.
    fn sparse_rows<'a>(&'a self, shards: &'a [Shard]) -> Vec<Row<'a>> {
        let of = |(number, shard): (usize, &'a Shard)| {
            let columns = &shard.columns;
            let slots = columns.slots.iter().enumerate();
            slots.filter_map(move |(position, &slot)| {
                let place = (number as u32, slot as u32);
                let member = shard.members[slot].as_ref()?;
                columns.values[position].is_finite().then_some(Row {
                    labels: &member.labels,
                    sets: self.sets(place),
                    columns,
                    position,
                    place,
                })
            })
        };
        let mut rows: Vec<Row<'a>> = shards.iter().enumerate().flat_map(of).collect();
        rows.sort_unstable_by(|one, other| one.labels.cmp(other.labels));
        rows
    }

    fn sets(&self, (shard, slot): Place) -> Option<&Sets> {
        self.rendered[shard as usize].get(slot as usize)?.as_deref()
    }
}

impl Row<'_> {
    pub(super) fn score(&self) -> f32 {
        self.columns.news[self.position]
    }

    pub(super) fn verdict(&self) -> &Verdict {
        &self.columns.verdicts[self.position]
    }

    /// What is expected now, clipped to what can be.
    pub(super) fn baseline(&self, plan: &Plan) -> Interval {
        let band = &self.columns.bands[self.position];
        Interval {
            expected: plan.clip(band.expected),
            lower: plan.clip(band.lower),
            upper: plan.clip(band.upper),
        }
    }
}

/// How many of these rows are of which kind.
pub(super) fn seen(rows: &[Row<'_>]) -> Seen {
    let count = |is: fn(&Row<'_>) -> bool| rows.iter().filter(|row| is(row)).count();
    Seen {
        valued: rows.len(),
        unscored: count(|row| row.score().is_nan()),
        expected: count(|row| row.columns.bands[row.position].is_known()),
        active: count(|row| row.verdict().active),
    }
}

/// The groups with how many were judged as counted, and the anomalous ones of these rows.
pub(super) fn counted(groups: &mut Groups, rows: &[Row<'_>]) -> Vec<Group> {
    let mut active: BTreeMap<u32, Vec<Contributor>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let place = places::number(row.place.0 as usize, row.place.1 as usize);
        if row.verdict().active
            && row.score().is_finite()
            && let Some(group) = groups.of(place)
        {
            let score = row.columns.combined[row.position];
            active
                .entry(group)
                .or_default()
                .push(Contributor { index, score });
        }
    }
    let groups = groups.judged();
    groups
        .map(|(number, labels, judged)| {
            families::group(
                labels.clone(),
                judged,
                active.remove(&number).unwrap_or_default(),
            )
        })
        .collect()
}

/// Entry `slot`: the position of that slot in the columns, `usize::MAX` where it has none.
fn positions(columns: &Columns) -> Vec<usize> {
    let mut positions = vec![usize::MAX; SLOTS];
    for (position, &slot) in columns.slots.iter().enumerate() {
        positions[slot] = position;
    }
    positions
}
