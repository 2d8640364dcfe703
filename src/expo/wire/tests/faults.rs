//! Where the errors of remote write point, and what they say.

use super::{field, read, read_up_to};
use crate::expo::wire::write::{
    Limits,
    Version::{self, V1, V2},
};

#[test]
fn errors_say_where_and_in_which_field() {
    let cut_symbols = [field(4, "m"), vec![0x22, 9, b'x']].concat();
    let cases: &[(Version, &[u8], &str)] = &[
        (
            V1,
            &[0x0A, 5, 1],
            "byte 2, WriteRequest.timeseries: expected 5 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            V1,
            &[0x0A, 0x80],
            "byte 1, WriteRequest.timeseries: expected 2 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            V1,
            &[0x0A, 4, 0x0A, 2, 0x0A, 9],
            "byte 6, Label.name: expected 9 more bytes, found 0: the body was cut off or is no protobuf",
        ),
        (
            V1,
            &[0x0A, 4, 0x12, 2, 9, 9],
            "byte 5, Sample.value: expected 8 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            V1,
            &[0x0A, 2, 0x10, 1],
            "byte 3, TimeSeries.samples: expected a length and bytes, found a number",
        ),
        (
            V1,
            &[0x0A, 4, 0x12, 2, 0x11, 0],
            "byte 5, Sample.timestamp: expected a number, found eight bytes",
        ),
        (
            V1,
            &[0x0B],
            "byte 1, WriteRequest.timeseries: expected a length and bytes, found a group",
        ),
        (
            V1,
            &[0x4B],
            "byte 1, WriteRequest: expected a field that is no group, found a group",
        ),
        (
            V1,
            &[0x4E],
            "byte 1, WriteRequest: expected a wire type from 0 to 5, found 6",
        ),
        (
            V1,
            &[0x00, 0x01],
            "byte 0, WriteRequest: expected a field number from 1 to 536870911, found 0",
        ),
        (
            V1,
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            "byte 0, WriteRequest: expected a field number from 1 to 536870911, found 4294967295",
        ),
        (
            V1,
            &[
                0x48, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02,
            ],
            "byte 1, WriteRequest: expected a number of at most 64 bits, found a longer one",
        ),
        (
            V1,
            &cut_symbols,
            "byte 1, WriteRequest: expected remote write 1.0, found fields of 2.0: set the Content-Type to the version that is sent",
        ),
        (
            V2,
            &cut_symbols,
            "byte 5, Request.symbols: expected 9 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            V2,
            &field(1, ""),
            "byte 1, Request: expected remote write 2.0, found fields of 1.0: set the Content-Type to the version that is sent",
        ),
        (
            V2,
            &field(5, [10, 2, 0, 0x80]),
            "byte 5, TimeSeries.labels_refs: expected 2 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            V2,
            &field(5, [0x28, 0]),
            "byte 3, TimeSeries.metadata: expected a length and bytes, found a number",
        ),
        (
            V2,
            b"text",
            "byte 1, Request: expected a field that is no group, found a group",
        ),
    ];
    for (version, body, want) in cases {
        let error = read(body, *version).unwrap_err();
        assert_eq!(error.to_string(), *want, "{body:?}");
        assert!(!error.problem.is_limit());
    }
}

#[test]
fn too_many_symbols_are_an_error_of_their_own() {
    let body = field(4, "").repeat(5);
    let limits = |symbols| Limits {
        symbols,
        ..Limits::default()
    };
    assert_eq!(read_up_to(&body, V2, limits(5)).1, None);
    let error = read_up_to(&body, V2, limits(4)).1.unwrap();
    assert_eq!(
        error.to_string(),
        "byte 10, Request.symbols: more than 4 symbols, which is the limit of a request"
    );
    assert!(error.problem.is_limit());
}
