//! Who is believed, and what.

use super::*;
use hyper::header::HeaderValue;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use std::time::Duration;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    Authority { pem, issuer }
}

impl Authority {
    fn signed(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> Vec<CertificateDer<'static>> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "x".repeat(200));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()]
    }

    fn client(&self, name: &str) -> Vec<CertificateDer<'static>> {
        self.signed(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn trust(&self, names: &[&str]) -> Trust {
        let header: RequestHeader = serde_json::from_value(serde_json::json!({
            "client_ca_file": "", "allowed_names": names,
        }))
        .unwrap();
        Trust::new(self.pem.as_bytes(), &header).unwrap()
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// In the time of certificates that rcgen makes by itself, 1975 to 4096.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

#[test]
fn the_front_proxy_says_for_whom_it_asks() {
    let authority = authority();
    let trust = authority.trust(&["front-proxy-client"]);
    let asked = headers(&[
        (
            "x-remote-user",
            "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
        ),
        ("x-remote-group", "system:serviceaccounts"),
        ("x-remote-group", "system:serviceaccounts:kube-system"),
        (
            "x-remote-extra-authentication.kubernetes.io%2fpod-name",
            "controller-0",
        ),
        ("x-remote-uid", "7"),
    ]);
    let user = trust
        .identify(&authority.client("front-proxy-client"), &asked, now())
        .unwrap();
    assert_eq!(
        user.name,
        "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
    );
    assert_eq!(
        user.groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:kube-system",
            AUTHENTICATED
        ]
    );
    assert_eq!(user.uid.as_deref(), Some("7"));
    let key = "authentication.kubernetes.io/pod-name".to_owned();
    assert_eq!(
        user.extra,
        BTreeMap::from([(key, vec!["controller-0".to_owned()])])
    );
    let nobody = headers(&[("x-remote-user", ANONYMOUS)]);
    let user = trust
        .identify(&authority.client("front-proxy-client"), &nobody, now())
        .unwrap();
    assert_eq!(
        user.groups,
        Vec::<String>::new(),
        "nobody is not authenticated"
    );
    let any = authority.trust(&[]);
    any.identify(&authority.client("whoever"), &nobody, now())
        .unwrap();
}

#[test]
fn nobody_else_is_believed_whatever_headers_say() {
    let (authority, other) = (authority(), authority());
    let trust = authority.trust(&["front-proxy-client"]);
    let asked = headers(&[
        ("x-remote-user", "admin"),
        ("x-remote-group", "system:masters"),
    ]);
    let server = authority.signed("front-proxy-client", ExtendedKeyUsagePurpose::ServerAuth);
    let late = UnixTime::since_unix_epoch(Duration::from_secs(80_000_000_000));
    for (who, shown, at, part) in [
        ("nobody", Vec::new(), now(), "no client certificate"),
        (
            "another authority",
            other.client("front-proxy-client"),
            now(),
            "authority",
        ),
        (
            "another name",
            authority.client("kubelet"),
            now(),
            "\"kubelet\"",
        ),
        ("a certificate of a server", server, now(), "authority"),
        (
            "too late",
            authority.client("front-proxy-client"),
            late,
            "authority",
        ),
        (
            "no certificate",
            vec![CertificateDer::from(vec![1, 2])],
            now(),
            "certificate",
        ),
    ] {
        let error = trust.identify(&shown, &asked, at).unwrap_err();
        assert!(error.contains(part), "{who}: {error}");
    }
    let client = authority.client("front-proxy-client");
    for nameless in [
        headers(&[]),
        headers(&[("x-remote-user", ""), ("x-remote-group", "a")]),
    ] {
        let error = trust.identify(&client, &nameless, now()).unwrap_err();
        assert!(error.contains("x-remote-user"), "{error}");
    }
    let mut garbled = HeaderMap::new();
    garbled.insert(
        "x-remote-user",
        HeaderValue::from_bytes(b"adm\xffin").unwrap(),
    );
    assert!(trust.identify(&client, &garbled, now()).is_err());
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    let header: RequestHeader =
        serde_json::from_value(serde_json::json!({"client_ca_file": "", "allowed_names": []}))
            .unwrap();
    assert!(Trust::new(b"", &header).is_err());
    let odd = RequestHeader {
        group_headers: vec!["a b".to_owned()],
        ..header
    };
    let error = Trust::new(authority().pem.as_bytes(), &odd).unwrap_err();
    assert!(error.contains("\"a b\""), "{error}");
    let wide = RequestHeader {
        group_headers: Vec::new(),
        extra_header_prefixes: vec![String::new()],
        ..odd
    };
    let error = Trust::new(authority().pem.as_bytes(), &wide).unwrap_err();
    assert!(error.contains("empty prefix"), "{error}");
}

#[test]
fn the_last_common_name_counts() {
    let subject = [
        0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'a', 0x31, 0x0a, 0x30,
        0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'b',
    ];
    assert_eq!(common_name(&subject).as_deref(), Some("b"));
    assert_eq!(common_name(&subject[..12]).as_deref(), Some("a"));
    assert_eq!(common_name(&[]), None);
}

proptest! {
    #[test]
    fn no_subject_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        common_name(&bytes);
    }
}
