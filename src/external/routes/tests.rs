//! What is at which path, and what a query says.

use super::*;

#[test]
fn paths_are_those_of_kubernetes() {
    let metric = |namespace: &str, metric: &str| Route::Metric {
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
    };
    let own = "/apis/external.metrics.k8s.io/v1beta1";
    for (path, wanted) in [
        ("/healthz", Route::Alive),
        ("/livez", Route::Alive),
        ("/readyz", Route::Ready),
        ("/version", Route::Version),
        ("/apis", Route::Groups),
        ("/apis/", Route::Groups),
        ("/apis/external.metrics.k8s.io", Route::Group),
        (own, Route::Resources),
        ("/openapi/v2", Route::SecondApi),
        ("/openapi/v3", Route::ThirdApis),
        (
            "/openapi/v3/apis/external.metrics.k8s.io/v1beta1",
            Route::ThirdApi,
        ),
        ("/", Route::Nothing),
        ("/apis/external.metrics.k8s.io/v1", Route::Nothing),
        ("/metrics", Route::Nothing),
    ] {
        assert_eq!(Route::of(path), wanted, "{path}");
    }
    for (rest, wanted) in [
        (
            "shop/predicted-replicas",
            metric("shop", "predicted-replicas"),
        ),
        (
            "shop/predicted-replicas-Search%20API",
            metric("shop", "predicted-replicas-Search API"),
        ),
        ("shop", Route::Nothing),
        ("shop/a/b", Route::Nothing),
        ("/a", Route::Nothing),
        ("shop/..", Route::Nothing),
        ("shop/a%2Fb", Route::Nothing),
        ("shop/a%25b", Route::Nothing),
        ("shop/%ff", Route::Nothing),
    ] {
        let path = format!("{own}/namespaces/{rest}");
        assert_eq!(Route::of(&path), wanted, "{path}");
    }
}

#[test]
fn parameters_are_read_as_forms_are() {
    let selector = |query| parameter(query, "labelSelector").map_err(|refusal| refusal.code);
    for (query, wanted) in [
        ("", None),
        ("labelSelector=", Some("")),
        (
            "limit=1&labelSelector=workload%3Dcheckout",
            Some("workload=checkout"),
        ),
        (
            "labelSelector=workload+in+%28a%2Cb%29",
            Some("workload in (a,b)"),
        ),
        ("labelSelector=a&labelSelector=b", Some("a")),
        ("labelselector=a", None),
    ] {
        assert_eq!(selector(query), Ok(wanted.map(str::to_owned)), "{query}");
    }
    assert_eq!(selector("labelSelector=%ff"), Err(400));
}

#[test]
fn who_has_a_document_need_not_read_it_again() {
    let document = wire::group();
    let first = cached(&HeaderMap::new(), Form::Json, &document);
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[ETAG].clone();
    let has = HeaderMap::from_iter([(IF_NONE_MATCH, tag)]);
    assert_eq!(
        cached(&has, Form::Json, &document).status(),
        StatusCode::NOT_MODIFIED
    );
    let other = cached(&has, Form::Json, &wire::version());
    assert_eq!(other.status(), StatusCode::OK);
}

#[test]
fn an_error_asks_nobody_to_wait() {
    let reply = refuse(&Refusal::new(503, "not known"));
    assert!(!reply.headers().contains_key("retry-after"));
    assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
}
