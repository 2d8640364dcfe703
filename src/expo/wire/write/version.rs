//! The two versions, and the headers of their requests and answers.

use std::fmt;

/// Of a request: the version it is sent in, see [`Version::header`]. It says less than the `Content-Type`, which decides.
pub const VERSION_HEADER: &str = "X-Prometheus-Remote-Write-Version";
/// Of an answer to 2.0: how many samples were written.
pub const SAMPLES_WRITTEN: &str = "X-Prometheus-Remote-Write-Samples-Written";
/// Of an answer to 2.0: how many native histograms were written.
pub const HISTOGRAMS_WRITTEN: &str = "X-Prometheus-Remote-Write-Histograms-Written";
/// Of an answer to 2.0: how many exemplars were written.
pub const EXEMPLARS_WRITTEN: &str = "X-Prometheus-Remote-Write-Exemplars-Written";

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_1: &str = "prometheus.WriteRequest";
const MESSAGE_2: &str = "io.prometheus.write.v2.Request";

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 1.0: labels stand in each series.
    V1,
    /// 2.0: labels are numbers of symbols that stand once in a request.
    V2,
}

impl Version {
    /// The version of a request with this `Content-Type`; none where that is another one, which is answered with 415.
    /// Without a message in it, it is 1.0.
    pub fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(MEDIA_TYPE) {
            return None;
        }
        let message = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_message = name.trim().eq_ignore_ascii_case("proto");
            is_message.then(|| value.trim().trim_matches('"'))
        });
        match message {
            None | Some(MESSAGE_1) => Some(Self::V1),
            Some(MESSAGE_2) => Some(Self::V2),
            Some(_) => None,
        }
    }

    /// The `Content-Type` of a request. Receivers that know only 1.0 may want it bare, so it is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V1 => MEDIA_TYPE,
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of [`VERSION_HEADER`]. That of 1.0 is older than its name.
    pub const fn header(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }

    /// As people say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides() {
        let cases = [
            ("application/x-protobuf", Some(Version::V1)),
            ("Application/X-Protobuf ; charset=x", Some(Version::V1)),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                Some(Version::V1),
            ),
            (Version::V2.content_type(), Some(Version::V2)),
            (
                "application/x-protobuf; a=b; Proto=\"io.prometheus.write.v2.Request\"",
                Some(Version::V2),
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v3.Request",
                None,
            ),
            ("application/x-protobuf2", None),
            ("application/json", None),
            ("", None),
        ];
        for (content_type, want) in cases {
            assert_eq!(Version::of(content_type), want, "{content_type:?}");
        }
        for version in [Version::V1, Version::V2] {
            assert_eq!(Version::of(version.content_type()), Some(version));
        }
    }
}
