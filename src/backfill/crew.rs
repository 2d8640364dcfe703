//! Signals that belong together, stepped through the past side by side with the panels over them.

use super::{Backfill, time};
use crate::{
    backtest::Input,
    engine::{
        Mode, Outcome, PanelSettings, PanelUnit, SignalSettings, SignalUnit, UnitOptions,
        run::Pieces, settings::SizeClass,
    },
    series::{Grid, Millis},
    source::Matrix,
};
use std::{io, sync::Arc};

/// A past that is shorter than what is asked for by more than this share is worth a word.
const SHORT: f64 = 0.05;

/// Signals that share panels, and those; or one signal.
#[derive(Debug)]
pub(super) struct Crew<'a> {
    input: &'a Input,
    members: Vec<Member<'a>>,
    panels: Vec<Panel<'a>>,
    grid: Grid,
    first: Millis,
    last: Millis,
}

#[derive(Debug)]
struct Member<'a> {
    settings: &'a SignalSettings,
    unit: SignalUnit,
    /// The newest grid time evaluated.
    evaluated: Millis,
    /// What is still to be asked for of the span.
    pieces: Pieces,
    /// The newest answer, and how far it reaches.
    piece: Matrix,
    read: Millis,
    found: Found,
}

/// What was found out about a signal on the way.
#[derive(Debug, Default)]
struct Found {
    oldest: Option<Millis>,
    dropped: usize,
    partial: Option<String>,
}

#[derive(Debug)]
struct Panel<'a> {
    settings: &'a PanelSettings,
    unit: PanelUnit,
    /// The first grid time that its state depends on.
    begin: Millis,
}

/// Takes what is shown.
pub(super) type Take<'t> = &'t mut dyn FnMut(&Outcome) -> io::Result<()>;

/// The signals of `options` in groups that share a panel; the panels that have all their signals.
pub(super) fn groups(options: &Backfill) -> Vec<(Vec<&SignalSettings>, Vec<&PanelSettings>)> {
    let mut groups: Vec<(Vec<&SignalSettings>, Vec<&PanelSettings>)> = options
        .signals
        .iter()
        .map(|signal| (vec![signal], Vec::new()))
        .collect();
    for panel in &options.panels {
        let is_of = |signal: &&SignalSettings| panel.signals.contains(&signal.name);
        if options.signals.iter().filter(is_of).count() < panel.signals.len() {
            continue;
        }
        let touched = |(signals, _): &(Vec<&SignalSettings>, _)| signals.iter().any(is_of);
        let (together, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(touched);
        let mut one = (Vec::new(), vec![panel]);
        for (signals, panels) in together {
            one.0.extend(signals);
            one.1.extend(panels);
        }
        groups = others;
        groups.push(one);
    }
    groups
}

impl<'a> Crew<'a> {
    /// # Errors
    /// Settings that cannot be, or a span without a grid time.
    pub(super) fn new(
        (signals, panels): (Vec<&'a SignalSettings>, Vec<&'a PanelSettings>),
        options: &'a Backfill,
        input: &'a Input,
    ) -> Result<Self, String> {
        let unit_options = UnitOptions {
            replica: options.replica.clone(),
            calendars: options.calendars.clone(),
            late_work: None,
            torn_groups: false,
        };
        let step = signals.first().map_or(0, |signal| signal.step.as_millis());
        let grid = Grid::new(step).ok_or("the step of a signal is zero")?;
        let first = grid.floor(options.start + step - 1);
        let offsets = signals.iter().map(|signal| signal.offset.as_millis());
        // What a process that runs has not asked for yet is not known in full.
        let known = options.now - offsets.max().unwrap_or(0);
        let last = grid.floor(options.end.min(known));
        if first > last {
            let (from, to) = (time(options.start), time(options.end.min(known)));
            let span = crate::series::Span::millis(step);
            return Err(format!(
                "there is no grid time from {from} to {to}: its step is {span}; name a longer span with --from and --to"
            ));
        }
        let replay = signals.iter().filter_map(|signal| signal.replay()).min();
        let members = signals.into_iter().map(|settings| {
            let unit = SignalUnit::new(settings, &unit_options, &options.models)
                .map_err(|why| format!("signal {:?}: {why}", settings.name))?;
            Ok(Member {
                pieces: Pieces::new(grid, unit.history_start(first)),
                settings,
                unit,
                evaluated: first,
                piece: Matrix::default(),
                read: Millis::MIN,
                found: Found::default(),
            })
        });
        let panels = panels.into_iter().map(|settings| {
            let unit = PanelUnit::new(settings, &unit_options, grid, replay)
                .map_err(|why| format!("panel {:?}: {why}", settings.name))?;
            let begin = first - unit.memory() as Millis * step;
            Ok(Panel {
                settings,
                unit,
                begin,
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, String>>()?,
            panels: panels.collect::<Result<_, String>>()?,
            input,
            grid,
            first,
            last,
        })
    }

    /// Steps through the span. `progress` is told the share done, 0 to 1. Gives what is worth a word.
    ///
    /// # Errors
    /// What a source or the disk says.
    pub(super) async fn run(
        mut self,
        take: Take<'_>,
        progress: &dyn Fn(&str, f64),
    ) -> Result<Vec<String>, String> {
        for member in &mut self.members {
            member.start(self.first, self.input).await?;
            progress(&member.settings.name, 0.0);
        }
        let step = self.grid.step();
        let evaluated = self.members.iter().map(|member| member.evaluated);
        let begin = evaluated.min().unwrap_or(self.first);
        let whole = (self.last - begin).max(1) as f64;
        let mut at = begin + step;
        while at <= self.last {
            for member in &mut self.members {
                member.read(at, self.first, self.last, self.input).await?;
            }
            self.evaluate(at, take)
                .map_err(|error| format!("cannot keep what is sorted: {error}"))?;
            if self.grid.index(at) % 16 == 0 {
                progress(&self.members[0].settings.name, (at - begin) as f64 / whole);
            }
            at += step;
        }
        let notes = self.members.iter().flat_map(|one| one.notes(self.first));
        Ok(notes.collect())
    }

    /// Evaluates a grid time as a process that runs did, and gives what it showed.
    fn evaluate(&mut self, at: Millis, take: Take<'_>) -> io::Result<()> {
        let mode = if at < self.first {
            Mode::Replay
        } else {
            Mode::Publish
        };
        let mut outcomes = Vec::with_capacity(self.members.len());
        for member in self.members.iter_mut().filter(|one| one.evaluated < at) {
            let outcome = member.unit.advance(at, mode);
            member.evaluated = at;
            if mode == Mode::Publish {
                take(&outcome)?;
            }
            outcomes.push(Arc::new(outcome));
        }
        for panel in self.panels.iter_mut().filter(|panel| at > panel.begin) {
            let own = outcomes.iter();
            let own = own.filter(|one| {
                panel
                    .settings
                    .signals
                    .iter()
                    .any(|name| **name == *one.unit)
            });
            let own: Vec<Arc<Outcome>> = own.cloned().collect();
            let outcome = panel.unit.advance(at, &own, mode);
            if mode == Mode::Publish {
                take(&outcome)?;
            }
        }
        Ok(())
    }
}

impl Member<'_> {
    /// Reads the history before `first` and derives the state from it.
    async fn start(&mut self, first: Millis, input: &Input) -> Result<(), String> {
        while let Some((from, to)) = self.pieces.next(first) {
            let matrix = self.ask(from, to, input).await?;
            let oldest = matrix.series.iter().filter_map(|one| one.samples.first());
            let oldest = oldest.map(|sample| sample.0).min();
            self.found.oldest = self.found.oldest.or(oldest);
            self.unit.ingest(&matrix);
        }
        self.evaluated = self.unit.restart(first);
        Ok(())
    }

    /// Takes in what is known of `at`, and nothing that comes after it.
    async fn read(
        &mut self,
        at: Millis,
        first: Millis,
        last: Millis,
        input: &Input,
    ) -> Result<(), String> {
        if at <= first {
            return Ok(());
        }
        if at > self.read
            && let Some((from, to)) = self.pieces.next(last)
        {
            self.piece = self.ask(from, to, input).await?;
            self.read = to;
        }
        self.unit.ingest(&crate::backtest::only(&self.piece, at));
        Ok(())
    }

    async fn ask(&mut self, from: Millis, to: Millis, input: &Input) -> Result<Matrix, String> {
        let answer = input.fetch(self.settings, from, to).await;
        let matrix = answer.map_err(|why| format!("signal {:?}: {why}", self.settings.name))?;
        self.pieces.done(to, matrix.series.len());
        self.found.dropped = self.found.dropped.max(matrix.dropped);
        if matrix.is_partial() && self.found.partial.is_none() {
            self.found.partial = matrix.warnings.first().cloned();
        }
        Ok(matrix)
    }

    /// What somebody who loads the file should know.
    fn notes(&self, first: Millis) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note =
            |text: String| notes.push(format!("signal {:?}: {text}", self.settings.name));
        let is_deep = self.settings.size_class() == SizeClass::Deep;
        let history = self.settings.history();
        let wanted = self.unit.history_start(first);
        match self.found.oldest {
            _ if !is_deep => note(
                "is of the class wide, which has no past: it begins as a process that was started at --from does".to_owned(),
            ),
            None => note(format!(
                "its source has no sample of the {history} before --from: series begin as new ones do"
            )),
            Some(oldest) if (oldest - wanted) as f64 > SHORT * history.as_millis() as f64 => note(format!(
                "its source begins at {}, later than {history} before --from: until it has shown so much, a process that ran then may have known more",
                time(oldest)
            )),
            Some(_) => {}
        }
        if self.found.dropped > 0 {
            let (dropped, most) = (self.found.dropped, self.settings.max_series);
            note(format!(
                "{dropped} series are left out, as max_series is {most}"
            ));
        }
        if let Some(warning) = &self.found.partial {
            note(format!("an answer of its source is not whole: {warning}"));
        }
        notes
    }
}
