//! Certificates and keys in PEM form, as every file of them is read.
//!
//! Errors say what is wrong with the content; whose it is the caller knows.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// All certificates, in order.
///
/// # Errors
/// One that cannot be read, or there is none.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() {
        return Err("no certificate in PEM form".to_owned());
    }
    Ok(all)
}

/// All certificates, as authorities that are trusted.
///
/// # Errors
/// As [`certificates`], and one that is not an authority's.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let added = store.add(certificate);
        added.map_err(|error| error.to_string())?;
    }
    Ok(store)
}

/// The first private key.
///
/// # Errors
/// There is none that can be read.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem);
    key.map_err(|error| format!("no private key in PEM form ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_whole_and_what_is_not_there_is_said() {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, secret) = (own.cert.pem(), own.signing_key.serialize_pem());
        let both = format!("{secret}{certificate}{certificate}");
        assert_eq!(certificates(both.as_bytes()).unwrap().len(), 2);
        assert_eq!(authorities(both.as_bytes()).unwrap().len(), 2);
        assert!(key(both.as_bytes()).is_ok());
        for pem in ["", &secret] {
            let problem = certificates(pem.as_bytes()).unwrap_err();
            assert_eq!(problem, "no certificate in PEM form");
        }
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(authorities(broken.as_bytes()).is_err());
        assert!(
            key(certificate.as_bytes())
                .unwrap_err()
                .starts_with("no private key")
        );
    }
}
