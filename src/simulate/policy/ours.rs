//! Ours (prototype).

use super::{Metric, Past, Policy, Size, publish::Published};
use crate::simulate::{Foresight, Parameters, release::Release};
use std::collections::VecDeque;

/// Ours.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Ours<'a> {
    foresight: &'a Foresight,
    level: usize,
    window: usize,
    rate: usize,
    hold: usize,
    recent: VecDeque<(usize, u32)>,
    release: Release,
    published: Published,
}

impl<'a> Ours<'a> {
    pub(in crate::simulate) fn new(
        foresight: &'a Foresight,
        level: usize,
        window: usize,
        hold: usize,
        parameters: &Parameters,
    ) -> Self {
        Self {
            foresight,
            level,
            window,
            rate: parameters.ticks(crate::series::Span::minutes(1)),
            hold,
            recent: VecDeque::new(),
            release: Release::new(parameters),
            published: Published::new(parameters),
        }
    }
}

impl Policy for Ours<'_> {
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        let outlook = self.foresight.at(tick);
        let forecast = outlook.and_then(|outlook| outlook.quantile(self.window, self.level));
        let wanted = self.release.step(tick, past.rate(self.rate), forecast);
        let wanted = wanted.map(|wanted| {
            while self
                .recent
                .front()
                .is_some_and(|(at, _)| at + self.hold <= tick)
            {
                self.recent.pop_front();
            }
            self.recent.push_back((tick, wanted));
            self.recent
                .iter()
                .map(|(_, size)| *size)
                .max()
                .unwrap_or(wanted)
        });
        out.push(self.published.step(tick, size, wanted));
    }
}
