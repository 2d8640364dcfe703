//! A certificate for a benchmark: signed by itself, so that it is its own authority, as X.509 has it (RFC 5280).
//!
//! A library for it would bring seven others into every build of the program.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};

/// Object identifiers: `ecdsa-with-SHA256`, `id-ecPublicKey`, `prime256v1`, `commonName`, `subjectAltName`.
const SIGNED: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// From when to when: nobody has the key for longer than a benchmark lasts.
const FROM: &[u8] = b"000101000000Z";
const TO: &[u8] = b"491231235959Z";
/// Lines of PEM are no longer.
const LINE: usize = 64;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const OBJECT: u8 = 0x06;
const TEXT: u8 = 0x0c;
const TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Of what is numbered instead: the version, the extensions, a DNS name.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS: u8 = 0x82;

/// A certificate and its key, in PEM form.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identity {
    /// Of whoever is called `name`, and is found at `host`.
    ///
    /// # Errors
    /// There is no randomness for a key.
    pub(super) fn new(name: &str, host: &str) -> Result<Self, String> {
        let failed = |_| "no key for a certificate could be made".to_owned();
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let secret = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, secret.as_ref(), &random);
        let pair = pair.map_err(|error| format!("a key for a certificate: {error}"))?;
        let content = content(name, host, pair.public_key().as_ref());
        let signature = pair.sign(&random, &content).map_err(failed)?;
        let whole = [content, signed(), bits(signature.as_ref())];
        Ok(Self {
            certificate: pem("CERTIFICATE", &element(SEQUENCE, &whole.concat())),
            key: pem("PRIVATE KEY", secret.as_ref()),
        })
    }
}

/// What is signed.
fn content(name: &str, host: &str, public: &[u8]) -> Vec<u8> {
    let name = element(
        SEQUENCE,
        &[element(OBJECT, COMMON_NAME), element(TEXT, name.as_bytes())].concat(),
    );
    let name = element(SEQUENCE, &element(SET, &name));
    let valid = element(SEQUENCE, &[element(TIME, FROM), element(TIME, TO)].concat());
    let key = element(
        SEQUENCE,
        &[element(OBJECT, KEY), element(OBJECT, CURVE)].concat(),
    );
    let key = element(SEQUENCE, &[key, bits(public)].concat());
    let hosts = element(SEQUENCE, &element(DNS, host.as_bytes()));
    let hosts = [element(OBJECT, OTHER_NAMES), element(BYTES, &hosts)].concat();
    let extensions = element(SEQUENCE, &element(SEQUENCE, &hosts));
    let parts = [
        // The third version, counted from 0.
        element(VERSION, &element(INTEGER, &[2])),
        element(INTEGER, &[1]),
        signed(),
        name.clone(),
        valid,
        name,
        key,
        element(EXTENSIONS, &extensions),
    ];
    element(SEQUENCE, &parts.concat())
}

/// How it is signed.
fn signed() -> Vec<u8> {
    element(SEQUENCE, &element(OBJECT, SIGNED))
}

/// Whole bytes as bits, of which none is left over.
fn bits(bytes: &[u8]) -> Vec<u8> {
    element(BITS, &[&[0], bytes].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = length.iter().position(|digit| *digit != 0);
    let digits = &length[digits.unwrap_or(length.len() - 1)..];
    let mut bytes = vec![tag];
    // Above 127 the first byte says how many follow.
    if content.len() > 0x7f {
        bytes.push(0x80 | digits.len() as u8);
    }
    bytes.extend_from_slice(digits);
    bytes.extend_from_slice(content);
    bytes
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        lines.push(line.to_owned());
        rest = after;
    }
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::pem;
    use rustls::{
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::ring,
        pki_types::{ServerName, UnixTime},
    };
    use std::{sync::Arc, time::Duration};

    #[test]
    fn a_certificate_is_believed_where_it_is_trusted_and_nowhere_else() {
        let [own, other] =
            ["localhost", "localhost"].map(|host| Identity::new("me", host).unwrap());
        let certificate = pem::certificates(own.certificate.as_bytes())
            .unwrap()
            .remove(0);
        let provider = Arc::new(ring::default_provider());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let believes = |trusted: &Identity, host: &str| {
            let roots = Arc::new(pem::authorities(trusted.certificate.as_bytes()).unwrap());
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let name = ServerName::try_from(host.to_owned()).unwrap();
            let verifier = verifier.build().unwrap();
            verifier
                .verify_server_cert(&certificate, &[], &name, &[], now)
                .is_ok()
        };
        assert!(believes(&own, "localhost"));
        assert!(!believes(&own, "elsewhere"));
        assert!(!believes(&other, "localhost"));
        assert!(pem::key(own.key.as_bytes()).is_ok());
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        assert_eq!(element(BYTES, &[7]), [BYTES, 1, 7]);
        assert_eq!(element(BYTES, &[]), [BYTES, 0]);
        assert_eq!(element(BYTES, &[0; 127])[..2], [BYTES, 127]);
        assert_eq!(element(BYTES, &[0; 128])[..3], [BYTES, 0x81, 128]);
        assert_eq!(element(BYTES, &[0; 300])[..4], [BYTES, 0x82, 1, 44]);
    }
}
