//! `/metrics`: the newest outcomes of all units and our own metrics, in the format the reader likes best.

use super::{
    Server,
    query::Query,
    reply::{self, Reply},
    routes::Wishes,
};
use crate::{
    engine::{Outcome, Scaling},
    expo::{self, Exposition, Format, NameFilter},
};
use hyper::StatusCode;
use std::sync::Arc;

pub(super) async fn answer(server: &Arc<Server>, query: &Query, wishes: &Wishes) -> Reply {
    let Ok(permit) = Arc::clone(&server.scrapes).try_acquire_owned() else {
        let limit = server.state.settings.limits.requests;
        server.state.telemetry.web.refused("scrapes");
        return reply::busy(
            &format!(
                "{limit} scrapes are being answered, which is the limit; try again later or scrape less often"
            ),
            false,
        );
    };
    let format = expo::negotiate(wishes.accept.as_deref());
    let filter = NameFilter::new(query.all("name[]").map(str::to_string));
    match exposition(server, format, filter, wishes.gzip).await {
        Ok(exposition) => {
            server
                .state
                .telemetry
                .web
                .exposed(exposition.series, exposition.dropped);
            let content_type = format.content_type();
            let reply = reply::parts(StatusCode::OK, &content_type, exposition.parts);
            reply::encoded(reply, wishes.gzip).map(|body| body.holding(permit))
        }
        Err(error) => reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the metrics cannot be written: {error}"),
        ),
    }
}

/// Off the threads that serve: the first read of an outcome in a new format encodes and deflates it.
async fn exposition(
    server: &Server,
    format: Format,
    filter: NameFilter,
    gzip: bool,
) -> Result<Exposition, String> {
    let state = &server.state;
    let now = state.clock.now();
    let outcomes = state.catalogue.fresh(now);
    let scaling = state.catalogue.scaling(now);
    state.catalogue.demand().note(format.escaping(), gzip);
    let own = state
        .telemetry
        .open_metrics()
        .map_err(|error| error.to_string())?;
    let work = move || put_together(&outcomes, scaling.as_deref(), &own, format, &filter, gzip);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

fn put_together(
    outcomes: &[Arc<Outcome>],
    scaling: Option<&Scaling>,
    own: &str,
    format: Format,
    filter: &NameFilter,
    gzip: bool,
) -> Exposition {
    let chunks = outcomes.iter().flat_map(|outcome| &outcome.chunks);
    let chunks = chunks.chain(scaling.iter().flat_map(|scaling| &scaling.chunks));
    expo::assemble(chunks, &expo::translate(own), format, filter, gzip)
}
