//! From a configuration to sources and units. Builds, but starts nothing.

use super::{
    calendars,
    hubs::PreparedHubs,
    load::{Loaded, revision},
    options::AppOptions,
};
use crate::{
    config::{Config, SourceKind, SourceSettings},
    engine::{
        Division, PanelSettings, PanelUnit, SignalSettings, SignalUnit, UnitOptions,
        run::{FleetPlan, PanelPlan, SignalPlan},
    },
    series::{Grid, Share, Span},
    source::{Source, prometheus::PrometheusSource},
    telemetry::Telemetry,
};
use std::{collections::BTreeMap, sync::Arc};

/// The sources of a configuration by name, each with the settings it was built from.
pub(super) type Sources = BTreeMap<String, (SourceSettings, Arc<dyn Source>)>;

/// What is to run for `loaded`. A source whose settings are those of one in `running` is that one: its
/// connections and its circuit breaker stay. `hubs` are those of sources whose samples come by themselves.
pub(super) fn plan(
    loaded: &Loaded,
    (running, hubs): (&Sources, &PreparedHubs),
    options: &AppOptions,
    telemetry: &Telemetry,
) -> Result<(FleetPlan, Sources), String> {
    let Loaded {
        config,
        models,
        calendars,
        ..
    } = loaded;
    let sources = sources(config, running, hubs, telemetry)?;
    let unit_options = UnitOptions {
        replica: options.replica.clone(),
        calendars: calendars.clone(),
        torn_groups: false,
        late_work: Some(UnitOptions::LATE_WORK),
    };
    let mut signals = Vec::new();
    let divisions = config.divisions();
    let divided = |division: Option<&Division>| {
        let share = division.map_or(Share::ALL, |own| own.share(options.shard));
        let torn_groups = share != Share::ALL && division.is_some_and(|own| !own.keeps_groups());
        let options = UnitOptions {
            torn_groups,
            ..unit_options.clone()
        };
        (share, options)
    };
    for settings in &config.signals {
        let (share, unit_options) = divided(divisions.signal(&settings.name));
        // All of it is another shard's.
        if share.is_nothing() {
            continue;
        }
        let source = source_of(settings, config, &sources, options)?;
        let make = {
            let (settings, options, models) = (settings.clone(), unit_options, models.clone());
            Arc::new(move || {
                SignalUnit::new(&settings, &options, &models).map(|unit| Box::new(unit) as _)
            })
        };
        signals.push(SignalPlan {
            revision: revision(&settings.model_paths(), models)
                ^ calendars::revision(settings, calendars).rotate_left(1),
            settings: settings.clone(),
            source,
            share,
            make,
        });
    }
    let here = config.panels.iter().filter_map(|settings| {
        let (share, options) = divided(divisions.panel(settings));
        (!share.is_nothing()).then_some((settings, options))
    });
    let panels = here.map(|(settings, options)| {
        let grid = panel_grid(settings, config)?;
        let members = config
            .signals
            .iter()
            .filter(|signal| settings.signals.contains(&signal.name));
        let replay = members.filter_map(SignalSettings::replay).min();
        let own = settings.clone();
        let make = Arc::new(move || {
            PanelUnit::new(&own, &options, grid, replay).map(|unit| Box::new(unit) as _)
        });
        Ok(PanelPlan {
            settings: settings.clone(),
            make,
        })
    });
    let plan = FleetPlan {
        interval: config.global.evaluation_interval,
        signals,
        panels: panels.collect::<Result<_, String>>()?,
    };
    Ok((plan, sources))
}

fn sources(
    config: &Config,
    running: &Sources,
    hubs: &PreparedHubs,
    telemetry: &Telemetry,
) -> Result<Sources, String> {
    let mut sources = Sources::new();
    for settings in &config.sources {
        let name = &settings.name;
        let source: Arc<dyn Source> = match (&settings.kind, hubs.source(name)) {
            (SourceKind::Prometheus(kind), _) => match running.get(name) {
                Some((old, source)) if old == settings => Arc::clone(source),
                _ => {
                    let built = PrometheusSource::build(name, kind, Arc::clone(&telemetry.source));
                    Arc::new(built.map_err(|problem| format!("source {name:?}: {problem}"))?)
                }
            },
            (_, Some(local)) => Arc::clone(local),
            (_, None) => return Err(format!("source {name:?}: nobody takes its samples")),
        };
        sources.insert(name.clone(), (settings.clone(), source));
    }
    Ok(sources)
}

/// The source of a signal: of the configuration, or inside the process.
pub(super) fn source_of(
    signal: &SignalSettings,
    config: &Config,
    sources: &Sources,
    options: &AppOptions,
) -> Result<Arc<dyn Source>, String> {
    let configured = config
        .source_of(signal)
        .and_then(|settings| sources.get(&settings.name))
        .map(|(_, source)| source);
    let inside = || match &signal.source {
        Some(name) => options.sources.iter().find(|source| source.name() == name),
        None => options.sources.first(),
    };
    configured
        .or_else(inside)
        .map(Arc::clone)
        .ok_or_else(|| match &signal.source {
            Some(name) => format!("signal {:?}: there is no source {name:?}", signal.name),
            None => format!("signal {:?}: there is no source", signal.name),
        })
}

/// The grid that the signals of a panel share.
fn panel_grid(panel: &PanelSettings, config: &Config) -> Result<Grid, String> {
    let step = |name: &String| config.signals.iter().find(|signal| signal.name == *name);
    let mut steps = panel
        .signals
        .iter()
        .filter_map(step)
        .map(|signal| signal.step);
    let first = steps.next().unwrap_or_default();
    if steps.any(|step| step != first) {
        let name = &panel.name;
        return Err(format!(
            "panel {name:?}: its signals must have the same step"
        ));
    }
    let grid = Grid::new(first.as_millis());
    grid.ok_or_else(|| {
        let zero = Span::default();
        format!("panel {:?}: the step of its signals is {zero}", panel.name)
    })
}
