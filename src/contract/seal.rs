//! Whether a model is what it was when it was made, and by whom: SHA-256 and Ed25519 (RFC 8032).
//!
//! What is signed is the manifest, byte by byte, with the text of `signature` left empty; the manifest has the hash of
//! the ONNX file. So a signature can be made with any tool: write the manifest with `"signature": ""`, sign
//! that file, and put the Base64 of the 64 bytes between the quotes.

use super::manifest::Manifest;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Deserializer, de};

/// Bytes of a public key.
const KEY: usize = 32;
/// Bytes of a signature.
const SIGNATURE: usize = 64;

/// Whose models are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Whether a model without a signature by one of the keys is refused.
    pub required: bool,
    /// The public keys.
    pub keys: Vec<PublicKey>,
}

/// An Ed25519 public key, written as the Base64 of its 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; KEY]);

/// What is known of a model's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    None,
    /// There is one, and no key is configured that could tell whose it is.
    Unknown,
    /// It is by this key.
    By(PublicKey),
}

impl PublicKey {
    /// Reads the Base64 of 32 bytes.
    ///
    /// # Errors
    /// What a person can change.
    pub fn read(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text.trim()).ok();
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        key.map(Self).ok_or_else(|| {
            format!("{text:?} is not an Ed25519 public key; write the Base64 of its 32 bytes")
        })
    }

    /// The Base64 of its bytes.
    pub fn text(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Trust {
    /// Whose signature the manifest in `bytes` bears.
    ///
    /// # Errors
    /// One that is by none of the keys, or a missing one where it is required.
    pub fn check(&self, bytes: &[u8], manifest: &Manifest) -> Result<Signature, String> {
        let text = manifest.signature.as_deref().unwrap_or_default();
        if text.is_empty() {
            return match self.required {
                true => Err(
                    "is not signed, and models.require_signature is on; sign it, or train it anew"
                        .to_owned(),
                ),
                false => Ok(Signature::None),
            };
        }
        if self.keys.is_empty() {
            return match self.required {
                true => Err("no key is trusted; add one to models.trusted_keys".to_owned()),
                false => Ok(Signature::Unknown),
            };
        }
        let signature = STANDARD
            .decode(text)
            .ok()
            .filter(|bytes| bytes.len() == SIGNATURE);
        let signature = signature.ok_or("signature: is not the Base64 of 64 bytes")?;
        let message = signed_bytes(bytes, text)?;
        let verifies = |key: &&PublicKey| {
            let key = UnparsedPublicKey::new(&ED25519, &key.0);
            key.verify(&message, &signature).is_ok()
        };
        match self.keys.iter().find(verifies) {
            Some(key) => Ok(Signature::By(key.clone())),
            None => Err(
                "the signature is by none of models.trusted_keys, or the manifest was changed after it was signed".to_owned(),
            ),
        }
    }
}

/// The manifest without the text of its signature, which is in it once.
fn signed_bytes(bytes: &[u8], signature: &str) -> Result<Vec<u8>, String> {
    let signature = signature.as_bytes();
    let mut places = memchr::memmem::find_iter(bytes, signature);
    match (places.next(), places.next()) {
        (Some(place), None) => {
            let rest = &bytes[place + signature.len()..];
            Ok([&bytes[..place], rest].concat())
        }
        _ => Err("signature: is not in the manifest once as plain text".to_owned()),
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Checks the hash of a model file.
///
/// # Errors
/// That it is another one.
pub fn check_hash(model: &[u8], manifest: &Manifest) -> Result<(), String> {
    let found = sha256(model);
    if found.eq_ignore_ascii_case(&manifest.sha256) {
        return Ok(());
    }
    Err(format!(
        "the ONNX file is not the one of the manifest: its SHA-256 is {found}, not {}",
        manifest.sha256
    ))
}

/// The manifest as a signed document. `key` is an Ed25519 private key in PKCS#8, as `openssl genpkey -algorithm
/// ed25519 -outform DER` makes it.
///
/// # Errors
/// A key that is none, or a manifest that cannot be written.
pub fn sign(manifest: &Manifest, key: &[u8]) -> Result<Vec<u8>, String> {
    let key = key_pair(key)?;
    let with = |signature: String| Manifest {
        signature: Some(signature),
        ..manifest.clone()
    };
    let message = with(String::new()).to_json()?;
    with(STANDARD.encode(key.sign(&message))).to_json()
}

/// The public key of a private one, see [`sign`].
///
/// # Errors
/// A key that is none.
pub fn public_key(key: &[u8]) -> Result<PublicKey, String> {
    let pair = key_pair(key)?;
    let bytes = pair.public_key().as_ref().try_into();
    let bytes = bytes.map_err(|_| "not an Ed25519 private key: its public key is no 32 bytes")?;
    Ok(PublicKey(bytes))
}

fn key_pair(key: &[u8]) -> Result<Ed25519KeyPair, String> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key)
        .map_err(|error| format!("not an Ed25519 private key in PKCS#8: {error}"))
}
