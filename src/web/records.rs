//! Events, overrides and decisions over HTTP. Errors are `application/problem+json` (RFC 9457).

use super::{
    State,
    query::Query,
    reply::{self, Reply},
    routes::Route,
};
use crate::{
    decide::{Event, Override},
    series::Millis,
    store::{
        Answered, Cleared, Cut, DecisionFilter, EventFilter, KnownWorkloads, MOST_ITEMS, Once,
        Page, Store, StoreError, USUAL_ITEMS, wire,
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER},
    http::request,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A body of a few kilobytes that takes longer does not come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
const KEY: &str = "idempotency-key";
const NO_STORE: &str = "no store is configured, so there are no events, overrides or decisions; add `store: {sqlite: forethought.db}` to the configuration";
const NO_CHANGES: &str = "changes over HTTP are not enabled; start with --web.enable-admin-api to enable them, or use `forethought events` and `forethought overrides` with --config.file";

/// Answers a request about what the store keeps.
pub(super) async fn answer(
    state: &State,
    route: Route,
    head: &request::Parts,
    query: &Query,
    gzip: bool,
    body: Incoming,
) -> Reply {
    let Some(store) = state.store.load_full() else {
        return reply::json_error(StatusCode::NOT_IMPLEMENTED, NO_STORE);
    };
    let changes = !matches!(head.method, Method::GET | Method::HEAD);
    if changes && !state.admin {
        return reply::json_error(StatusCode::FORBIDDEN, NO_CHANGES);
    }
    let asked = Asked {
        state,
        store,
        head,
        query,
        gzip,
    };
    let answered = match (route, &head.method) {
        (Route::Events, &Method::POST) => asked.add_event(body).await,
        (Route::Events, _) => asked.events().await,
        (Route::Event, &Method::DELETE) => asked.remove_event().await,
        (Route::Event, _) => asked.event().await,
        (Route::Overrides, &Method::POST) => asked.set_override(body).await,
        (Route::Overrides, &Method::DELETE) => asked.clear_workload().await,
        (Route::Overrides, _) => asked.overrides().await,
        (Route::Override, _) => asked.clear_override().await,
        _ => asked.decisions().await,
    };
    answered.unwrap_or_else(|refusal| *refusal)
}

/// 413, before anything of the body is read.
pub(super) fn too_long(limit: u64) -> Reply {
    let sentence = format!("a request's body may have at most {limit} bytes");
    reply::json_error(StatusCode::PAYLOAD_TOO_LARGE, &sentence)
}

struct Asked<'a> {
    state: &'a State,
    store: Arc<Store>,
    head: &'a request::Parts,
    query: &'a Query,
    gzip: bool,
}

/// What is answered, or what is refused and why.
type Answer = Result<Reply, Refusal>;
/// Boxed, as it is larger than most of what comes instead.
type Refusal = Box<Reply>;

impl Asked<'_> {
    async fn events(&self) -> Answer {
        let now = self.state.clock.now();
        let mut filter = EventFilter {
            after: self.time("after")?,
            before: self.time("before")?,
        };
        if self.flag("active")? {
            filter.after = Some(filter.after.map_or(now, |after| after.max(now)));
            // What begins now is under way.
            let soon = now.saturating_add(1);
            filter.before = Some(filter.before.map_or(soon, |before| before.min(soon)));
        }
        let page = self.store.events(filter, &self.cut()?).await;
        self.list("events", page.map_err(refusal)?, wire::ShownEvent::from)
    }

    async fn event(&self) -> Answer {
        let event = self.store.event(self.name()).await.map_err(refusal)?;
        let shown = wire::ShownEvent::from(event);
        Ok(reply::json(StatusCode::OK, &shown, self.gzip))
    }

    async fn add_event(&self, body: Incoming) -> Answer {
        let (body, once) = self.document("events", body).await?;
        let new: wire::NewEvent = wire::read(&body).map_err(refusal)?;
        self.check_workloads("workloads", &new.workloads)?;
        let added = self.store.add_event(Event::from(new), once.as_ref()).await;
        let shown = wire::ShownEvent::from(added.map_err(refusal)?.into_inner());
        Ok(self.created("events", &shown.id, &shown))
    }

    async fn remove_event(&self) -> Answer {
        let removed = self.store.remove_event(self.name()).await;
        removed.map_err(refusal)?;
        Ok(nothing())
    }

    async fn overrides(&self) -> Answer {
        let page = self.store.overrides(&self.cut()?).await;
        let page = page.map_err(refusal)?;
        self.list("overrides", page, wire::ShownOverride::from)
    }

    async fn set_override(&self, body: Incoming) -> Answer {
        let (body, once) = self.document("overrides", body).await?;
        let new: wire::NewOverride = wire::read(&body).map_err(refusal)?;
        self.check_workloads("workload", std::slice::from_ref(&new.workload))?;
        let order = Override::from(new);
        let set: Answered<Override> = self
            .store
            .set_override(order, once.as_ref())
            .await
            .map_err(refusal)?;
        let shown = wire::ShownOverride::from(set.into_inner());
        Ok(self.created("overrides", &shown.id, &shown))
    }

    async fn clear_override(&self) -> Answer {
        self.clear(Cleared::Id(self.name())).await
    }

    async fn clear_workload(&self) -> Answer {
        let whose = "whose overrides are to be cleared";
        let workload = self.query.needed("workload", whose).map_err(bad)?;
        self.clear(Cleared::Workload(workload)).await
    }

    async fn clear(&self, which: Cleared<'_>) -> Answer {
        let cleared = self.store.clear_overrides(which).await.map_err(refusal)?;
        let told = serde_json::json!({ "cleared": cleared });
        Ok(reply::json(StatusCode::OK, &told, false))
    }

    async fn decisions(&self) -> Answer {
        let filter = DecisionFilter {
            workload: self.query.one("workload").map_err(bad)?.map(str::to_owned),
            since: self.time("since")?,
            until: self.time("until")?,
        };
        let page = self.store.decisions(&filter, &self.cut()?).await;
        let page = page.map_err(refusal)?;
        self.list("decisions", page, wire::ShownDecision::from)
    }

    /// Refuses what is about workloads that the configuration in force does not have. Where it has none, every name is
    /// taken: events may be put in before.
    fn check_workloads(&self, field: &str, names: &[String]) -> Result<(), Refusal> {
        if self.flag("unknown_workload")? {
            return Ok(());
        }
        let workloads = self.state.catalogue.workloads();
        let known = KnownWorkloads::new(workloads.iter().map(|name| &**name));
        let names = names.iter().map(String::as_str);
        known
            .check(field, names, "the parameter unknown_workload=true")
            .map_err(refusal)
    }

    /// A parameter that is `true` or `false`, which it is where it is left out.
    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        let flag = self
            .query
            .read(name, "true or false", |text| text.parse().ok());
        Ok(flag.map_err(bad)?.unwrap_or(false))
    }

    /// The last name of the path.
    fn name(&self) -> &str {
        let path = self.head.uri.path();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    fn cut(&self) -> Result<Cut, Refusal> {
        let limit = self.query.whole("limit", USUAL_ITEMS, 1..=MOST_ITEMS);
        let limit = limit.map_err(bad)?;
        let cursor = self.query.one("cursor").map_err(bad)?.map(str::to_owned);
        Ok(Cut { limit, cursor })
    }

    fn time(&self, name: &str) -> Result<Option<Millis>, Refusal> {
        let must_be = "a time such as 2026-01-31T12:00:00Z, or milliseconds since the epoch";
        self.query.read(name, must_be, time).map_err(bad)
    }

    /// The JSON document of a request, and what makes it be carried out once where it has a key.
    async fn document(&self, what: &str, body: Incoming) -> Result<(Bytes, Option<Once>), Refusal> {
        let headers = &self.head.headers;
        if !is_json(headers) {
            let text = "the body must be JSON; say so with `Content-Type: application/json`";
            let refused = reply::json_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
            return Err(refused.into());
        }
        let body = self.read(body).await?;
        let once = match headers.get(KEY) {
            None => None,
            Some(key) => {
                let key = key.to_str().unwrap_or_default();
                Some(Once::new(what, key, &body).map_err(refusal)?)
            }
        };
        Ok((body, once))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limit = self.state.settings.limits.body;
        let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
        match timeout(BODY_WITHIN, limited.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long(limit).into()),
            Ok(Err(error)) => Err(bad(format!("the body could not be read: {error}"))),
            Err(_) => {
                let text = format!("the body did not come within {}s", BODY_WITHIN.as_secs());
                Err(reply::json_error(StatusCode::REQUEST_TIMEOUT, &text).into())
            }
        }
    }

    fn list<T, S: serde::Serialize>(
        &self,
        name: &str,
        page: Page<T>,
        show: impl Fn(T) -> S,
    ) -> Answer {
        let items: Vec<S> = page.items.into_iter().map(show).collect();
        let list = serde_json::json!({ name: items, "next": page.next });
        Ok(reply::json(StatusCode::OK, &list, self.gzip))
    }

    fn created(&self, list: &str, id: &str, shown: &impl serde::Serialize) -> Reply {
        let prefix = &self.state.settings.route_prefix;
        let answer = reply::json(StatusCode::CREATED, shown, false);
        match HeaderValue::from_str(&format!("{prefix}/api/v1/{list}/{id}")) {
            Ok(place) => reply::with(answer, LOCATION, place),
            Err(_) => answer,
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn time(text: &str) -> Option<Millis> {
    let millis = text.parse().ok();
    millis.or_else(|| {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(time.as_millisecond())
    })
}

fn nothing() -> Reply {
    reply::parts(StatusCode::NO_CONTENT, "application/json", Vec::new())
}

fn bad(sentence: String) -> Refusal {
    reply::json_error(StatusCode::BAD_REQUEST, &sentence).into()
}

fn refusal(error: StoreError) -> Refusal {
    let (status, fields) = match &error {
        StoreError::Invalid(fields) => (StatusCode::UNPROCESSABLE_ENTITY, fields.as_slice()),
        StoreError::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, &[][..]),
        StoreError::Cursor => (StatusCode::BAD_REQUEST, &[][..]),
        StoreError::Unknown(_) => (StatusCode::NOT_FOUND, &[][..]),
        StoreError::TooMany(_) | StoreError::Conflict(_) => (StatusCode::CONFLICT, &[][..]),
        StoreError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, &[][..]),
        StoreError::Gone(_)
        | StoreError::Locked(_)
        | StoreError::Unusable(_)
        | StoreError::Newer { .. } => (StatusCode::SERVICE_UNAVAILABLE, &[][..]),
    };
    let answer = reply::problem(status, &error.to_string(), fields);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return reply::with(answer, RETRY_AFTER, HeaderValue::from_static("5")).into();
    }
    answer.into()
}
